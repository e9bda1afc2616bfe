"""Reading pickles without running anything in them, and the filters that do so."""

from __future__ import annotations

import collections
import contextlib
import copyreg
import datetime
import enum
import io
import json
import pickle
import pickletools
import uuid
from pathlib import Path
from typing import Any

import pytest
import redis
from rq.job import Job
from rq.serializers import JSONSerializer

from rqreg_ext._query.plain_values import NotPlainError, Opaque, load_json, load_pickle
from rqreg_ext.registry import FailedJobRegistry

NOW = datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)
PLAIN = (
    None,
    True,
    1,
    -(2**80),
    1.5,
    'text',
    b'bytes',
    (1, 2),
    (1, 2, 3, 4),
    [1, [2]],
    {'a': {'b': 1}},
    {1, 2},
    frozenset([3]),
    NOW,
    NOW.date(),
    NOW.time(),
    datetime.timedelta(1),
)


class Color(enum.Enum):
    RED = 1


class Site:
    """An object with attributes."""

    def __init__(self) -> None:
        self.name = 'a'


class Names(list):  # type: ignore[type-arg]
    """A list that is none of Python's."""


class Recording:
    """An object that leaves a trace if it is unpickled."""

    made: list[str] = []

    def __reduce__(self) -> Any:
        return Recording.made.append, ('made',)


OBJECTS = (
    uuid.UUID(int=1),
    Color.RED,
    Site(),
    Names([1]),
    collections.OrderedDict(a=1),
    collections.defaultdict(list, {1: [2]}),
    len,
    Site,
    datetime.datetime,
    io.BytesIO(b'x'),
    Recording(),
)


