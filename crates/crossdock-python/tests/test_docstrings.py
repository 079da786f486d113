"""Everything public is documented, and the examples in the documentation run."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest

import crossdock

MODULES = ['crossdock'] + [
    module.name
    for module in pkgutil.walk_packages(crossdock.__path__, 'crossdock.')
    if not module.name.rpartition('.')[2].startswith('_')
]


def documented() -> list[tuple[str, object]]:
    """Every public module, class, function and method, by name."""
    found: dict[str, object] = {}
    for name in MODULES:
        module = importlib.import_module(name)
        found[name] = module
        for public in getattr(module, '__all__', []):
            value = getattr(module, public)
            if callable(value) and value.__module__.startswith('crossdock'):
                found[f'{name}.{public}'] = value
            if inspect.isclass(value) and value.__module__.startswith('crossdock'):
                for attribute in dir(value):
                    ours = any(
                        attribute in vars(base) for base in value.__mro__ if base.__module__.startswith('crossdock')
                    )
                    if ours and not attribute.startswith('_') and callable(getattr(value, attribute)):
                        found[f'{name}.{public}.{attribute}'] = getattr(value, attribute)
    return sorted(found.items())


NAMED = documented()


def test_there_is_something_to_look_at() -> None:
    names = {name for name, _ in NAMED}
    assert {'crossdock.load', 'crossdock.connectors.multi.MultiConnector.put', 'crossdock.utils.hostname'} <= names


@pytest.mark.parametrize(('name', 'value'), NAMED, ids=[name for name, _ in NAMED])
def test_it_is_documented_and_its_example_runs(name: str, value: object) -> None:
    text = inspect.getdoc(value)
    assert text and len(text) > 10, f'{name} has no docstring'
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    report: list[str] = []
    runner.run(test, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, ''.join(report)
