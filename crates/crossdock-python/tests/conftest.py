"""What holds for every test here."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _hostname_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('CROSSDOCK_HOSTNAME', raising=False)


@pytest.fixture(autouse=True)
def _no_registered_store() -> object:
    yield
    from proxystore import store

    left = list(store._stores)
    for name in left:
        store.unregister_store(name)
