"""Filters on times: the values they accept, and jobs whose end RQ did not record."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import re
import sys
import time
import tracemalloc
from collections.abc import Callable
from datetime import datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING, Any

import pytest
import redis
from clients.recording import Recorder
from differential.database import differences, dump
from integrity import jobs
from integrity.states import DeafWorker, LeavingWorker, die, let_time_pass, until, work
from rq import Queue, Retry
from rq.job import Job
from rq.registry import StartedJobRegistry
from rq.results import Result
from rq.utils import str_to_date, utcformat
from workers.sides import Program

import rqreg_ext
from rqreg_ext.registry import FailedJobRegistry

if TYPE_CHECKING:
    from private_redis import PrivateRedis

HOUR = timedelta(hours=1)
NOW = datetime.now(timezone.utc)


def failed_of(client: Any) -> FailedJobRegistry:
    return FailedJobRegistry('q', connection=client)


CALLS: dict[str, Callable[..., Any]] = {
    'find': lambda client, **filters: list(failed_of(client).find(**filters)),
    'find(fields)': lambda client, **filters: list(failed_of(client).find(fields=['status'], **filters)),
    'purge': lambda client, **filters: failed_of(client).purge(**filters),
    'purge(dry_run)': lambda client, **filters: failed_of(client).purge(dry_run=True, **filters),
    'requeue_all': lambda client, **filters: failed_of(client).requeue_all(**filters),
    'purge of queues': lambda client, **filters: rqreg_ext.purge(client, 'failed', **filters),
    'requeue_all of queues': lambda client, **filters: rqreg_ext.requeue_all(client, 'failed', **filters),
}
TIMES = ('enqueued_before', 'enqueued_after', 'ended_before', 'ended_after')
# The others that take filters.
MORE_CALLS: dict[str, Callable[..., Any]] = {
    'count_by': lambda client, **filters: failed_of(client).count_by('queue', **filters),
    'cancel_all': lambda client, **filters: failed_of(client).cancel_all(**filters),
    'trim': lambda client, **filters: failed_of(client).trim(keep=1, **filters),
    'export': lambda client, **filters: failed_of(client).export(io.BytesIO(), **filters),
    'stop_all': lambda client, **filters: rqreg_ext.StartedJobRegistry('q', client).stop_all(**filters),
    'find of queues': lambda client, **filters: list(rqreg_ext.find(client, **filters)),
    'count_by of queues': lambda client, **filters: rqreg_ext.count_by(client, 'queue', **filters),
    'cancel_all of queues': lambda client, **filters: rqreg_ext.cancel_all(client, 'failed', **filters),
    'trim of queues': lambda client, **filters: rqreg_ext.trim(client, keep=1, **filters),
    'export of queues': lambda client, **filters: rqreg_ext.export(client, io.BytesIO(), **filters),
}
# In which there are no scores.
WITHOUT_SCORES: dict[str, Callable[..., Any]] = {
    'list_jobs of queues': lambda client, **filters: rqreg_ext.list_jobs(client, **filters),
    'find of waiting jobs': lambda client, **filters: list(rqreg_ext.WaitingJobs('q', client).find(**filters)),
    'count_by of waiting jobs': lambda client, **filters: rqreg_ext.WaitingJobs('q', client).count_by(
        'queue', **filters
    ),
    'cancel_all of waiting jobs': lambda client, **filters: rqreg_ext.WaitingJobs('q', client).cancel_all(**filters),
    'purge of waiting jobs': lambda client, **filters: rqreg_ext.WaitingJobs('q', client).purge(**filters),
    'export of waiting jobs': lambda client, **filters: rqreg_ext.WaitingJobs('q', client).export(
        io.BytesIO(), **filters
    ),
}
EVERY_CALL = CALLS | MORE_CALLS | WITHOUT_SCORES
of_each_call = pytest.mark.parametrize('call', EVERY_CALL.values(), ids=list(EVERY_CALL))
of_each_call_with_scores = pytest.mark.parametrize('call', (CALLS | MORE_CALLS).values(), ids=list(CALLS | MORE_CALLS))


def taking_filters(owner: Any) -> set[str]:
    # Some names are those of a newer RQ.
    methods = {name: getattr(owner, name, None) for name in dir(owner) if not name.startswith('_')}
    return {
        name
        for name, call in methods.items()
        if inspect.isfunction(call) and 'filters' in inspect.signature(call).parameters
    }


def test_every_call_with_filters_is_in_table() -> None:
    names = {name.partition('(')[0] for name in EVERY_CALL}
    for owner, words in (
        (FailedJobRegistry, ''),
        (rqreg_ext.StartedJobRegistry, ''),
        (rqreg_ext.WaitingJobs, ' of waiting jobs'),
        (rqreg_ext, ' of queues'),
    ):
        assert {f'{name}{words}' for name in taking_filters(owner)} <= names


# ---- Values that are refused


class Unsure(tzinfo):
    """A time zone without an offset."""

    def utcoffset(self, _: datetime | None) -> None:
        return None


@pytest.mark.covering(1)
@of_each_call
@pytest.mark.parametrize('name', TIMES)
@pytest.mark.parametrize('moment', [datetime(2024, 2, 26, 8), datetime(2024, 2, 26, 8, tzinfo=Unsure())])
def test_filters_refuse_naive_datetime(
    connection: redis.Redis, call: Callable[..., Any], name: str, moment: datetime
) -> None:
    work_that_fails(connection, 'a')
    before = dump(connection)
    with pytest.raises(ValueError, match=rf'^{name}=datetime.datetime\(2024.* has no time zone.*timezone\.utc'):
        call(connection, **{name: moment})
    assert differences(before, dump(connection)) == []


@pytest.mark.covering(1)
@of_each_call_with_scores
@pytest.mark.parametrize('name', ['min_score', 'max_score'])
@pytest.mark.parametrize('moment', [datetime(2024, 2, 26, 8), NOW])
def test_filters_on_scores_refuse_datetime(
    connection: redis.Redis, call: Callable[..., Any], name: str, moment: datetime
) -> None:
    with pytest.raises(TypeError, match=rf'^{name}=datetime.*\.timestamp\(\) of a datetime with a time zone'):
        call(connection, **{name: moment})


@pytest.mark.covering(1)
@of_each_call
@pytest.mark.parametrize('name', TIMES)
@pytest.mark.parametrize('seconds', [3600, 3600.5, 0, -60, 10**8 - 1])
def test_filters_refuse_number_that_can_only_be_duration(
    connection: redis.Redis, call: Callable[..., Any], name: str, seconds: float
) -> None:
    with pytest.raises(ValueError, match=rf'^{name}={seconds} looks like a duration.*timedelta\(seconds={seconds}\)'):
        call(connection, **{name: seconds})


@pytest.mark.covering(1)
@of_each_call
@pytest.mark.parametrize('value', [True, None, '2024-02-26', float('nan'), float('inf'), -HOUR, 1.7e12])
def test_filters_on_times_refuse_other_values(connection: redis.Redis, call: Callable[..., Any], value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r'^ended_after='):
        call(connection, ended_after=value)


def test_filters_accept_timestamps_from_1973_on(connection: redis.Redis) -> None:
    work_that_fails(connection, 'a')
    assert list(failed_of(connection).find(ended_after=10**8)) == ['a']
    assert list(failed_of(connection).find(ended_after=time.time() - 60, ended_before=timedelta(0))) == ['a']


# ---- Dates that are none, in RQ's format

NO_DATES = ('9999-99-99T99:99:99.999999Z', '2026-13-01T00:00:00.000000Z', '2026-02-30T00:00:00.000000Z',
            '2026-01-01T24:00:00.000000Z', '2026-01-01 00:00:00.000000Z', '0000-01-01T00:00:00.000000Z',
            '²026-01-01T00:00:00.00000Z', 'x' * 26 + 'Z')  # fmt: skip


@pytest.mark.parametrize('date', NO_DATES)
@pytest.mark.parametrize('field', ['enqueued', 'ended'])
def test_jobs_with_invalid_date_match_no_filter_and_are_counted(connection: redis.Redis, field: str, date: str) -> None:
    with pytest.raises(ValueError, match='does not match format'):
        str_to_date(date.encode())
    Queue('q', connection=connection).create_job(len, job_id='a', status='failed').save()
    connection.hset(Job.key_for('a'), f'{field}_at', date)
    connection.zadd('rq:failed:q', {'a': 4e9})
    for bound in ({f'{field}_before': timedelta(0)}, {f'{field}_after': HOUR}):
        for result in (failed_of(connection).purge(**bound), failed_of(connection).requeue_all(**bound)):
            assert (result.done, result.skipped.total()) == (0, 1)
    assert connection.exists(Job.key_for('a'))


@pytest.mark.parametrize('date', ['2024-02-29', '2023-02-28', '2024-12-31', '2024-04-30'])
def test_last_days_of_months_are_dates(connection: redis.Redis, date: str) -> None:
    Queue('q', connection=connection).create_job(len, job_id='a', status='failed').save()
    connection.hset(Job.key_for('a'), 'ended_at', f'{date}T23:59:59.999999Z')
    connection.zadd('rq:failed:q', {'a': 4e9})
    midnight = datetime.fromisoformat(f'{date}T00:00:00+00:00') + timedelta(days=1)
    millisecond = timedelta(milliseconds=1)
    assert list(failed_of(connection).find(ended_before=midnight, ended_after=midnight - millisecond)) == ['a']
    assert list(failed_of(connection).find(ended_before=midnight - millisecond)) == []


# ---- Jobs whose end RQ did not record


def work_that_fails(client: Any, *job_ids: str, **options: Any) -> None:
    queue = Queue('q', connection=client)
    for job_id in job_ids:
        queue.enqueue(jobs.fail, job_id=job_id, **options)
    work(queue)


def over_which_a_worker_was_killed(client: Any, server: PrivateRedis, job_id: str) -> None:
    """Kill a worker and its work-horse in the middle of a job, and let RQ's cleanup fail the job later."""
    queue = Queue('q', connection=client)
    job = queue.enqueue(jobs.sleep, 60, job_id=job_id)
    command = [sys.executable, '-m', 'workers.rq_command', 'worker', '--url', server.url, 'q']
    worker = Program(command, dict(os.environ))
    try:
        until(lambda: job.get_status() == 'started' and client.zcard('rq:wip:q'))
    finally:
        worker.close()
    clean_up_later(client)
    assert client.zscore('rq:failed:q', job_id)


