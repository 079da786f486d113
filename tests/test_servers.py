"""Servers for tests in Python start, obey and end."""

from __future__ import annotations

import pathlib
import socket
import urllib.error
import urllib.request

import pytest

from crossdock_servers import Refused, Servers


def ask(where: dict, line: str) -> bytes:
    with socket.create_connection((where['host'], where['port'])) as connection:
        connection.sendall(line.encode() + b'\r\n')
        return connection.recv(100)


def test_redis():
    with Servers('redis', '--password', 's3cret', '--proxy') as redis:
        assert redis['url'] == f'redis://:s3cret@127.0.0.1:{redis["port"]}/0'
        assert ask(redis.said, 'PING').startswith(b'-NOAUTH')
        assert redis('command', 'SET', 'name', 'value') == {'reply': 'OK'}
        redis('kill')
        with pytest.raises(ConnectionRefusedError):
            ask(redis.said, 'PING')
        redis('restart')
        assert ask(redis.said, 'AUTH s3cret') == b'+OK\r\n'
        redis('proxy', 'drop', 1, 'AUTH')
        assert ask(redis['proxy'], 'AUTH s3cret') == b''
        assert ask(redis['proxy'], 'AUTH s3cret') == b'+OK\r\n'
        with pytest.raises(Refused, match='no such command'):
            redis('explode')
    assert not pathlib.Path(redis['dir']).exists()


def test_s3():
    with Servers('s3', '--bucket', 'runs') as s3:
        assert pathlib.Path(s3['buckets']['runs']).is_dir()
        with pytest.raises(urllib.error.HTTPError, match='Forbidden'):
            urllib.request.urlopen(f'{s3["endpoint"]}/runs/none', timeout=60)


def test_what_is_not_installed_is_skipped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv('CROSSDOCK_REDIS_SERVER', '/not/there')
    monkeypatch.delenv('CI', raising=False)
    with pytest.raises(pytest.skip.Exception, match='redis-server is not installed'):
        Servers('redis')
    monkeypatch.setenv('CI', '1')
    with pytest.raises(pytest.fail.Exception, match='redis-server is not installed'):
        Servers('redis')
