"""count_by(): the same groups as a loop over RQ's Job objects."""

from __future__ import annotations

import json
import re
import warnings
from collections import Counter
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq
from clients.recording import Recorder
from every_client import ClientWithout
from redis.exceptions import NoPermissionError
from rq.job import Job, JobStatus
from rq.results import Result

import rqreg_ext
from rqreg_ext import FailedJobRegistry, JobGroup, JobGroups

if TYPE_CHECKING:
    from private_redis import PrivateRedis

NOON = datetime(2024, 2, 29, 12, 30, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
LATER = 4_000_000_000
TEXT = 'Traceback (most recent call last):\n  File "app.py", line 7, in f\n{}\n'


def put_job(client: Any, job_id: str, exception: str | None, ended_at: datetime | None, **options: Any) -> None:
    """Store a failed job and its result as RQ does."""
    queue, worker = options.get('queue', 'q'), options.get('worker', 'berlin')
    job = Job.create(
        options.get('func', 'app.send'), connection=client, id=job_id, origin=queue, status=JobStatus.FAILED
    )
    job.worker_name, job.ended_at, job.enqueued_at = worker, ended_at, NOON - 2 * HOUR
    job.save()
    if exception is not None:
        Result.create_failure(job, ttl=500, exc_string=TEXT.format(exception))
    client.zadd(f'rq:failed:{queue}', {job_id: LATER})


def populate(client: Any) -> None:
    put_job(client, 'a', 'LookupError: order 123 not found', NOON)
    put_job(client, 'b', 'LookupError: order 456 not found', NOON + HOUR)
    put_job(client, 'c', 'LookupError: order 7 not found', NOON - HOUR, func='app.charge', worker='paris')
    put_job(client, 'd', 'app.Refused: by the bank', NOON + 24 * HOUR, func='app.charge')
    put_job(client, 'e', None, NOON, func='app.charge')


@pytest.fixture
def registry(any_client: redis.Redis, storing_client: redis.Redis) -> FailedJobRegistry:
    populate(storing_client)
    return FailedJobRegistry('q', connection=any_client)


def counts(groups: JobGroups) -> dict[Any, int]:
    """Return the counts by the values, which are one if they have one name."""
    return {
        tuple(group.values.values()) if len(groups.names) > 1 else next(iter(group.values.values())): group.count
        for group in groups
    }


@pytest.mark.parametrize(
    ('names', 'found'),
    [
        (['func_name'], {'app.charge': 3, 'app.send': 2}),
        (['exc_type'], {'LookupError': 3, 'app.Refused': 1, None: 1}),
        (['last_line'], {'LookupError: order # not found': 3, 'app.Refused: by the bank': 1, None: 1}),
        (['queue'], {'q': 5}),
        (['worker_name'], {'berlin': 4, 'paris': 1}),
        (['status'], {'failed': 5}),
        (['day'], {date(2024, 2, 29): 4, date(2024, 3, 1): 1}),
        (['hour'], {NOON.replace(minute=0) + n * HOUR: count for n, count in ((-1, 1), (0, 2), (1, 1), (24, 1))}),
        (
            ['func_name', 'exc_type'],
            {
                ('app.send', 'LookupError'): 2,
                ('app.charge', 'LookupError'): 1,
                ('app.charge', 'app.Refused'): 1,
                ('app.charge', None): 1,
            },
        ),
        (['queue', 'day', 'queue'], {('q', date(2024, 2, 29)): 4, ('q', date(2024, 3, 1)): 1}),
    ],
)
def test_groups_equal_those_of_loop_over_jobs(
    registry: FailedJobRegistry, names: list[Any], found: dict[Any, int]
) -> None:
    for chunk_size in (1000, 2):
        groups = registry.count_by(*names, chunk_size=chunk_size)
        assert counts(groups) == found
        assert groups.names == tuple(dict.fromkeys(names))
        assert (groups.total, groups.skipped, groups.errors) == (5, {}, {})
        sizes = [group.count for group in groups]
        assert sizes == sorted(sizes, reverse=True)


def test_groups_have_first_last_and_example(registry: FailedJobRegistry) -> None:
    assert registry.count_by('exc_type')[0] == JobGroup({'exc_type': 'LookupError'}, 3, NOON - HOUR, NOON + HOUR, 'b')
    enqueued = registry.count_by('day', time='enqueued_at')
    assert [(group.values, group.first, group.last) for group in enqueued] == [
        ({'day': date(2024, 2, 29)}, NOON - 2 * HOUR, NOON - 2 * HOUR)
    ]
    started = registry.count_by('hour', time='started_at')
    assert list(started) == [JobGroup({'hour': None}, 5, None, None, started[0].example)]


def test_filters_select_what_is_counted(registry: FailedJobRegistry) -> None:
    assert counts(registry.count_by('func_name', exc_type='LookupError')) == {'app.send': 2, 'app.charge': 1}
    assert counts(registry.count_by('func_name', ended_after=NOON, job_id=re.compile('[bde]'))) == {
        'app.charge': 2,
        'app.send': 1,
    }
    assert counts(registry.count_by('queue', max_score=5)) == {}


def test_groups_of_real_failures_equal_those_of_loop(connection: redis.Redis) -> None:
    queue = rq.Queue('q', connection=connection)
    for number in range(30):
        queue.enqueue(('builtins.int', 'json.loads', 'builtins.divmod')[number % 3], f'x{number}')
    rq.SimpleWorker([queue], connection=connection).work(burst=True, logging_level='CRITICAL')
    registry = FailedJobRegistry('q', connection=connection)
    expected: Counter[Any] = Counter()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)
        for job_id in registry.get_job_ids():
            job = Job.fetch(job_id, connection=connection)
            last = (job.exc_info or '').strip().splitlines()[-1]
            expected[job.func_name, last.partition(':')[0], re.sub(r'\d+', '#', last)] += 1
    assert counts(registry.count_by('func_name', 'exc_type', 'last_line')) == expected
    assert expected.total() == 30