def clean_up_later(client: Any) -> None:
    let_time_pass(client)
    StartedJobRegistry('q', connection=client).cleanup()


def over_which_the_second_worker_ended(client: Any, job_id: str) -> None:
    """Have a job fail and be retried, and have its second worker die: RQ keeps the end of the first run in its hash."""
    queue = Queue('q', connection=client)
    queue.enqueue(jobs.fail, job_id=job_id, retry=Retry(1, interval=0))
    work_once(queue)
    die(LeavingWorker, queue)
    clean_up_later(client)
    job = Job.fetch(job_id, connection=client)
    assert job.get_status() == 'failed'
    assert job.ended_at < job.started_at


def work_once(queue: Queue) -> None:
    DeafWorker([queue], connection=queue.connection).work(burst=True, max_jobs=1, logging_level='CRITICAL')


def move(client: Any, job_id: str, ago: timedelta) -> None:
    """Move the times of a job and its results back by this duration."""
    key, results = Job.key_for(job_id), Result.get_key(job_id)  # type: ignore[no-untyped-call]
    for name in ('created_at', 'enqueued_at', 'started_at', 'ended_at'):
        date = client.hget(key, name)
        if date:
            client.hset(key, name, utcformat(str_to_date(date) - ago))
    entries = client.xrange(results)
    client.delete(results)
    for entry_id, fields in entries:
        client.xadd(results, fields, id=f'{int(entry_id.partition(b"-")[0]) - int(ago.total_seconds() * 1000)}-0')


