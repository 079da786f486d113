"""Multi-connectors from policy files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossdock.connectors.multi import MultiConnector


def load(path_or_text: str | os.PathLike[str], *, import_classes: bool = False) -> MultiConnector:
    """Build a multi-connector from a policy file, in TOML or in either form of JSON.

    The text is data: it can name the connectors of this package (by their types or class paths, or by ProxyStore's
    class paths), and nothing else is imported because of it.

    Args:
        path_or_text: The path of a file; or its text, if it has more than one line or begins with a brace.
        import_classes: Import other class paths too, as `MultiConnector.from_config` does. Only for texts that you
            trust as you trust code.

    Returns:
        The multi-connector. Nothing is opened for entries whose host pattern does not match here.

    Raises:
        InvalidConfigError: The text is wrong; the message says the line, the place and what to do.
        FileNotFoundError: There is no such file.

    Example:
        >>> import crossdock
        >>> with crossdock.load('[connectors.memory]\\ntype = "local"') as connector:
        ...     connector.get(connector.put(b'object'))
        b'object'
    """
    import json

    from crossdock._crossdock import read_config
    from crossdock.connectors.multi import MultiConnector
    from crossdock.exceptions import InvalidConfigError

    if isinstance(path_or_text, str) and ('\n' in path_or_text or path_or_text.lstrip().startswith('{')):
        text = read_config(text=path_or_text)
    else:
        path = os.fspath(path_or_text)
        if not os.path.exists(path):
            raise FileNotFoundError(f'there is no policy file {path!r}; name one, or pass its text (of several lines)')
        text = read_config(path=path)
    config = json.loads(text)
    if not import_classes:
        for place, class_path in _foreign_classes(config, 'connectors'):
            raise InvalidConfigError(
                f'{place}: the class {class_path!r} is none of crossdock, and a text must not import others; if you trust '
                'it as you trust code, say import_classes=True',
            )
    return MultiConnector.from_config(config)


def _foreign_classes(config: dict[str, Any], place: str) -> Iterator[tuple[str, str]]:
    """The place and path of every class that is not ours, within nested multi-connectors too."""
    from crossdock.connectors import multi

    for name, (class_path, options, _) in config.items():
        if class_path == multi._path_of(multi.MultiConnector):
            yield from _foreign_classes(options, f'{place}.{name}')
        elif class_path not in multi._OWN:
            yield f'{place}.{name}', class_path
