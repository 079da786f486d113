"""What holds for every test here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from proxystore import store


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line('filterwarnings', 'ignore::proxystore.warnings.ExperimentalWarning')
    # Forks of processes with threads are what is tested.
    config.addinivalue_line('filterwarnings', 'ignore:.*multi-threaded, use of fork:DeprecationWarning')


@pytest.fixture(autouse=True)
def _environment_of_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('CROSSDOCK_HOSTNAME', raising=False)
    monkeypatch.setenv('PYTHONWARNINGS', 'ignore')


@pytest.fixture(autouse=True)
def _no_store_stays_registered() -> Iterator[None]:
    """Proxies that are resolved register a store, which would answer for the next test's."""
    yield
    for name in list(store._stores):
        store.unregister_store(name)
