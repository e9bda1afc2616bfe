"""Commands that are sent again by the client's Retry after a lost reply: the changes of the first time count."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq
import rq.registry
from clients.outcomes import outcome_of
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq.exceptions import InvalidJobOperation, NoSuchJobError

import rqreg_ext.registry
from rqreg_ext import _core
from rqreg_ext._bulk.result import BulkResult
from rqreg_ext.registry import FailedJobRegistry

from .relay import Cut, Relay

if TYPE_CHECKING:
    from types import ModuleType

    from private_redis import PrivateRedis

COUNT, CHUNK = 20, 5
IDS = [f'job-{number:02}' for number in range(COUNT)]


class Wrapped(redis.Redis):
    """A client with an instrumented execute_command(), as tracing tools make it."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return super().execute_command(*args, **options)


CLIENTS = [redis.Redis, Wrapped]
CALLS: dict[str, Callable[..., BulkResult]] = {
    'purge': lambda registry, ids, **options: registry.purge(**options),
    'requeue_all': lambda registry, ids, **options: registry.requeue_all(**options),
    'remove_many': lambda registry, ids, **options: registry.remove_many(ids, **options),
    'remove_many_with_jobs': lambda registry, ids, **options: registry.remove_many(ids, delete_job=True, **options),
    'cancel_many': lambda registry, ids, **options: registry.cancel_many(ids, **options),
    'move_many': lambda registry, ids, **options: registry.move_many(ids, 'low', **options),
}


@pytest.fixture
def relay(redis_server: PrivateRedis) -> Iterator[Relay]:
    with Relay(redis_server.port) as relay:
        yield relay


@pytest.fixture
def filled(connection: redis.Redis) -> redis.Redis:
    """A registry of failed jobs, all of which scripts can process."""
    queue = rq.Queue('q', connection=connection)
    for number, job_id in enumerate(IDS):
        job = queue.create_job('len', job_id=job_id)
        job.set_status(rq.job.JobStatus.FAILED)
        job.save()
        connection.zadd('rq:failed:q', {job_id: 4_000_000_000 + number})
    return connection


def client_of(relay: Relay, client_class: Any = redis.Redis) -> Any:
    """Return a client that tries again; redis-py 5 does so for the named errors only."""
    named = [redis.ConnectionError, redis.TimeoutError]
    return client_class(**relay.address, retry=Retry(NoBackoff(), 3), retry_on_error=named)


class Losing:
    """A progress() that loses the reply to the chunk after this many calls."""

    def __init__(self, relay: Relay, chunk: int) -> None:
        self._relay = relay
        self._chunk = chunk
        self._processed = [0]

    def __call__(self, processed: int, total: int | None) -> None:
        self._processed.append(processed)
        if len(self._processed) - 1 == self._chunk:
            self._relay.arm(Cut(0))

    @property
    def lost(self) -> int:
        """How many jobs that chunk had, which may be fewer than CHUNK: a script stops after a certain time."""
        assert not self._relay.is_armed
        lost = self._processed[self._chunk + 1] - self._processed[self._chunk]
        assert 0 < lost <= CHUNK
        return lost


@pytest.mark.parametrize('client_class', CLIENTS)
@pytest.mark.parametrize('call', CALLS)
def test_changes_of_resent_chunk_are_unconfirmed(
    relay: Relay, filled: redis.Redis, call: str, client_class: type[redis.Redis]
) -> None:
    client = client_of(relay, client_class)
    registry = FailedJobRegistry('q', connection=client)
    losing = Losing(relay, 2)
    result = CALLS[call](registry, IDS, chunk_size=CHUNK, progress=losing)
    lost = losing.lost
    assert (result.done, result.unconfirmed, result.missing, result.total) == (COUNT - lost, lost, 0, COUNT)
    assert not result.skipped
    assert not result.failed
    assert filled.zcard('rq:failed:q') == 0
    if call == 'requeue_all':
        assert filled.lrange('rq:queue:q', 0, -1) == [job_id.encode() for job_id in IDS]
    client.close()


WAITING: dict[str, Callable[..., BulkResult]] = {
    'purge': lambda waiting, **options: waiting.purge(**options),
    'remove_many': lambda waiting, **options: waiting.remove_many(IDS, **options),
    'remove_many_with_jobs': lambda waiting, **options: waiting.remove_many(IDS, delete_job=True, **options),
    'cancel_many': lambda waiting, **options: waiting.cancel_many(IDS, **options),
    'cancel_all': lambda waiting, **options: waiting.cancel_all(**options),
    'move_many': lambda waiting, **options: waiting.move_many(IDS, 'low', **options),
    'empty': lambda waiting, **options: waiting.empty(**options),
}


@pytest.mark.parametrize('client_class', CLIENTS)
@pytest.mark.parametrize('call', WAITING)
def test_changes_of_resent_chunk_of_waiting_jobs_are_unconfirmed(
    relay: Relay, connection: redis.Redis, call: str, client_class: type[redis.Redis]
) -> None:
    queue = rq.Queue('q', connection=connection)
    for job_id in IDS:
        queue.enqueue('len', job_id=job_id)
    # A worker has taken one.
    connection.rpop('rq:queue:q')
    client = client_of(relay, client_class)
    waiting = rqreg_ext.WaitingJobs('q', connection=client)
    result = WAITING[call](waiting, chunk_size=CHUNK, progress=Losing(relay, 2))
    missing = int(call not in ('purge', 'cancel_all', 'empty'))
    assert (result.done + result.unconfirmed, result.missing, result.failed) == (COUNT - 1, missing, [])
    # A chunk may have fewer jobs: a script stops after a certain time.
    assert 0 < result.unconfirmed <= CHUNK
    assert queue.count == 0
    client.close()


