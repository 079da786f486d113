"""Connectors towards the code of others: exceptions, mappings, buffers and methods as these want to be treated."""

from __future__ import annotations

import collections
import dataclasses
import multiprocessing
import pathlib
import pickle
import threading
import warnings
from typing import Any, NamedTuple

import numpy
import pytest

from crossdock import exceptions
from crossdock.connectors.file import FileConnector
from crossdock.connectors.local import LocalConnector, LocalKey
from crossdock.connectors.multi import MultiConnector, Policy


class Key(NamedTuple):
    n: int


class Foreign:
    """A connector of somebody else's."""

    def __init__(self, raises: dict[str, BaseException] | None = None) -> None:
        self.raises = raises or {}
        self.objects: dict[Key, Any] = {}
        self.closed = False

    def _may_raise(self, method: str) -> None:
        if method in self.raises:
            raise self.raises[method]

    def put(self, obj: Any) -> Key:
        self._may_raise('put')
        key = Key(len(self.objects))
        self.objects[key] = obj
        return key

    def get(self, key: Key) -> Any:
        return self.objects.get(key)

    def exists(self, key: Key) -> bool:
        return key in self.objects

    def evict(self, key: Key) -> None:
        self._may_raise('evict')
        self.objects.pop(key, None)

    def config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Foreign:
        raise KeyboardInterrupt

    def close(self) -> None:
        self.closed = True
        self._may_raise('close')


