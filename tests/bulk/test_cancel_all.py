"""cancel_all() of a registry, and of a registry of many queues: by filters what cancel_many() does by ids."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import redis
import rq
from differential.database import differences, dump
from rq import SimpleWorker

import rqreg_ext
from rqreg_ext.registry import CanceledJobRegistry, DeferredJobRegistry, ScheduledJobRegistry, StartedJobRegistry


def schedule(client: Any, queue: str = 'q', count: int = 6) -> ScheduledJobRegistry:
    """Schedule jobs, half of which have another description."""
    for number in range(count):
        rq.Queue(queue, connection=client).enqueue_in(
            timedelta(hours=1 + number), 'len', job_id=f'{queue}-{number}', description=['even', 'odd'][number % 2]
        )
    return ScheduledJobRegistry(queue, connection=client)


def ids_in(client: Any, registry: str = 'canceled', queue: str = 'q') -> list[str]:
    return sorted(member.decode() for member in client.zrange(f'rq:{registry}:{queue}', 0, -1))


def test_cancel_all_equals_rqs_cancel_of_each_job(connection: redis.Redis) -> None:
    registry = schedule(connection)
    for job_id in registry.get_job_ids():
        rq.job.Job.fetch(job_id, connection=connection).cancel()
    expected = dump(connection)
    connection.flushdb()
    result = schedule(connection).cancel_all()
    assert (result.done, result.by_rq, result.remaining) == (6, 0, 0)
    assert differences(expected, dump(connection)) == []


def test_filters_and_limit_select_canceled_jobs(connection: redis.Redis) -> None:
    registry = schedule(connection)
    would = registry.cancel_all(description='odd', dry_run=True)
    assert (would.done, registry.count) == (3, 6)
    assert registry.cancel_all(description='odd', limit=2).done == 2
    assert ids_in(connection) == ['q-1', 'q-3']
    assert registry.cancel_all(description='odd').done == 1
    assert registry.get_job_ids() == ['q-0', 'q-2', 'q-4']


def test_dependents_are_enqueued(connection: redis.Redis) -> None:
    registry = schedule(connection, count=1)
    queue = rq.Queue('q', connection=connection)
    queue.enqueue('len', depends_on='q-0', job_id='second')
    assert registry.cancel_all(enqueue_dependents=True).done == 1
    assert queue.job_ids == ['second']
    assert DeferredJobRegistry('q', connection=connection).count == 0


def test_canceled_jobs_are_skipped(connection: redis.Redis) -> None:
    schedule(connection, count=2).cancel_all()
    result = CanceledJobRegistry('q', connection=connection).cancel_all()
    assert (result.done, dict(result.skipped)) == (0, {'already canceled': 2})


def test_started_jobs_of_all_queues_are_canceled(connection: redis.Redis) -> None:
    job = rq.Queue('q', connection=connection).enqueue('time.sleep', 60, job_id='runs')
    worker = SimpleWorker(['q'], connection=connection)
    worker.prepare_execution(job)
    worker.prepare_job_execution(job)
    assert StartedJobRegistry('q', connection=connection).cancel_all(dry_run=True).done == 1
    result = rqreg_ext.cancel_all(connection, 'started')
    assert (result['q'].done, ids_in(connection)) == (1, ['runs'])


def test_cancel_all_of_queues_counts_per_queue(connection: redis.Redis) -> None:
    for queue in ('a', 'b', 'c'):
        schedule(connection, queue, 2)
    result = rqreg_ext.cancel_all(connection, 'scheduled', description='odd', limit=2)
    assert {name: found.done for name, found in result.items()} == {'a': 1, 'b': 1}
    assert result.total.remaining == 2
    result = rqreg_ext.cancel_all(connection, 'scheduled', queues=['c', 'a'])
    assert {name: found.done for name, found in result.items()} == {'c': 2, 'a': 1}
    assert [ids_in(connection, 'scheduled', queue) for queue in ('a', 'b', 'c')] == [[], ['b-0'], []]


def test_error_of_one_queue_is_reported(connection: redis.Redis) -> None:
    schedule(connection, 'a', 1)
    connection.sadd('rq:queues', 'rq:queue:b')
    connection.set('rq:scheduled:b', 'text')
    result = rqreg_ext.cancel_all(connection, 'scheduled')
    assert (result['a'].done, list(result.errors), result.total.remaining) == (1, ['b'], None)


@pytest.mark.parametrize(
    ('given', 'error', 'words'),
    [
        ({'registry': 'lost'}, ValueError, "registry='lost' names no registry of RQ: give one of "),
        ({'registry': 'starting'}, ValueError, r"did you mean 'started'\?"),
        ({'registry': 'failed', 'rate': 0}, ValueError, 'rate=0'),
        ({'registry': 'failed', 'func_name': None}, TypeError, 'func_name=None is not a filter'),
        ({'registry': 'failed', 'keep_newest': 5}, TypeError, 'this call takes no keep_newest'),
    ],
)
def test_wrong_arguments_are_refused(
    connection: redis.Redis, given: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        rqreg_ext.cancel_all(connection, **given)
    with pytest.raises(TypeError, match=r'cancel_all\(\) takes its arguments by name'):
        schedule(connection, count=1).cancel_all('len')  # type: ignore[misc]