@pytest.fixture
def outage(connection: redis.Redis, redis_server: PrivateRedis) -> redis.Redis:
    """Jobs of an outage five hours ago, and one that has failed just now."""
    over_which_a_worker_was_killed(connection, redis_server, 'killed')
    over_which_the_second_worker_ended(connection, 'killed-again')
    work_that_fails(connection, 'plain')
    for job_id in ('killed', 'killed-again', 'plain'):
        move(connection, job_id, 5 * HOUR)
    # Its first run was the day before.
    job = Job.key_for('killed-again')
    connection.hset(job, 'ended_at', utcformat(NOW - 24 * HOUR))
    work_that_fails(connection, 'new')
    return connection


OF_THE_OUTAGE = {'killed', 'killed-again', 'plain'}


def test_rq_records_no_end_of_killed_jobs(outage: redis.Redis) -> None:
    """The behaviour of RQ that the field `end` makes up for."""
    ends = {job_id: Job.fetch(job_id, connection=outage).ended_at for job_id in OF_THE_OUTAGE}
    assert ends['killed'] is None
    assert ends['killed-again'] < NOW - 23 * HOUR  # type: ignore[operator]
    assert ends['plain'] > NOW - 6 * HOUR  # type: ignore[operator]


def found(call: str, client: Any, **filters: Any) -> set[str]:
    """Return the ids of the jobs that a call found or changed."""
    if call.startswith('find'):
        return {entry if isinstance(entry, str) else entry[0] for entry in CALLS[call](client, **filters)}
    before = set(failed_of(client).get_job_ids())
    result = CALLS[call](client, **filters)
    total = result.total if isinstance(result, rqreg_ext.BulkResults) else result
    left = set(failed_of(client).get_job_ids())
    assert total.done == (len(before - left) or len(OF_THE_OUTAGE)), str(total)
    return before - left if not total.dry_run else {'dry'}