def test_end_of_a_killed_workers_job_is_that_of_its_result(connection: redis.Redis) -> None:
    populate(connection)
    connection.hset(Job.key_for('b'), 'ended_at', '')
    result = Job.fetch('b', connection=connection).latest_result()
    assert result is not None
    for names in (['func_name'], ['func_name', 'exc_type']):
        groups = FailedJobRegistry('q', connection=connection).count_by(*names, job_id='[ab]')  # type: ignore[arg-type]
        (group,) = groups
        assert group.last is not None
        assert (group.first, group.example) == (NOON, 'b')
        assert abs(group.last - result.created_at) < timedelta(seconds=1)


def test_jobs_that_cannot_be_read_are_counted_by_reason(connection: redis.Redis) -> None:
    populate(connection)
    connection.zadd('rq:failed:q', {'gone': LATER})
    connection.hset(Job.key_for('a'), 'data', b'x')
    connection.hset(Job.key_for('b'), 'worker_name', b'\xff')
    connection.delete(Result.get_key('c'))  # type: ignore[no-untyped-call]
    connection.xadd(Result.get_key('c'), {'type': 2, 'exc_string': 'no base64'})  # type: ignore[no-untyped-call]
    registry = FailedJobRegistry('q', connection=connection)
    groups = registry.count_by('func_name', 'worker_name', 'exc_type')
    assert groups.skipped == {
        'unreadable func_name': 1,
        'unreadable worker_name': 1,
        'unreadable exc_type': 1,
        'no such job': 1,
    }
    assert groups.total == 6
    assert str(groups).startswith('2 jobs in 2 groups by')
    assert '  1 skipped: unreadable func_name' in str(groups)
    # What a filter cannot decide has its reason, too; a job that is gone matches no filter on what it was.
    assert registry.count_by('queue', func_name='*').skipped == {'unreadable data': 1}
    assert registry.count_by('queue', started_after=NOON).skipped == {'no known start time': 5, 'no such job': 1}


def test_fields_of_a_result_in_another_order(connection: redis.Redis) -> None:
    populate(connection)
    ((_, fields),) = connection.xrange(Result.get_key('a'))  # type: ignore[no-untyped-call]
    connection.delete(Result.get_key('a'))  # type: ignore[no-untyped-call]
    connection.xadd(Result.get_key('a'), dict(reversed(fields.items())))  # type: ignore[no-untyped-call]
    assert counts(FailedJobRegistry('q', connection=connection).count_by('exc_type', job_id='a')) == {'LookupError': 1}


