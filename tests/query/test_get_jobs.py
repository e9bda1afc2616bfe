"""get_jobs() with ids, and with results: the objects of RQ's own methods."""

from __future__ import annotations

import pickle
import warnings
import zlib
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import redis
import rq.job
from clients.recording import Recorder
from depth import IS_DEEP
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.exceptions import NoPermissionError
from rq.job import Job, JobStatus
from rq.results import Result

import rqreg_ext
from rqreg_ext._query.jobs import JobList
from rqreg_ext.registry import FailedJobRegistry, StartedJobRegistry

if TYPE_CHECKING:
    from every_client import ClientWithout
    from private_redis import PrivateRedis

DATES = [b'2024-02-29T00:00:00.000001Z', b'2026-11-29T21:29:09.123456Z', b'2026-11-29T21:29:09Z', b'yesterday', b'']
TEXTS = [b'', b'text', 'größe'.encode(), b'\xff']
NUMBERS = [b'0', b'1', b'-1', b'180', b'1.5', b'1h', b'']
LISTS = [b'', b'[1, 2]', b'["a"]', b'[']
# Values that RQ or something else may have left in each field of a job's hash.
VALUES: dict[str, list[bytes]] = {
    'data': [zlib.compress(pickle.dumps(('f', None, (1,), {}))), pickle.dumps(('f', None, (), {'a': 2})), b'', b'?'],
    **dict.fromkeys(('created_at', 'enqueued_at', 'started_at', 'ended_at', 'last_heartbeat'), DATES),
    **dict.fromkeys(('origin', 'worker_name', 'description', 'group_id', 'rate_limit_key'), TEXTS),
    **dict.fromkeys(('success_callback_name', 'failure_callback_name', 'stopped_callback_name'), TEXTS),
    **dict.fromkeys(('timeout', 'result_ttl', 'failure_ttl', 'ttl', 'retries_left', 'number_of_retries'), NUMBERS),
    **dict.fromkeys(('repeats_left', 'rate_limit_concurrency', 'success_callback_timeout'), NUMBERS),
    **dict.fromkeys(('enqueue_at_front', 'allow_dependency_failures', 'enqueue_at_front_on_retry'), NUMBERS),
    **dict.fromkeys(('retry_intervals', 'repeat_intervals', 'dependency_ids', 'webhooks'), LISTS),
    'status': [b'queued', b'failed', b'odd', b''],
    'meta': [pickle.dumps({'n': 1}), b'?', b''],
    'result': [pickle.dumps(3), b'?', b''],
    'exc_info': [zlib.compress(b'boom'), b'boom', b'\xff', b''],
    'dependency_id': TEXTS,
    '\xe9': TEXTS,
}
HASHES = st.lists(
    st.sampled_from(sorted(VALUES)).flatmap(lambda name: st.tuples(st.just(name), st.sampled_from(VALUES[name])))
)


class Mine(Job):
    """A custom job class."""


def store(client: Any, *job_ids: str, **options: Any) -> list[Job]:
    jobs = []
    for job_id in job_ids:
        job = Job.create('app.tasks.charge', args=(job_id,), connection=client, id=job_id, origin='q', **options)
        job.save()
        jobs.append(job)
    return jobs


def finish(job: Job, value: Any) -> None:
    Result.create(job, Result.Type.SUCCESSFUL, ttl=100, return_value=value)


def fail(job: Job, text: str) -> None:
    Result.create_failure(job, ttl=100, exc_string=text)


def attributes(job: Any) -> Any:
    """Return all that a job is made of, without what is different each time."""
    if not isinstance(job, Job):
        return job if job is None else (type(job), job.args)
    found = dict(vars(job))
    # A job without this field, or with an empty one, gets the time of the call; before RQ 2.6, none.
    if created_at := found['created_at']:
        found['created_at'] = (created_at.tzinfo, created_at > datetime.now(timezone.utc) - timedelta(1))
    found['webhooks'] = len(found.get('webhooks', ()))
    return type(job), found


