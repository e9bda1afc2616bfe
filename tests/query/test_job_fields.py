"""The fields of jobs that find() returns: the same values as in RQ's Job."""

from __future__ import annotations

import pickle
import re
import time
import warnings
import zlib
from typing import TYPE_CHECKING, Any

import pytest
import rq
from differential.world import TRAITS, AJob, World, Writer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rq.job import Job
from rq.results import Result
from rq.serializers import DefaultSerializer, JSONSerializer

from rqreg_ext._query.job_fields import FIELDS
from rqreg_ext._query.tracebacks import exception_in
from rqreg_ext.registry import FailedJobRegistry

if TYPE_CHECKING:
    import redis

JSON = 'rq.serializers.JSONSerializer'
# The field of the hash from which an attribute is read, if it has another name.
COLUMNS = dict.fromkeys(('func_name', 'instance', 'args', 'kwargs'), b'data')


def value_in_rq(client: redis.Redis, job_id: str, field: str, serializer: Any) -> Any:
    """Return an attribute of the Job, loaded from only the field that it needs, so that others cannot make it fail.

    None if RQ cannot read it, or if the job is gone.
    """
    key = Job.key_for(job_id)
    if client.type(key) != b'hash':
        return None
    found = client.hgetall(key)
    columns = {b'data', COLUMNS.get(field, field.encode())}
    hash = {b'data': b'', **{name: value for name, value in found.items() if name in columns}}
    job = Job(job_id, connection=client, serializer=serializer)
    if field == 'created_at' and not found.get(b'created_at'):
        # RQ returns the current time.
        return None
    if field == 'status':
        return job_status(hash)
    if field == 'exc_info':
        # RQ also loads the return value of the result, with this serializer.
        job.serializer = DefaultSerializer
    try:
        job.restore(hash)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', DeprecationWarning)
            return getattr(job, field)
    except Exception:
        return None


def job_status(hash: dict[bytes, bytes]) -> Any:
    status = hash.get(b'status', b'created')
    try:
        # A status that this RQ does not know is returned as a str.
        return status.decode()
    except UnicodeDecodeError:
        return None


# The fields that are attributes of Job.
OF_JOB = tuple(field for field in FIELDS if field not in ('end', 'exc_type', 'exc_message'))


def fields_of(registry: FailedJobRegistry, job_id: str, *fields: str) -> dict[str, Any]:
    [(_, values)] = registry.find(fields=fields or FIELDS, job_id=job_id)
    return values


@settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    traits=st.lists(st.sampled_from(TRAITS), max_size=6, unique=True),
    status=st.sampled_from(['failed', 'stopped', 'canceled']),
    serializer=st.sampled_from([None, JSON]),
)
def test_every_field_has_same_value_as_in_job(
    connection: redis.Redis, traits: list[str], status: str, serializer: str | None
) -> None:
    connection.flushdb()
    with connection.pipeline(transaction=False) as pipe:
        Writer(World(jobs=[AJob('a', status, traits)], serializer=serializer), pipe, int(time.time())).write()
        pipe.execute()
    registry = FailedJobRegistry('q', connection=connection, serializer=serializer)
    connection.zadd(registry.key, {'a': 1})
    values = fields_of(registry, 'a', *OF_JOB)
    assert values == {field: value_in_rq(connection, 'a', field, registry.serializer) for field in OF_JOB}
    assert list(values) == list(OF_JOB)


def test_docstring_names_every_field() -> None:
    documented = re.search(r'fields: (.+?)chunk_size:', FailedJobRegistry.find.__doc__ or '', re.DOTALL)
    assert documented is not None
    assert {*FIELDS} - {*re.findall(r'\w+', documented[1])} == set()


def test_fields_of_job_that_failed_in_worker_equal_those_of_job(connection: redis.Redis) -> None:
    queue = rq.Queue('q', connection=connection)
    job = queue.enqueue(divide, 1, 0, meta={'tenant': 'acme'}, result_ttl=77)
    rq.SimpleWorker([queue], connection=connection).work(burst=True)
    registry = FailedJobRegistry('q', connection=connection)
    job = Job.fetch(job.id, connection=connection)
    values = fields_of(registry, job.id)
    assert values['func_name'] == job.func_name == f'{__name__}.divide'
    assert values['exc_info'] == job.latest_result().exc_string  # type: ignore[union-attr]
    assert 'ZeroDivisionError' in values['exc_info']
    assert (values['args'], values['kwargs']) == ((1, 0), {})
    assert (values['status'], values['meta'], values['result_ttl']) == ('failed', {'tenant': 'acme'}, 77)
    for field in ('created_at', 'enqueued_at', 'started_at', 'ended_at', 'description', 'origin', 'timeout'):
        assert values[field] == getattr(job, field) is not None


def divide(dividend: int, divisor: int) -> float:
    return dividend / divisor


# ---- The name of the function


def put(connection: redis.Redis, data: bytes, job_id: str = 'a') -> None:
    connection.hset(Job.key_for(job_id), mapping={'data': data, 'created_at': '2024-02-29T12:30:00.250000Z'})
    connection.zadd('rq:failed:q', {job_id: 1})