def test_count_by_reads_only_what_is_needed(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    populate(connection)
    with Recorder(redis_server.port) as recorder, redis.Redis(port=recorder.port) as client:
        registry = FailedJobRegistry('q', connection=client)
        registry.get_job_count(cleanup=False)
        for names, of_jobs in (
            (['func_name', 'day', 'status'], ['HMGET'] * 5),
            (['exc_type', 'last_line'], ['HMGET', 'XREVRANGE'] * 5),
        ):
            recorder.clear()
            registry.count_by(*names)  # type: ignore[arg-type]
            assert recorder.blocks == [['ZRANGEBYSCORE', 'ZREVRANGEBYSCORE', 'ZCOUNT'], of_jobs]


def test_count_by_counts_started_jobs(connection: redis.Redis) -> None:
    put_job(connection, 'a', None, None)
    connection.zadd('rq:wip:q', {'a:1': LATER})
    groups = rqreg_ext.StartedJobRegistry('q', connection=connection).count_by('func_name')
    assert [(group.values, group.example) for group in groups] == [({'func_name': 'app.send'}, 'a')]


# ---- What is printed


def test_groups_print_as_table_and_dump_as_json(connection: redis.Redis) -> None:
    populate(connection)
    groups = FailedJobRegistry('q', connection=connection).count_by('func_name', 'exc_type')
    first, *lines = str(groups).splitlines()
    assert re.fullmatch(r'5 jobs in 4 groups by func_name, exc_type; \d\.\d{3} s', first)
    assert lines[0] == '  2  app.send    LookupError  2024-02-29 12:30:00 to 2024-02-29 13:30:00  b'
    assert '  1  app.charge  -            2024-02-29 12:30:00                         e' in lines
    assert repr(groups) == f'<JobGroups: {first}>'
    assert str(groups[0]) == '2  app.send  LookupError  2024-02-29 12:30:00 to 2024-02-29 13:30:00  b'
    described = json.loads(json.dumps(groups.to_dict()))
    assert described['total'] == 5
    assert described['groups'][0] == {
        'values': {'func_name': 'app.send', 'exc_type': 'LookupError'},
        'count': 2,
        'first': '2024-02-29T12:30:00+00:00',
        'last': '2024-02-29T13:30:00+00:00',
        'example': 'b',
    }
    by_day = FailedJobRegistry('q', connection=connection).count_by('day').to_dict()
    assert by_day['groups'][0]['values'] == {'day': '2024-02-29'}


def test_long_result_is_printed_in_part() -> None:
    groups = JobGroups(['last_line'], [JobGroup({'last_line': 'x' * 100}, 1, None, None, 'a')] * 25)
    lines = str(groups).splitlines()
    assert len(lines) == 22
    assert lines[1] == f'  1  {"x" * 79}…  -  a'
    assert lines[-1] == '  and 5 smaller groups'
    assert str(JobGroups(['queue'])).startswith('no jobs in no groups by queue;')
    assert len(groups[:3]) == 3


# ---- Bad input


@pytest.mark.parametrize(
    ('names', 'options', 'error', 'words'),
    [
        ([], {}, TypeError, r"takes the names of what to count by: give some of 'func_name', 'exc_type'"),
        ([['func_name']], {}, TypeError, r"\['func_name'\] is not a name of what to count by"),
        (['function'], {}, ValueError, r"'function' is nothing to count by: give some of"),
        (['func'], {}, ValueError, r"'func' is nothing to count by \(did you mean 'func_name'\?\)"),
        (['day'], {'time': 'ended_at'}, ValueError, "time='ended_at' is not a time of a job: give one of 'end'"),
        (['day'], {'chunk_size': 0}, ValueError, 'chunk_size=0'),
        (['day'], {'limit': 5}, TypeError, 'takes no limit'),
        (['day'], {'func_name': None}, TypeError, 'func_name=None is not a filter'),
    ],
)
def test_bad_arguments_raise(names: list[Any], options: dict[str, Any], error: type, words: str) -> None:
    nowhere = redis.Redis(port=1)
    for call in (FailedJobRegistry(connection=nowhere).count_by, lambda *a, **o: rqreg_ext.count_by(nowhere, *a, **o)):
        with pytest.raises(error, match=words):
            call(*names, **options)


def test_count_by_refuses_registry_of_executions(connection: redis.Redis) -> None:
    executions: Any = rqreg_ext.ExecutionRegistry('a', connection=connection)
    with pytest.raises(TypeError, match='holds the executions of one job'):
        executions.count_by('queue')


def test_server_error_is_raised(connection: redis.Redis, client_without: ClientWithout) -> None:
    populate(connection)
    registry = FailedJobRegistry('q', connection=client_without('xrevrange'))
    with pytest.raises(NoPermissionError, match='xrevrange'):
        registry.count_by('exc_type')
    assert counts(registry.count_by('queue')) == {'q': 5}