@pytest.mark.parametrize('call', CALLS)
def test_filters_on_end_find_jobs_of_killed_workers(outage: redis.Redis, call: str) -> None:
    expected = {'dry'} if call == 'purge(dry_run)' else OF_THE_OUTAGE
    assert found(call, outage, ended_after=6 * HOUR, ended_before=4 * HOUR) == expected


def test_filters_on_end_by_each_client(job_client: Any, storing_client: Any) -> None:
    over_which_the_second_worker_ended(storing_client, 'again')
    work_that_fails(storing_client, 'plain')
    assert set(failed_of(job_client).find(ended_after=HOUR)) == {'again', 'plain'}
    assert set(failed_of(job_client).find(ended_after=HOUR, exc_info=re.compile(''))) == {'again', 'plain'}
    assert list(failed_of(job_client).find(ended_before=HOUR)) == []
    assert all(job['end'] > NOW - HOUR for _, job in failed_of(job_client).find(fields=['end']))


def test_field_end_is_ended_at_or_that_of_result(outage: redis.Redis) -> None:
    for job_id, job in failed_of(outage).find(fields=['ended_at', 'end']):
        restored = Job.fetch(job_id, connection=outage)
        assert job['ended_at'] == restored.ended_at
        if job_id in ('plain', 'new'):
            assert job['end'] == job['ended_at']
        else:
            assert job['end'] == restored.latest_result().created_at  # type: ignore[union-attr]


@pytest.mark.parametrize('status', ['queued', 'started', 'deferred', 'scheduled', 'canceled'])
def test_result_of_previous_run_is_not_end_of_running_job(connection: redis.Redis, status: str) -> None:
    over_which_the_second_worker_ended(connection, 'a')
    connection.hset(Job.key_for('a'), mapping={'status': status, 'ended_at': ''})
    assert list(failed_of(connection).find(ended_after=HOUR)) == []
    assert list(failed_of(connection).find(fields=['end'])) == [('a', {'end': None})]


def test_stopped_and_synchronous_jobs_have_end(connection: redis.Redis) -> None:
    queue = Queue('q', connection=connection, is_async=False)
    with contextlib.suppress(ValueError):
        queue.enqueue(jobs.fail, job_id='synchronous')
    over_which_the_second_worker_ended(connection, 'stopped')
    connection.hset(Job.key_for('stopped'), mapping={'status': 'stopped', 'ended_at': ''})
    assert Job.fetch('synchronous', connection=connection).ended_at is None
    assert set(failed_of(connection).find(ended_after=HOUR)) == {'synchronous', 'stopped'}


# ---- Jobs without known times