class Armed:
    """Raises an error when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return go_off, ()


def go_off() -> None:
    raise AssertionError('the arguments were loaded')


# Text that zlib compresses badly.
NOISE = ''.join(chr(300 + n * n % 65521 % 1000) for n in range(30_000))
NAMES = ['say', 'app.tasks.send', 'räksmörgås.𝄞', 'x' * 255, 'x' * 256, 'ä' * 200, 'n' * 70_000, NOISE, 'q"\\\n', '']


@pytest.mark.parametrize('compressed', [True, False])
@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_func_name_is_read_without_unpickling_arguments(
    connection: redis.Redis, protocol: int, compressed: bool
) -> None:
    registry = FailedJobRegistry('q', connection=connection)
    for name in NAMES:
        for arguments in [(), ([NOISE, Armed()],)]:
            data = pickle.dumps((name, None, arguments, {}), protocol)
            put(connection, zlib.compress(data) if compressed else data)
            assert fields_of(registry, 'a', 'func_name') == {'func_name': name}
            assert list(registry.find(func_name='[!z]*')) == (['a'] if name else [])


@pytest.mark.parametrize('compressed', [True, False])
def test_func_name_is_read_from_json(connection: redis.Redis, compressed: bool) -> None:
    registry = FailedJobRegistry('q', connection=connection, serializer=JSONSerializer)
    for name in NAMES:
        for arguments in [[], [NOISE]]:
            data = JSONSerializer.dumps([name, None, arguments, {}])
            put(connection, zlib.compress(data) if compressed else data)
            assert fields_of(registry, 'a', 'func_name') == {'func_name': name}


class Reversed:
    """A custom serializer."""

    @staticmethod
    def dumps(value: Any) -> bytes:
        return pickle.dumps(value)[::-1]

    @staticmethod
    def loads(data: bytes) -> Any:
        return pickle.loads(data[::-1])


def test_fields_are_read_by_custom_serializer(connection: redis.Redis) -> None:
    queue = rq.Queue('q', connection=connection, serializer=Reversed)
    job = queue.enqueue('app.tasks.send', 1, b=2, meta={'tenant': 'acme'})
    registry = FailedJobRegistry(queue=queue)
    connection.zadd(registry.key, {job.id: 1})
    assert fields_of(registry, job.id, 'func_name', 'args', 'kwargs', 'meta') == {
        'func_name': 'app.tasks.send',
        'args': (1,),
        'kwargs': {'b': 2},
        'meta': {'tenant': 'acme'},
    }


@pytest.mark.parametrize(
    'data',
    [b'', b'x', b'\x80', pickle.dumps(5), pickle.dumps([]), pickle.dumps({'a': 1}), b'{"a": 1}', b'\xff' * 40],
)
@pytest.mark.parametrize('serializer', [DefaultSerializer, JSONSerializer, Reversed])
def test_fields_of_malformed_data_are_none(connection: redis.Redis, data: bytes, serializer: Any) -> None:
    registry = FailedJobRegistry('q', connection=connection, serializer=serializer)
    for stored in (data, zlib.compress(data)):
        put(connection, stored)
        assert fields_of(registry, 'a', 'func_name', 'args') == {'func_name': None, 'args': None}
        assert list(registry.find(func_name='*')) == []


# ---- The text of the exception


def result(connection: redis.Redis, kind: Result.Type, text: str | None) -> None:
    job = Job('a', connection=connection)
    Result.create(job, kind, ttl=500, exc_string=text, return_value=1)


@pytest.mark.covering(1)
@pytest.mark.parametrize(
    'in_hash', [None, '', 'an older exception', 'Traceback (most recent call last):\n  File "x"\napp.Older: x\n']
)
@pytest.mark.parametrize(
    'results',
    [
        [],
        [(Result.Type.FAILED, 'first')],
        [(Result.Type.FAILED, 'Traceback (most recent call last):\n  File "x"\nKeyError: 5\n')],
        [(Result.Type.FAILED, 'first'), (Result.Type.FAILED, 'naïve ' * 5000 + NOISE)],
        [(Result.Type.FAILED, 'first'), (Result.Type.SUCCESSFUL, None)],
        [(Result.Type.FAILED, 'first'), (Result.Type.RETRIED, None)],
        [(Result.Type.STOPPED, 'stopped'), (Result.Type.FAILED, '')],
        [(Result.Type.FAILED, None)],
    ],
)
def test_exc_info_is_same_as_in_job(
    any_client: redis.Redis,
    storing_client: redis.Redis,
    in_hash: str | None,
    results: list[tuple[Result.Type, str | None]],
) -> None:
    put(storing_client, pickle.dumps(('f', None, (), {})))
    if in_hash is not None:
        storing_client.hset(Job.key_for('a'), 'exc_info', zlib.compress(in_hash.encode()))
    for kind, text in results:
        result(storing_client, kind, text)
    job = Job.fetch('a', connection=storing_client)
    with pytest.warns(DeprecationWarning, match='exc_info is deprecated'):
        expected = job.exc_info
    registry = FailedJobRegistry('q', connection=any_client)
    assert fields_of(registry, 'a', 'exc_info') == {'exc_info': expected}
    name, message = (None, None) if expected is None else exception_in(expected.encode())
    assert fields_of(registry, 'a', 'exc_type', 'exc_message') == {'exc_type': name, 'exc_message': message}
    assert list(registry.find(exc_info=re.compile(''))) == ([] if expected is None else ['a'])


def test_exc_info_is_of_hash_if_results_are_malformed(connection: redis.Redis) -> None:
    put(connection, b'data')
    connection.hset(Job.key_for('a'), 'exc_info', 'plain text')
    connection.set(Result.get_key('a'), 'text')  # type: ignore[no-untyped-call]
    registry = FailedJobRegistry('q', connection=connection)
    assert fields_of(registry, 'a', 'exc_info') == {'exc_info': 'plain text'}
    connection.delete(Result.get_key('a'))  # type: ignore[no-untyped-call]
    connection.xadd(Result.get_key('a'), {'type': 2, 'exc_string': 'not base64!'})  # type: ignore[no-untyped-call]
    assert fields_of(registry, 'a', 'exc_info') == {'exc_info': None}
    assert list(registry.find(exc_info=re.compile(''))) == []
