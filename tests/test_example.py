"""The policy file to start from works as it is, but for the addresses of its servers."""

from __future__ import annotations

import pathlib

from crossdock_servers import Servers

EXAMPLE = pathlib.Path(__file__).resolve().parent.parent / 'examples' / 'crossdock.toml'


def test_the_example_works(cli):
    password = 's3cret'
    with Servers('redis', '--password', password) as redis, Servers('s3', '--bucket', 'my-bucket') as s3:
        text = EXAMPLE.read_text()
        for written, here in [
            ('127.0.0.1:6379', f'127.0.0.1:{redis["port"]}'),
            ('http://127.0.0.1:9000', s3['endpoint']),
        ]:
            assert text.count(written) == 1
            text = text.replace(written, here)
        crossdock = cli(text)
        crossdock.environment |= {
            'REDIS_PASSWORD': password,
            'AWS_ACCESS_KEY_ID': s3['access_key'],
            'AWS_SECRET_ACCESS_KEY': s3['secret_key'],
        }
        crossdock('config', 'check')
        found = crossdock.json('check')['connectors']
        assert [(each['name'], each['ok'], each['durability']) for each in found] == [
            ('cache', True, None),
            ('bucket', True, 'backend'),
            ('files', True, 'host'),
        ]

        def put(data: bytes, *tags: str) -> str:
            key = crossdock('put', '-', *tags, data=data).decode().strip()
            assert crossdock('get', key) == data
            return key.split('/')[0]

        assert put(b'small') == 'cache'
        assert put(bytes(2 << 20)) == 'bucket'
        assert put(b'mine', '--subset-tag', 'checkpoint') == 'files'
        redis('kill')
        assert put(b'small') == 'bucket'
        s3('kill')
        assert put(b'small') == 'files'