def by_rq(client: Any, job_id: str, **options: Any) -> Any:
    try:
        return Job.fetch_many([job_id], connection=client, **options)[0]
    except Exception as error:
        return error


def loaded(jobs: JobList) -> Any:
    [job] = jobs
    return jobs.unreadable[0][1] if jobs.unreadable else job


# ---- The same as RQ


@pytest.mark.parametrize('protocol', [2, 3])
@settings(
    max_examples=2000 if IS_DEEP else 250,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(fields=HASHES)
def test_random_hashes_give_same_jobs_as_fetch_many(
    redis_server: PrivateRedis, protocol: int, fields: list[tuple[str, bytes]]
) -> None:
    with redis_server.client(protocol=protocol) as client:
        client.flushdb()
        client.hset('rq:job:a', mapping={'data': VALUES['data'][0], 'status': b'queued', **dict(fields)})
        expected = attributes(by_rq(client, 'a'))
        assert attributes(loaded(rqreg_ext.get_jobs(client, ['a']))) == expected


def test_job_with_field_name_that_is_not_utf8_is_unreadable(connection: redis.Redis) -> None:
    store(connection, 'a', 'b')
    connection.hset('rq:job:a', b'\xff', 'x')
    jobs = rqreg_ext.get_jobs(connection, ['a', 'b'])
    assert [(job_id, type(error)) for job_id, error in jobs.unreadable] == [('a', UnicodeDecodeError)]
    assert isinstance(by_rq(connection, 'a'), UnicodeDecodeError)
    assert jobs[1] is not None


def test_get_jobs_works_on_each_kind_of_client(job_client: Any, storing_client: Any) -> None:
    stored = store(storing_client, 'a', 'b', meta={'n': 1})
    finish(stored[1], [7])
    jobs = rqreg_ext.get_jobs(job_client, ['b', 'gone', 'a', 'b'], job_class=Mine, with_results=True)
    assert [job and job.id for job in jobs] == ['b', None, 'a', 'b']
    assert all(type(job) is Mine and job.connection is job_client for job in jobs if job)
    assert [job.to_dict() for job in jobs if job] == [stored[1].to_dict(), stored[0].to_dict(), stored[1].to_dict()]
    assert jobs.results is not None
    assert (list(jobs.results), jobs.results['a']) == (['b', 'a'], None)
    assert jobs.results['b'] == stored[1].latest_result()
    assert (jobs.missing, jobs.unreadable, jobs.unreadable_results) == (['gone'], [], [])


@pytest.mark.parametrize('serializer', ['rq.serializers.JSONSerializer', 'rq.serializers.DefaultSerializer', None])
def test_get_jobs_uses_serializer_for_jobs_and_results(connection: redis.Redis, serializer: str | None) -> None:
    [stored] = store(connection, 'a', serializer=serializer, meta={'tries': 3})
    finish(stored, {'n': 1})
    jobs = rqreg_ext.get_jobs(connection, ['a'], serializer=serializer, with_results=True)
    expected = by_rq(connection, 'a', serializer=serializer)
    # Before RQ 2.5, this has the job remember the server's version.
    assert jobs[0].return_value() == expected.return_value()  # type: ignore[union-attr]
    assert attributes(jobs[0]) == attributes(expected)
    assert vars(jobs.results['a']) == vars(expected.latest_result())  # type: ignore[index]


def test_get_jobs_takes_url_and_jobs_and_any_iterable(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    stored = store(connection, 'a', 'b')
    jobs = rqreg_ext.get_jobs(f'redis://127.0.0.1:{redis_server.port}', iter([stored[0], b'b']))  # type: ignore[list-item]
    assert [job.id for job in jobs if job] == ['a', 'b']
    assert jobs[0] is not stored[0]
    assert rqreg_ext.get_jobs(connection, []) == []


def test_get_jobs_of_registry_takes_ids(connection: redis.Redis) -> None:
    registry = FailedJobRegistry('q', connection=connection, job_class=Mine)
    store(connection, 'a', 'b')
    jobs = registry.get_jobs(ids=['b', 'c'])
    assert type(jobs[0]) is Mine
    assert (len(jobs), jobs.missing, jobs.results) == (2, ['c'], None)
    started = StartedJobRegistry('q', connection=connection)
    assert [job and job.id for job in started.get_jobs(ids=['a:one'])] == ['a']


# ---- Results


def test_results_are_those_of_latest_result(connection: redis.Redis) -> None:
    registry = FailedJobRegistry('q', connection=connection)
    jobs = store(connection, *'abcd')
    fail(jobs[0], 'Traceback: boom')
    finish(jobs[1], 1)
    fail(jobs[1], 'later')
    finish(jobs[2], {'n': 3})
    connection.zadd(registry.key, {job.id: 4e9 + number for number, job in enumerate(jobs)})
    for found in (registry.get_jobs(with_results=True), registry.get_jobs(ids=['a', 'b', 'c', 'd'], with_results=True)):
        results = found.results
        assert results is not None
        assert {job_id: result and vars(result) for job_id, result in results.items()} == {
            job.id: (result := job.latest_result()) and vars(result) for job in jobs
        }
        assert [job and job.return_value() for job in found] == [None, None, {'n': 3}, None]
    assert registry.get_jobs().results is None


def test_unreadable_results_are_named_with_error(connection: redis.Redis) -> None:
    jobs = store(connection, 'a', 'b', 'c')
    connection.xadd(Result.get_key('a'), {'type': 1, 'return_value': 'no base64 of a pickle'})
    connection.set(Result.get_key('b'), 'text')
    finish(jobs[2], 1)
    found = rqreg_ext.get_jobs(connection, ['a', 'b', 'c'], with_results=True)
    assert [job and job.id for job in found] == ['a', 'b', 'c']
    assert list(found.results or ()) == ['c']
    errors = dict(found.unreadable_results)
    for job in jobs[:2]:
        with pytest.raises(type(errors[job.id])):
            job.latest_result()
    assert 'unreadable result' in repr(found)


def test_get_jobs_raises_without_right_to_results(connection: redis.Redis, client_without: ClientWithout) -> None:
    store(connection, 'a')
    client = client_without('xrevrange')
    assert rqreg_ext.get_jobs(client, ['a'])[0] is not None
    with pytest.raises(NoPermissionError):
        rqreg_ext.get_jobs(client, ['a'], with_results=True)


def test_get_jobs_takes_one_round_trip_per_thousand_jobs(
    recorded: tuple[Recorder, Any], connection: redis.Redis
) -> None:
    recorder, client = recorded
    [stored] = store(connection, 'a')
    finish(stored, 5)
    jobs = rqreg_ext.get_jobs(client, ['a', 'b'], with_results=True)
    assert recorder.blocks == [['HGETALL', 'HGETALL', 'XREVRANGE', 'XREVRANGE']]
    recorder.clear()
    assert len(rqreg_ext.get_jobs(client, ['a'] * 1001)) == 1001
    assert list(map(len, recorder.blocks)) == [1000, 1]
    recorder.clear()
    assert jobs[0] is not None
    assert (jobs[0].return_value(), jobs[0].get_status(refresh=False)) == (5, JobStatus.CREATED)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)
        assert (jobs[0].result, jobs[0].exc_info) == (5, None)
    # Before RQ 2.5, a job asks for the server's version first.
    assert not recorder.blocks or hasattr(Job, 'supports_redis_streams')


# ---- RQ's own methods, where they were changed


class Restoring(Job):
    """A job with a restore() of its own."""

    def restore(self, raw_data: Any) -> Any:
        super().restore(raw_data)
        self.restored = sorted(raw_data)


class Making(Job):
    """A job that notes what it is made with."""

    def __init__(self, id: str | None = None, connection: Any = None, serializer: Any = None) -> None:
        super().__init__(id, connection, serializer)
        self.given = serializer


class Answering(Job):
    """A job with results of its own."""

    def latest_result(self, timeout: int = 0) -> Any:
        return f'the result of {self.id}'


def test_overridden_methods_are_called(connection: redis.Redis) -> None:
    store(connection, 'a', 'b')
    registry = FailedJobRegistry('q', connection=connection, job_class=Restoring)
    restored = [registry.get_jobs(ids=['a'])[0], Restoring.fetch_many(['a'], connection)[0]]
    assert restored[0].restored == restored[1].restored  # type: ignore[union-attr]
    made = rqreg_ext.get_jobs(connection, ['a'], job_class=Making)[0]
    assert made.given is rq.serializers.DefaultSerializer  # type: ignore[union-attr]
    results = rqreg_ext.get_jobs(connection, ['a', 'c', 'b'], job_class=Answering, with_results=True).results
    assert results == {'a': 'the result of a', 'b': 'the result of b'}


def later(date: Any) -> datetime:
    return datetime(2030, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ('name', 'replacement', 'expected'),
    [
        ('str_to_date', later, {'created_at': later(None)}),
        ('decode_redis_hash', lambda fields: {'data': b'', 'description': b'patched'}, {'description': 'patched'}),
        ('as_text', lambda value: 'queued', {'description': 'queued'}),
        ('Job.restore', lambda self, fields: setattr(self, 'description', len(fields)), {'description': 7}),
        ('parse_timeout', lambda value: 42, {'timeout': 42}),
    ],
)
def test_patches_of_rq_are_called_by_get_jobs(
    connection: redis.Redis, name: str, replacement: Callable[..., Any], expected: dict[str, Any]
) -> None:
    store(connection, 'a', timeout=7, description='mine')
    plain = attributes(rqreg_ext.get_jobs(connection, ['a'])[0])
    owner, _, attribute = name.rpartition('.')
    with mock.patch.object(getattr(rq.job, owner) if owner else rq.job, attribute, replacement):
        [job] = rqreg_ext.get_jobs(connection, ['a'])
        if name == 'Job.restore':
            expected = {'description': len(connection.hgetall('rq:job:a'))}
    assert {field: getattr(job, field) for field in expected} == expected
    assert attributes(rqreg_ext.get_jobs(connection, ['a'])[0]) == plain


def test_patches_of_results_are_called_by_get_jobs(connection: redis.Redis) -> None:
    store(connection, 'a')
    with mock.patch.object(Result, 'fetch_latest', return_value='patched'):
        assert rqreg_ext.get_jobs(connection, ['a'], with_results=True).results == {'a': 'patched'}
    assert rqreg_ext.get_jobs(connection, ['a'], with_results=True).results == {'a': None}


# ---- Bad arguments


@pytest.mark.parametrize(
    ('ids', 'words'),
    [
        ('job-1', "'job-1' is not a collection of job ids: for one job, give a list of one"),
        ([1], r'1 is not a job: give job ids \(str\) or Job objects'),
        (None, 'None is not a collection of job ids'),
    ],
)
def test_get_jobs_refuses_what_are_no_ids(ids: Any, words: str) -> None:
    nowhere = redis.Redis(port=1)
    with pytest.raises(TypeError, match=words):
        rqreg_ext.get_jobs(nowhere, ids)


def test_get_jobs_refuses_page_beside_ids() -> None:
    nowhere: Any = FailedJobRegistry(connection=redis.Redis(port=1))
    with pytest.raises(ValueError, match=r'get_jobs\(\) takes either a page or ids='):
        nowhere.get_jobs(2, ids=['a'])
    with pytest.raises(TypeError, match=r"page=\['a'\] is not an int: give ids by name"):
        nowhere.get_jobs(['a'])