@pytest.mark.parametrize('protocol', range(3, pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_are_read_from_pickle(protocol: int) -> None:
    assert load_pickle(pickle.dumps(PLAIN, protocol)) == PLAIN


@pytest.mark.parametrize('protocol', range(3))
def test_old_protocols_are_read_as_far_as_they_are_plain(protocol: int) -> None:
    plain = (None, True, 1, 1.5, 'text', {'a': [1]}, {1, 2}, datetime.timedelta(1))
    *found, moment = load_pickle(pickle.dumps((*plain, NOW), protocol))
    assert tuple(found) == plain
    assert isinstance(moment, Opaque)


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize('value', OBJECTS, ids=[type(value).__name__ for value in OBJECTS])
def test_objects_are_not_made_and_equal_nothing(value: Any, protocol: int) -> None:
    if isinstance(value, io.BytesIO) and protocol < 2:
        pytest.skip('not written by these protocols')
    before, found, after = load_pickle(pickle.dumps(('before', value, 'after'), protocol))
    assert (before, after) == ('before', 'after')
    for other in (value, 1, None, found):
        with pytest.raises(NotPlainError):
            assert found == other
    with pytest.raises(NotPlainError):
        assert [found] == [1]
    assert Recording.made == []


def test_nothing_of_a_pickle_is_run(tmp_path: Path) -> None:
    hostile = f"cos\nsystem\n(S'touch {tmp_path}/ran'\ntR.".encode()
    assert isinstance(load_pickle(hostile), Opaque)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    'name', [b'datetime\ndatetime', b'builtins\nset', b'app\nSite'], ids=['datetime', 'set', 'other']
)
def test_build_opcode_changes_no_type(name: bytes) -> None:
    """BUILD with a pair sets the attributes of the second, of a class as well."""
    hostile = b'\x80\x04c' + name + b'\n(N}\x8c\x03hurtK\x01stb.'
    with contextlib.suppress(ValueError):
        load_pickle(hostile)
    found = load_pickle(b'c' + name + b'\n.')
    assert not hasattr(found, 'hurt')


def test_extension_codes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unpickler takes what the process has unpickled before from a table."""
    copyreg.add_extension(__name__, 'Recording', 240)
    try:
        data = pickle.dumps(Recording, 4)
        assert load_pickle(data) is Opaque
        copyreg._extension_cache[240] = Recording  # type: ignore[attr-defined]
        with pytest.raises(ValueError, match='pickle of plain values'):
            load_pickle(data)
    finally:
        copyreg.remove_extension(__name__, 'Recording', 240)
        copyreg.clear_extension_cache()


@pytest.mark.parametrize(
    'data',
    [
        b'',
        b'.',
        b'x',
        b'\x80\x05',
        pickle.dumps(PLAIN)[:-9],
        b'\x80\x04Pid\n.',
        b'\x80\x04]}\x8c\x01xK\x01sb.',
        b'(' * 100,
    ],
)
def test_malformed_pickle_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match='pickle of plain values'):
        load_pickle(data)


@pytest.mark.parametrize('data', [b'', b'{', b'\xff', b'[' * 100_000])
def test_malformed_json_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        load_json(data)


# ---- Filters


def put_jobs(client: redis.Redis, serializer: Any = None) -> FailedJobRegistry:
    """Store two jobs, one whose data are objects, one whose data are spoiled, and an entry of one that is gone."""
    objects = {'site': uuid.UUID(int=1), 'n': 1} if serializer is None else {'site': 'b', 'n': 1}
    meta = {'owner': uuid.UUID(int=1)} if serializer is None else {'owner': 2}
    for job_id, kwargs, of_job in (('a', {'site': 'a', 'n': 1}, {'owner': 1}), ('object', objects, meta)):
        job = Job.create(
            'app.send', args=(kwargs['site'], 1), kwargs=kwargs, connection=client, id=job_id, serializer=serializer
        )
        job.meta = of_job
        job.save()
    client.hset(Job.key_for('spoiled'), mapping={'created_at': 'x', 'data': b'x', 'meta': b'x'})
    client.zadd('rq:failed:q', {'a': 4e9, 'object': 4e9 + 1, 'spoiled': 4e9 + 2, 'gone': 4e9 + 3})
    return FailedJobRegistry('q', connection=client, serializer=serializer)


NOT_PLAIN, UNREADABLE = 'not known without unpickling', 'unreadable data'


@pytest.mark.parametrize(
    ('filters', 'found', 'skipped'),
    [
        ({'kwargs': {'site': 'a'}}, ['a'], {NOT_PLAIN: 1, UNREADABLE: 1}),
        # What is plain decides.
        ({'kwargs': {'site': 'a', 'n': 2}}, [], {UNREADABLE: 1}),
        ({'kwargs': {'n': 1}}, ['a', 'object'], {UNREADABLE: 1}),
        ({'kwargs': 'site'}, ['a', 'object'], {UNREADABLE: 1}),
        ({'kwargs': {('site', 'name'): 1}}, [], {NOT_PLAIN: 1, UNREADABLE: 1}),
        ({'args': {0: 'a'}}, ['a'], {NOT_PLAIN: 1, UNREADABLE: 1}),
        ({'args': {1: 1}}, ['a', 'object'], {UNREADABLE: 1}),
        ({'meta': {'owner': 1}}, ['a'], {NOT_PLAIN: 1, UNREADABLE: 1}),
        ({'meta': 'owner'}, ['a', 'object'], {UNREADABLE: 1}),
        ({'func_name': 'app.*'}, ['a', 'object'], {UNREADABLE: 1}),
    ],
)
@pytest.mark.parametrize('call', ['purge', 'requeue_all'])
def test_jobs_that_no_filter_can_decide_are_counted(
    connection: redis.Redis, call: str, filters: dict[str, Any], found: list[str], skipped: dict[str, int]
) -> None:
    registry = put_jobs(connection)
    assert list(registry.find(**filters)) == found
    for dry_run in (True, False):
        result = getattr(registry, call)(dry_run=dry_run, **filters)
        assert (result.done, result.skipped) == (len(found), skipped)


def test_filters_read_json(connection: redis.Redis) -> None:
    registry = put_jobs(connection, JSONSerializer)
    assert list(registry.find(kwargs={'site': 'b'})) == ['object']
    assert list(registry.find(args={0: 'a'}, meta={'owner': 1})) == ['a']
    assert registry.purge(kwargs={'site': 'c'}).skipped == {UNREADABLE: 1}


def test_filters_run_nothing_of_the_data(connection: redis.Redis) -> None:
    job = Job.create('app.send', kwargs={'x': Recording(), 'n': 1}, connection=connection, id='a')
    job.meta = {'x': Recording(), 'n': 1}
    job.save()
    connection.zadd('rq:failed:q', {'a': 1})
    registry = FailedJobRegistry('q', connection=connection)
    for name in ('kwargs', 'meta'):
        assert list(registry.find(**{name: {'n': 1}})) == ['a']
        assert list(registry.find(**{name: {'x': 1}})) == []
    assert Recording.made == []


class Reversing:
    """A serializer that is not RQ's."""

    @staticmethod
    def dumps(value: Any) -> bytes:
        return json.dumps(value).encode()[::-1]

    @staticmethod
    def loads(data: bytes) -> Any:
        return json.loads(data[::-1])


def test_filters_call_another_serializer(connection: redis.Redis) -> None:
    registry = put_jobs(connection, Reversing)
    assert list(registry.find(kwargs={'site': 'b'}, meta={'owner': 2}, args={1: 1})) == ['object']


def doubled(levels: int) -> bytes:
    """Return a pickle of a set with a tuple that has one tuple twice, and that one another, and so on."""
    tuples = b''.join(b'(h%ch%ct\x94' % (level, level) for level in range(levels))
    return b'\x80\x04)\x94' + tuples + b'\x8f\x94(h%c\x90.' % levels


@pytest.mark.parametrize(
    'data',
    [
        pytest.param(doubled(60), id='tuples that are there twice'),
        pytest.param(b'\x80\x04\x8f()' + b'2\x86' * 60 + b'\x90.', id='tuples that are copied'),
        pytest.param(pickle.dumps({'k': 1}, 2).replace(b'q\x00', b'r\xff\xff\xff\x7f'), id='place in the memo'),
        pytest.param(b'(dp99999999999\nS"k"\nI1\ns.', id='place in the memo, as text'),
    ],
)
def test_pickle_that_would_cost_much_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match='not a pickle of plain values'):
        load_pickle(data)


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_shared_parts_are_read(protocol: int) -> None:
    shared = ('a', ('b', 'c'))
    value = {'rows': [(shared, shared, number) for number in range(500)], 'r': 'rrrrp1234567\n' * 100}
    assert load_pickle(pickle.dumps(value, protocol)) == value


def test_few_doubled_tuples_are_read() -> None:
    value = load_pickle(doubled(12))
    assert type(value) is set


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_opcodes_are_read_only_once_for_memory_and_once_for_time(
    monkeypatch: pytest.MonkeyPatch, protocol: int
) -> None:
    """Every `r` in a text looks like the opcode that names a place in the memo."""
    value = [{'order': f'rrrr{number}', 'path': (f'p{number + 10**6}\n',) * 2} for number in range(100)]
    genops, passes = pickletools.genops, 0

    def counting(data: bytes) -> Any:
        nonlocal passes
        passes += 1
        return genops(data)

    monkeypatch.setattr(pickletools, 'genops', counting)
    assert load_pickle(pickle.dumps(value, protocol)) == value
    assert 1 <= passes <= 2