@pytest.mark.parametrize('client_class', CLIENTS)
@pytest.mark.parametrize('call', ['remove_many', 'remove_many_with_jobs', 'cancel_many'])
def test_jobs_removed_by_others_are_missing(
    relay: Relay, filled: redis.Redis, call: str, client_class: type[redis.Redis]
) -> None:
    """In the chunks that were sent once."""
    filled.zrem('rq:failed:q', IDS[0], IDS[-1])
    client = client_of(relay, client_class)
    registry = FailedJobRegistry('q', connection=client)
    losing = Losing(relay, 1)
    result = CALLS[call](registry, IDS, chunk_size=CHUNK, progress=losing)
    assert (result.done, result.unconfirmed, result.missing) == (COUNT - losing.lost - 2, losing.lost, 2)
    client.close()


@pytest.mark.parametrize('client_class', CLIENTS)
@pytest.mark.parametrize('call', CALLS)
def test_dry_run_sent_twice_counts_as_sent_once(
    relay: Relay, filled: redis.Redis, call: str, client_class: type[redis.Redis]
) -> None:
    registry = FailedJobRegistry('q', connection=client_of(relay, client_class))
    if call.startswith('remove_many'):
        filled.zrem('rq:failed:q', IDS[CHUNK])
    result = CALLS[call](registry, IDS, chunk_size=CHUNK, progress=Losing(relay, 1), dry_run=True)
    missing = int(call.startswith('remove_many'))
    assert (result.done, result.unconfirmed, result.missing) == (COUNT - missing, 0, missing)
    registry.connection.close()


def test_result_shows_unconfirmed_jobs() -> None:
    result = BulkResult(done=2, unconfirmed=3) + BulkResult(missing=1, unconfirmed=1)
    assert (result.unconfirmed, result.total) == (4, 7)
    assert result.to_dict()['unconfirmed'] == 4
    assert str(result) == '2 of 7 done, 1 missing, 4 unconfirmed; 0.000 s'


def test_exchange_reports_resent_commands(relay: Relay, connection: redis.Redis) -> None:
    client = client_of(relay)
    reports: list[str] = []
    commands = [(_core.VALUE, 'INCR', 'n')]
    assert _core.exchange(client, commands, lambda: reports.append('again')) == [1]
    assert reports == []
    relay.arm(Cut(0))
    assert _core.exchange(client, commands, lambda: reports.append('again')) == [3]
    assert reports == ['again']
    relay.arm(Cut(0))
    assert _core.exchange(client, commands) == [5]
    relay.arm(Cut(0))
    with pytest.raises(ZeroDivisionError):
        _core.exchange(client, commands, lambda: 1 / 0)
    client.close()


# What a single call says whose reply is lost, and whether its job is in the queue then.
SINGLE_CALLS = {
    'rq-remove': (rq.registry, lambda registry: registry.remove(IDS[0], delete_job=True), 0, False),
    'rq-requeue': (rq.registry, lambda registry: registry.requeue(IDS[0]), InvalidJobOperation, False),
    'ours-remove': (
        rqreg_ext.registry,
        lambda registry: registry.remove(IDS[0], delete_job=True),
        NoSuchJobError,
        False,
    ),
    'ours-requeue': (rqreg_ext.registry, lambda registry: registry.requeue(IDS[0]), InvalidJobOperation, True),
}


@pytest.mark.parametrize(('namespace', 'call', 'outcome', 'is_queued'), SINGLE_CALLS.values(), ids=SINGLE_CALLS)
def test_resent_single_call_finds_its_own_change(
    relay: Relay,
    filled: redis.Redis,
    namespace: ModuleType,
    call: Callable[[Any], object],
    outcome: Any,
    is_queued: bool,
) -> None:
    """RQ loses a job that it requeues: its ZREM is done twice, and the second time there is nothing to requeue."""
    registry = namespace.FailedJobRegistry('q', connection=client_of(relay))
    # The server knows the scripts then.
    registry.remove(IDS[1], delete_job=True)
    registry.requeue(IDS[2])
    # Ours compares its connection with one of redis-py's, if there is one since.
    assert registry.count == len(IDS) - 2
    # RQ's requeue() reads the job before it removes the entry.
    relay.arm(None)
    if outcome is InvalidJobOperation and not is_queued:
        rq.job.Job.fetch(IDS[0], connection=registry.connection)
    relay.arm(Cut(relay.replied))
    found = outcome_of('single', lambda: call(registry))
    assert (found.error or found.value[1]) == outcome
    assert filled.zscore('rq:failed:q', IDS[0]) is None
    assert (IDS[0].encode() in filled.lrange('rq:queue:q', 0, -1)) == is_queued
    registry.connection.close()