def without_times(client: Any) -> None:
    """Store three jobs without known end and enqueue time, one with both, and an entry of a job that is gone."""
    work_that_fails(client, 'lost', 'spoiled', 'wrong', 'known')
    client.hset(Job.key_for('lost'), mapping={'ended_at': '', 'enqueued_at': ''})
    client.hset(Job.key_for('spoiled'), mapping={'ended_at': 'yesterday', 'enqueued_at': 'long ago'})
    client.hset(Job.key_for('wrong'), mapping={'ended_at': '', 'enqueued_at': ''})
    for job_id in ('lost', 'spoiled', 'wrong'):
        client.delete(Result.get_key(job_id))  # type: ignore[no-untyped-call]
    client.set(Result.get_key('wrong'), 'of another type')  # type: ignore[no-untyped-call]
    client.zadd('rq:failed:q', {'gone': 4e9})


@pytest.mark.parametrize('call', ['purge', 'purge(dry_run)', 'requeue_all', 'purge of queues', 'requeue_all of queues'])
@pytest.mark.parametrize(
    ('event', 'reason'), [('ended', 'no known end'), ('enqueued', 'no known enqueue time')], ids=['ended', 'enqueued']
)
@pytest.mark.parametrize('filters', [('before',), ('after',), ('before', 'after')], ids='-'.join)
def test_jobs_without_known_time_are_counted(
    connection: redis.Redis, call: str, event: str, reason: str, filters: tuple[str, ...]
) -> None:
    without_times(connection)
    before = dump(connection)
    # The job whose times are known matches none of these.
    limits = {'before': HOUR, 'after': 2 * HOUR if 'before' in filters else timedelta(0)}
    result = CALLS[call](connection, **{f'{event}_{name}': limits[name] for name in filters})
    result = result.total if isinstance(result, rqreg_ext.BulkResults) else result
    assert result.skipped == {reason: 3, 'no such job': 1}
    assert (result.done, result.total) == (0, 4)
    assert f'3 skipped: {reason}' in str(result)
    assert differences(before, dump(connection)) == []


def test_jobs_that_another_filter_leaves_out_are_not_counted(connection: redis.Redis) -> None:
    without_times(connection)
    result = failed_of(connection).purge(ended_before=HOUR, job_id='[ls]*', func_name='*.fail', worker_name='*')
    assert (result.skipped, result.total) == ({'no known end': 2}, 2)
    assert failed_of(connection).purge(ended_before=HOUR, func_name='nothing').total == 0


def test_field_end_is_none_if_unknown(connection: redis.Redis) -> None:
    without_times(connection)
    jobs_of = dict(failed_of(connection).find(fields=['end', 'status']))
    assert {job_id for job_id, job in jobs_of.items() if job['end'] is None} == {'lost', 'spoiled', 'wrong', 'gone'}
    assert {job_id for job_id, job in jobs_of.items() if job['status'] is None} == {'gone'}


# ---- Round trips


