"""What a worker cleans when it starts and from time to time: jobs whose worker died, and entries that have expired.

And what keeps a running job from being taken for one of these.
"""

from __future__ import annotations

import signal
from typing import Any

import pytest
import rq
from host.patience import eventually
from rq import Callback, Queue, Retry
from rq.job import Dependency

from . import jobs
from .sides import Side, Sides
from .waiting import let_an_hour_pass

SIMPLE_WORKER = ('--worker-class', 'rq.worker.SimpleWorker')


def let_a_worker_die(side: Side, *arguments: str) -> None:
    with side.running('worker', *arguments) as worker:
        assert worker.process.wait() == -signal.SIGKILL, worker.text()


def test_jobs_of_workers_that_died_have_same_ends(sides: Sides) -> None:
    def scenario(side: Side) -> dict[str, Any]:
        queue = Queue('kept', connection=side.client)
        lost = queue.enqueue(jobs.kill_the_worker_once, job_id='lost')
        queue.enqueue(jobs.succeed, job_id='waits', depends_on=lost)
        queue.enqueue(jobs.succeed, job_id='follows', depends_on=Dependency([lost], allow_failure=True))
        queue.enqueue(jobs.kill_the_worker_once, job_id='retried', retry=Retry(1))
        for name in ('first', 'second'):
            let_a_worker_die(side, *SIMPLE_WORKER, '--name', name, 'kept')
        assert queue.started_job_registry.get_job_ids() == ['lost', 'retried']
        let_an_hour_pass(side.client)
        side.work(*SIMPLE_WORKER, '--name', 'third', 'kept')
        assert 'AbandonedJobError' in lost.latest_result().exc_string
        return {
            'runs': side.counts(),
            'started': queue.started_job_registry.get_job_ids(),
            'failed': queue.failed_job_registry.get_job_ids(),
            'deferred': queue.deferred_job_registry.get_job_ids(),
            'finished': sorted(queue.finished_job_registry.get_job_ids()),
        }

    assert sides.same(scenario) == {
        'runs': {'lost': 1, 'retried': 2, 'follows': 1},
        'started': [],
        'failed': ['lost'],
        'deferred': ['waits'],
        'finished': ['follows', 'retried'],
    }


def test_expired_entries_are_removed_by_next_worker(sides: Sides) -> None:
    def scenario(side: Side) -> list[list[bytes]]:
        queue = Queue('kept', connection=side.client)
        registries = {'finished': jobs.succeed, 'failed': jobs.fail}
        for name, function in registries.items():
            for number in range(2):
                queue.enqueue(function, job_id=f'{name}-{number}')
        side.work('--name', 'first', 'kept')
        for name in registries:
            side.client.zadd(f'rq:{name}:kept', {f'{name}-0': 1_000_000})
        side.work('--name', 'second', 'kept')
        # RQ's own calls would clean up.
        return [side.client.zrange(f'rq:{name}:kept', 0, -1) for name in registries]

    assert sides.same(scenario) == [[b'finished-1'], [b'failed-1']]


def test_job_of_dead_work_horse_is_retried_or_failed(sides: Sides) -> None:
    def scenario(side: Side) -> list[str]:
        queue = Queue('kept', connection=side.client)
        queue.enqueue(jobs.kill_the_worker_once, job_id='lost')
        queue.enqueue(jobs.kill_the_worker_once, job_id='retried', retry=Retry(1))
        side.work('--name', 'survivor', 'kept')
        assert side.counts() == {'lost': 1, 'retried': 2}
        return [*queue.failed_job_registry.get_job_ids(), *queue.finished_job_registry.get_job_ids()]

    assert sides.same(scenario) == ['lost', 'retried']


def test_heartbeats_move_expiry_of_running_job(sides: Sides) -> None:
    """The worker moves the moment at which the job counts as abandoned, as long as its work-horse lives."""

    def scenario(side: Side) -> dict[str, int]:
        Queue('kept', connection=side.client).enqueue(jobs.wait_for_release, job_id='running')
        options = ('--job-monitoring-interval', '1', '--max-jobs', '1', '--name', 'first')
        with side.running('worker', *options, 'kept') as worker:
            side.wait_for_runs(1)
            moments = started_until(side)
            assert eventually(lambda: started_until(side) != moments)
            assert started_until(side).keys() == moments.keys()
            assert len(moments) == 1
            side.client.rpush(jobs.RELEASE, 'now')
            worker.wait()
        assert started_until(side) == {}
        return side.counts()

    assert sides.same(scenario) == {'running': 1}


def started_until(side: Side) -> dict[bytes, float]:
    """Return the entries of the started registry, and when each is abandoned."""
    return dict(side.client.zrange('rq:wip:kept', 0, -1, withscores=True))


def test_callback_and_handler_of_abandoned_job_are_called(sides: Sides) -> None:
    def scenario(side: Side) -> list[list[bytes]]:
        queue = Queue('kept', connection=side.client)
        queue.enqueue(jobs.kill_the_worker_once, job_id='lost', on_failure=Callback(jobs.note_failure))
        queue.enqueue(
            jobs.kill_the_worker_once, job_id='retried', retry=Retry(1), on_failure=Callback(jobs.note_failure)
        )
        for name in ('first', 'second'):
            let_a_worker_die(side, *SIMPLE_WORKER, '--name', name, 'kept')
        let_an_hour_pass(side.client)
        side.work(*SIMPLE_WORKER, '--exception-handler', 'workers.jobs.handle_exception', '--name', 'third', 'kept')
        assert side.counts() == {'lost': 1, 'retried': 2}
        return [side.client.lrange(key, 0, -1) for key in (jobs.FAILURES, jobs.HANDLED)]

    noted = [b'lost by AbandonedJobError', b'retried by AbandonedJobError']
    assert sides.same(scenario) == [noted, noted]


@pytest.mark.skipif(not hasattr(rq, 'RateLimit'), reason='this RQ has no rate limits')
def test_abandoned_job_frees_its_rate_limit_slot(sides: Sides) -> None:
    def scenario(side: Side) -> dict[str, Any]:
        queue = Queue('kept', connection=side.client)
        limit = rq.RateLimit('one-at-a-time', 1)
        queue.enqueue(jobs.kill_the_worker_once, job_id='lost', rate_limit=limit)
        queue.enqueue(jobs.succeed, job_id='held-back', rate_limit=limit)
        let_a_worker_die(side, *SIMPLE_WORKER, '--name', 'first', 'kept')
        assert queue.job_ids == []
        let_an_hour_pass(side.client)
        side.work(*SIMPLE_WORKER, '--name', 'second', 'kept')
        return {
            'runs': side.counts(),
            'failed': queue.failed_job_registry.get_job_ids(),
            'finished': queue.finished_job_registry.get_job_ids(),
        }

    assert sides.same(scenario) == {
        'runs': {'lost': 1, 'held-back': 1},
        'failed': ['lost'],
        'finished': ['held-back'],
    }