@pytest.mark.parametrize('final', [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_comes_through(final: type[BaseException]) -> None:
    multi = MultiConnector(
        {
            'first': (Foreign({'evict': final('now')}), Policy(max_size_bytes=2)),
            'last': (Foreign({'put': OSError('full')}), Policy()),
        }
    )
    with pytest.raises(final):
        multi.put_batch([b'1', b'2', b'long'])

    closing = MultiConnector({'a': (Foreign({'close': final()}), Policy()), 'b': (Foreign(), Policy())})
    last = closing.connectors['b'].connector
    with pytest.raises(final):
        closing.close()
    assert last.closed


def test_ctrl_c_while_opening_is_no_reason_to_fall_back() -> None:
    multi = MultiConnector.from_config(
        {
            'slow': (f'{__name__}.Foreign', {}, {'priority': 1, 'fallback': True}),
            'memory': ('crossdock.connectors.local.LocalConnector', {}, {}),
        }
    )
    with pytest.raises(KeyboardInterrupt):
        multi.put(b'x')


def test_a_mistake_in_a_class_path_heals_by_no_retry() -> None:
    multi = MultiConnector.from_config({'a': ('no.such.Class', {}, {})})
    with pytest.raises(exceptions.UnavailableError) as raised:
        multi.put(b'x')
    assert not raised.value.retryable
    assert isinstance(raised.value.__cause__, ModuleNotFoundError)


class Hooked(dict):
    """A dictionary that notices."""

    seen: collections.Counter[str]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.seen['set'] += 1
        super().__setitem__(key, value)

    def __delitem__(self, key: Any) -> None:
        self.seen['del'] += 1
        super().__delitem__(key)


def test_a_mapping_of_the_callers_is_used_as_it_wants() -> None:
    hooked = Hooked()
    hooked.seen = collections.Counter()
    connector = LocalConnector(hooked)
    key = connector.put(b'object')
    assert connector.get(key) == b'object'
    connector.evict(key)
    connector.evict(key)
    assert hooked.seen == {'set': 1, 'del': 1}

    ordered: collections.OrderedDict[LocalKey, Any] = collections.OrderedDict()
    keys = LocalConnector(ordered).put_batch([b'1', b'2'])
    assert list(ordered.items()) == [(keys[0], b'1'), (keys[1], b'2')]


def test_a_dictionary_of_another_process_is_a_store() -> None:
    with multiprocessing.get_context('spawn').Manager() as manager:
        shared = manager.dict()
        key = LocalConnector(shared).put(b'object')
        assert LocalConnector(shared).get(key) == b'object'
        assert not LocalConnector().exists(key)


@pytest.mark.parametrize('wrong', [[], 'text', 3])
def test_what_is_no_mapping_is_no_store(wrong: Any) -> None:
    with pytest.raises(TypeError, match='store_dict'):
        LocalConnector(wrong)


@pytest.mark.parametrize('kind', ['local', 'file'])
def test_of_two_threads_that_set_one_key_one_wins(kind: str, tmp_path: pathlib.Path) -> None:
    connector = LocalConnector() if kind == 'local' else FileConnector(tmp_path)
    objects = [bytearray([n]) * 3_000_000 for n in range(2)]
    for _ in range(15):
        key, start, outcomes = connector.new_key(), threading.Barrier(2), []

        def write(n: int, key: Any = key, start: Any = start, outcomes: list[Any] = outcomes) -> None:
            start.wait()
            try:
                connector.set(key, objects[n])
                outcomes.append(n)
            except exceptions.AlreadyExistsError:
                pass

        threads = [threading.Thread(target=write, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(outcomes) == 1
        assert connector.get(key) == objects[outcomes[0]]
        connector.evict(key)


def test_the_buffer_of_an_object_is_free_for_a_connector_of_python() -> None:
    class Releases(Foreign):
        def put(self, obj: Any) -> Key:
            with obj:
                return super().put(bytes(obj))

    multi = MultiConnector({'a': (Releases(), Policy())})
    assert multi.get(multi.put(memoryview(bytearray(b'object')))) == b'object'


def test_references_to_python_objects_are_no_bytes(tmp_path: pathlib.Path) -> None:
    for connector in (LocalConnector(), FileConnector(tmp_path)):
        with pytest.raises(TypeError, match='references'):
            connector.put(numpy.array([object()], dtype=object))


def test_methods_get_the_keywords_that_they_take() -> None:
    seen: list[Any] = []

    class Half(Foreign):
        def put(self, obj: Any, subset_tags: Any = ()) -> Key:
            seen.append(list(subset_tags))
            return super().put(obj)

        def new_key(self, obj: Any = None) -> Key:
            return Key(99)

        def set(self, key: Key, obj: Any) -> None:
            self.objects[key] = obj

    class Quiet(FileConnector):
        def put(self, obj: Any) -> Any:
            return super().put(obj)

    multi = MultiConnector({'half': (Half(), Policy(subset_tags=['a']))})
    multi.put(b'x', subset_tags=['a'])
    multi.set(multi.new_key(subset_tags=['a']), b'y')
    assert seen == [['a']]
    with pytest.raises(exceptions.UnsupportedError, match='durability'):
        multi.put(b'x', durability='host')


def test_a_key_for_an_object_of_unknown_size_comes_from_who_takes_every_size(tmp_path: pathlib.Path) -> None:
    multi = MultiConnector(
        {
            'small': (LocalConnector(), Policy(max_size_bytes=5, priority=2)),
            'rest': (FileConnector(tmp_path), Policy(priority=1)),
        }
    )
    assert multi.new_key().connector_name == 'rest'
    assert multi.new_key(b'tiny').connector_name == 'small'
    only = MultiConnector({'small': (LocalConnector(), Policy(max_size_bytes=5))})
    assert only.new_key().connector_name == 'small'


def test_a_class_derived_from_policy_is_a_dataclass_too() -> None:
    @dataclasses.dataclass
    class Noted(Policy):
        note: str = ''

    noted = Noted(priority=3, note='why')
    assert (noted.priority, noted.note) == (3, 'why')
    assert dataclasses.replace(Policy(priority=1), priority=2).priority == 2
    with pytest.raises(AttributeError, match='priority'):
        del noted.priority


def test_a_config_says_what_routes() -> None:
    policy = Policy(subset_tags=['a'])
    multi = MultiConnector({'a': (LocalConnector(), policy)})
    policy.subset_tags.append('b')
    assert multi.config()['a'][2]['subset_tags'] == ['a']
    multi.config()['a'][2]['subset_tags'].append('c')
    assert multi.config()['a'][2]['subset_tags'] == ['a']


def test_arguments_of_close_are_checked_before_anything_is_closed() -> None:
    inner = MultiConnector({'memory': (LocalConnector(), Policy())})
    outer = MultiConnector({'inner': (inner, Policy())})
    with pytest.raises(TypeError, match='bogus'):
        outer.close(bogus=1)
    outer.get(outer.put(b'still open'))
    outer.close(clear=True)
    outer.close(clear=True)
    with pytest.raises(exceptions.ClosedError):
        inner.put(b'x')


def test_nothing_is_opened_once_it_is_closed() -> None:
    multi = MultiConnector.from_config({'slow': (f'{__name__}.Foreign', {}, {})})
    multi.close()
    with pytest.raises(exceptions.ClosedError):
        multi.connectors['slow']


def test_multi_connectors_stand_in_each_other_sixteen_deep_at_most() -> None:
    multi = MultiConnector({'memory': (LocalConnector(), Policy())})
    for _ in range(15):
        multi = MultiConnector({'inner': (multi, Policy())})
    assert multi.get(multi.put(b'object')) == b'object'
    with pytest.raises(exceptions.InvalidConfigError, match='16'):
        MultiConnector({'inner': (multi, Policy())})
    itself = MultiConnector.__new__(MultiConnector)
    with pytest.raises(TypeError, match='never built'):
        itself.__init__({'itself': (itself, Policy())})


def test_a_quota_counts_what_a_replacement_frees() -> None:
    connector = LocalConnector(max_total_bytes=10, write_once=False)
    key = connector.put(b'0123456789')
    connector.set(key, b'9876543210')
    with pytest.raises(exceptions.TooLargeError):
        connector.set(key, b'01234567890')
    assert connector.get(key) == b'9876543210'
    connector.evict(key)
    connector.put(b'0123456789')


def test_warnings_point_at_whoever_wrote_the_string() -> None:
    multi = MultiConnector({'a': (LocalConnector(), Policy(subset_tags=['a', 'b']))})
    calls = [
        lambda: multi.put(b'x', subset_tags='ab'),
        lambda: multi.explain(subset_tags='ab'),
        lambda: Policy(subset_tags='ab'),
        lambda: Policy().is_valid(subset_tags='ab'),
    ]
    for call in calls:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter('always')
            call()
        assert [warning.filename for warning in seen] == [__file__]


@pytest.mark.parametrize('wrong', [-1, 1.5, 'text'])
def test_sizes_are_whole_and_not_below_zero(wrong: Any) -> None:
    multi = MultiConnector({'a': (LocalConnector(), Policy())})
    with pytest.raises((TypeError, ValueError), match='size_bytes'):
        multi.explain(size_bytes=wrong)
    assert multi.explain(size_bytes=2**80).route is None
    with pytest.raises(ValueError, match='max_total_bytes'):
        LocalConnector(max_total_bytes=-1)


def test_a_key_whose_field_is_wrong_is_told_so() -> None:
    with pytest.raises(exceptions.InvalidKeyError, match='a field of this LocalKey'):
        LocalConnector().get(LocalKey(3))  # type: ignore[arg-type]
    assert pickle.loads(pickle.dumps(LocalKey('x'))) == LocalKey('x')


def test_a_class_is_no_connector() -> None:
    with pytest.raises(TypeError, match=r'LocalConnector\(\.\.\.\)'):
        MultiConnector({'a': (LocalConnector, Policy())})