def test_results_are_read_only_if_hash_has_no_end(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    work_that_fails(connection, 'a', 'b')
    over_which_the_second_worker_ended(connection, 'c')
    with Recorder(redis_server.port) as recorder, redis.Redis(port=recorder.port) as client:
        registry = failed_of(client)
        registry.get_job_count(cleanup=False)
        for filters, of_jobs in (
            ({'worker_name': '*'}, [['HMGET'] * 3]),
            ({'ended_after': HOUR, 'job_id': '[ab]'}, [['HMGET'] * 2]),
            ({'ended_after': HOUR}, [['HMGET'] * 3, ['XREVRANGE']]),
            ({'ended_after': HOUR, 'func_name': 'other'}, [['HMGET'] * 3]),
            ({'ended_after': HOUR, 'exc_info': re.compile('')}, [['HMGET', 'XREVRANGE'] * 3]),
        ):
            recorder.clear()
            list(registry.find(**filters))
            assert recorder.blocks[1:] == of_jobs, filters


# ---- order_by='end'


def test_order_by_end_is_not_order_by_score(outage: redis.Redis) -> None:
    """If jobs have different values of failure_ttl, the last job that failed is not the last whose entry expires."""
    work_that_fails(outage, 'newest', failure_ttl=60)
    registry = failed_of(outage)
    assert next(registry.find(desc=True)) != 'newest'
    ends = {job_id: job['end'] for job_id, job in registry.find(fields=['end'])}
    newest = sorted(ends, key=ends.__getitem__, reverse=True)
    assert newest[:2] == ['newest', 'new']
    for limit in (0, 1, 3, 100):
        assert list(registry.find(order_by='end', desc=True, limit=limit)) == newest[:limit]
        assert list(registry.find(order_by='end', limit=limit, chunk_size=2)) == newest[::-1][:limit]
    assert list(registry.find(order_by='end', desc=True, limit=2, job_id='*killed*', fields=['status'])) == [
        (job_id, {'status': 'failed'}) for job_id in newest if 'killed' in job_id
    ]


@pytest.mark.parametrize('desc', [False, True])
def test_jobs_without_known_end_come_last_in_order_by_end(connection: redis.Redis, desc: bool) -> None:
    without_times(connection)
    assert list(failed_of(connection).find(order_by='end', desc=desc, limit=1)) == ['known']
    first, *rest = failed_of(connection).find(order_by='end', desc=desc, limit=10)
    assert (first, sorted(rest)) == ('known', ['gone', 'lost', 'spoiled', 'wrong'])


def test_order_by_end_needs_limit_and_other_orders_are_refused() -> None:
    nowhere = failed_of(redis.Redis(port=1))
    with pytest.raises(ValueError, match="order_by='end' needs limit="):
        nowhere.find(order_by='end')
    with pytest.raises(ValueError, match="order_by='ended_at' is not an order: give 'score', or 'end'"):
        nowhere.find(order_by='ended_at', limit=1)


def test_order_by_end_keeps_only_limit_jobs_in_memory(connection: redis.Redis) -> None:
    work_that_fails(connection, 'a')
    fields = connection.hgetall(Job.key_for('a'))
    with connection.pipeline(transaction=False) as pipe:
        for number in range(5000):
            pipe.hset(Job.key_for(f'job-{number}'), mapping={**fields, 'description': 'x' * 2000})
            pipe.zadd('rq:failed:q', {f'job-{number}': 4e9})
        pipe.execute()

    def peak(**options: Any) -> int:
        found = failed_of(connection).find(fields=['description'], chunk_size=100, **options)
        tracemalloc.start()
        try:
            assert sum(1 for _ in found) >= 10
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak()
    assert peak(order_by='end', limit=10) < peak() + 500_000


@pytest.mark.parametrize('call', ['purge', 'purge of queues'])
def test_patched_clock_of_rq_is_heard_at_the_call(
    connection: redis.Redis, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Patched as by a test in which RQ's time stands still."""
    job = Queue('q', connection=connection).enqueue('os.getpid')
    connection.hset(job.key, 'status', 'failed')
    connection.zadd('rq:failed:q', {job.id: 4e9})
    CALLS[call](connection, enqueued_before=HOUR)
    assert failed_of(connection).count == 1
    monkeypatch.setattr('rq.utils.now', lambda: NOW + 2 * HOUR)
    CALLS[call](connection, enqueued_before=HOUR)
    assert failed_of(connection).count == 0


@pytest.mark.parametrize('result_id', ['99999999999999999-0', '9999999999999999999-0'])
def test_result_that_is_out_of_all_time_is_no_end(connection: redis.Redis, result_id: str) -> None:
    """A stream takes any number of milliseconds: one such job does not end a call for the others."""
    for job_id in ('odd', 'plain'):
        work_that_fails(connection, job_id)
    connection.hset(Job.key_for('odd'), 'ended_at', '')
    results = Result.get_key('odd')  # type: ignore[no-untyped-call]
    connection.delete(results)
    connection.xadd(results, {'type': '2', 'exc_string': 'x'}, id=result_id)
    registry = Queue('q', connection=connection).failed_job_registry
    ours = FailedJobRegistry('q', connection=connection)
    assert list(ours.find(ended_after=timedelta(days=1))) == ['plain']
    assert dict(ours.find(fields=['end']))['odd']['end'] is None
    result = ours.purge(ended_after=timedelta(days=1))
    assert (result.done, sum(result.skipped.values())) == (1, 1)
    assert registry.get_job_ids() == ['odd']
