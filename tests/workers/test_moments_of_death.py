"""What RQ makes of a job whose worker or work-horse is killed, moment by moment, and that it does the same on ours.

Not all of this is what RQ means to do: it loses a job, runs one twice, and fails one that has finished. The rules of
the load name these tests where they expect that of a kill.
"""

from __future__ import annotations

from typing import Any

import pytest
import redis
import rq
from host.patience import eventually
from rq import Queue, Repeat, Retry
from rq.job import Dependency, Job

from . import jobs
from .processes import session
from .runs import COUNTS
from .sides import Side, Sides
from .test_maintenance import let_a_worker_die
from .waiting import let_an_hour_pass

# RQ 3 leaves those abandoned jobs alone that are not `started`.
LEAVES_OTHERS_ALONE = int(rq.VERSION.partition('.')[0]) >= 3
REGISTRIES = ('wip', 'scheduled', 'ready', 'deferred', 'finished', 'failed', 'canceled')


def one_queue(side: Side) -> Queue:
    return Queue('one', connection=side.client)


def worker_class(name: str) -> tuple[str, str]:
    return '--worker-class', f'workers.jobs.{name}'


def end_of(client: redis.Redis, job_id: str) -> tuple[str, list[str], int]:
    """Return a job's status, where it is, and how many times it began."""
    queue = Queue('one', connection=client)
    # RQ's own calls would clean up.
    held = {name: client.zrange(f'rq:{name}:one', 0, -1) for name in REGISTRIES}
    held |= {'queue': client.lrange(queue.key, 0, -1), 'taken': client.lrange(queue.intermediate_queue_key, 0, -1)}
    places = [name for name, entries in held.items() for entry in entries if entry.decode().partition(':')[0] == job_id]
    status = Job.fetch(job_id, connection=client).get_status(refresh=False)
    return status.value, places, int(client.hget(COUNTS, job_id) or 0)


def an_hour_later(side: Side, *names: str) -> None:
    """Let workers of these names clean up and work, each an hour after the one before."""
    for name in names:
        let_an_hour_pass(side.client)
        side.work('--with-scheduler', '--name', name, 'one')


def test_job_given_to_connection_of_dead_worker_has_same_end(sides: Sides) -> None:
    """The scheduler, a child of the worker, holds the connection open on which the worker waited for a job.

    So the server goes on waiting for the dead worker, before all others, and gives it the next job.
    """

    def scenario(side: Side) -> tuple[str, list[str], int]:
        queue = one_queue(side)
        with side.running('worker', '--with-scheduler', '--name', 'first', 'one') as first:
            assert eventually(lambda: is_waiting(side.client))
            first.process.kill()
            first.process.wait()
            assert session(first.pid)
            queue.enqueue(jobs.succeed, job_id='taken')
            side.work('--name', 'second', 'one')
            assert end_of(side.client, 'taken') == ('queued', ['taken'], 0)
        an_hour_later(side, 'third')
        assert queue.fetch_job('taken').latest_result().exc_string == 'Job was stuck in intermediate queue.'
        return end_of(side.client, 'taken')

    assert sides.same(scenario) == ('failed', ['failed'], 0)


def is_waiting(client: redis.Redis) -> bool:
    return any('b' in other['flags'] for other in client.client_list())


def test_job_lost_between_status_and_registry_has_same_end(sides: Sides) -> None:
    """`Job.retry` sets the status `scheduled` at once, and puts the job into the registry in a later transaction."""

    def scenario(side: Side) -> tuple[str, list[str], int]:
        one_queue(side).enqueue(jobs.fail_once, job_id='lost', retry=Retry(2, interval=1))
        options = ('--worker-class', 'rq.worker.SimpleWorker', '--job-class', 'workers.jobs.DyingWhenScheduled')
        let_a_worker_die(side, *options, '--name', 'first', 'one')
        assert end_of(side.client, 'lost') == ('scheduled', ['wip'], 1)
        an_hour_later(side, 'second', 'third', 'fourth')
        return end_of(side.client, 'lost')

    assert sides.same(scenario) == (('scheduled', [], 1) if LEAVES_OTHERS_ALONE else ('finished', ['finished'], 2))


def test_job_whose_retries_are_used_by_deaths_fails(sides: Sides) -> None:
    def scenario(side: Side) -> tuple[str, list[str], int]:
        one_queue(side).enqueue(jobs.fail_once, job_id='job', retry=Retry(1))
        let_a_worker_die(side, *worker_class('DyingWorker'), '--name', 'first', 'one')
        side.work('--name', 'second', 'one')
        an_hour_later(side, 'third')
        return end_of(side.client, 'job')

    assert sides.same(scenario) == ('failed', ['failed'], 1)


def test_jobs_of_work_horse_killed_before_start_have_same_ends(sides: Sides) -> None:
    """It is the work-horse that takes the job off the intermediate queue, and the worker does not do it instead."""

    def scenario(side: Side) -> list[Any]:
        queue = one_queue(side)
        queue.enqueue(jobs.succeed, job_id='once')
        queue.enqueue(jobs.succeed, job_id='again', retry=Retry(1))
        queue.enqueue(jobs.succeed, job_id='often', retry=Retry(2))
        side.work(*worker_class('DyingHorse'), '--name', 'first', 'one')
        ends = [{name: end_of(side.client, name) for name in ('once', 'again', 'often')}]
        an_hour_later(side, 'second', 'third')
        return [*ends, {name: end_of(side.client, name) for name in ends[0]}]

    assert sides.same(scenario) == [
        {
            'once': ('failed', ['failed', 'taken'], 0),
            'again': ('finished', ['finished', 'taken'], 1),
            'often': ('finished', ['finished', 'taken'], 1),
        },
        {
            'once': ('failed', ['failed'], 0),
            'again': ('failed', ['finished', 'failed'], 1),
            'often': ('finished', ['finished'], 2),
        },
    ]


def test_jobs_of_worker_killed_before_fork_have_same_ends(sides: Sides) -> None:
    """The job is in the intermediate queue and among the started ones: RQ 2 looks after it in both."""

    def scenario(side: Side) -> dict[str, Any]:
        queue = one_queue(side)
        queue.enqueue(jobs.succeed, job_id='once')
        queue.enqueue(jobs.succeed, job_id='again', retry=Retry(2))
        for name in ('first', 'second'):
            let_a_worker_die(side, *worker_class('DyingBeforeTheFork'), '--name', name, 'one')
        assert end_of(side.client, 'again') == ('queued', ['wip', 'taken'], 0)
        an_hour_later(side, 'third', 'fourth')
        return {name: end_of(side.client, name) for name in ('once', 'again')}

    runs = 1 if LEAVES_OTHERS_ALONE else 2
    assert sides.same(scenario) == {'once': ('failed', ['failed'], 0), 'again': ('finished', ['finished'], runs)}


def test_jobs_of_work_horse_killed_after_end_have_same_ends(sides: Sides) -> None:
    """The worker knows an end only by `finished` and `failed`: it fails, or retries, what is to run again already."""

    def scenario(side: Side) -> dict[str, Any]:
        queue = one_queue(side)
        queue.enqueue(jobs.fail_once, job_id='retried', retry=Retry(1))
        queue.enqueue(jobs.fail_once, job_id='retried-later', retry=Retry(1, interval=1))
        queue.enqueue(jobs.succeed, job_id='repeated', repeat=Repeat(1))
        queue.enqueue(jobs.succeed, job_id='repeated-later', repeat=Repeat(1, interval=1))
        queue.enqueue(jobs.succeed, job_id='finished')
        side.work(*worker_class('DyingAfterTheEnd'), '--name', 'first', 'one')
        an_hour_later(side, 'second', 'third', 'fourth')
        names = ('retried', 'retried-later', 'repeated', 'repeated-later', 'finished')
        return {name: end_of(side.client, name) for name in names}

    assert sides.same(scenario) == {
        'retried': ('finished', ['finished'], 3),
        'retried-later': ('finished', ['finished'], 2),
        'repeated': ('finished', ['finished', 'failed'], 3),
        'repeated-later': ('finished', ['finished', 'failed'], 3),
        'finished': ('finished', ['finished'], 1),
    }


def test_job_whose_end_is_taken_for_death_has_same_end(sides: Sides) -> None:
    """No process dies here: a work-horse ends together with the interval in which the worker waits for it.

    The alarm's exception then takes away what `os.wait4` has returned, and the next `wait4` finds no child. A worker
    for whom the system has no time, after its work-horse has ended, until the alarm, meets both at once.
    """

    def scenario(side: Side) -> dict[str, Any]:
        queue = one_queue(side)
        queue.enqueue(jobs.fail_once, job_id='retried', retry=Retry(1))
        side.work(*worker_class('AlarmedAtTheEnd'), '--name', 'first', 'one')
        queue.enqueue(jobs.succeed, job_id='repeated', repeat=Repeat(1))
        side.work(*worker_class('AlarmedAtTheEnd'), '--name', 'second', 'one')
        errors = [result.exc_string or '' for result in queue.fetch_job('repeated').results()]
        assert [error for error in errors if 'waitpid returned None' in error]
        return {name: end_of(side.client, name) for name in ('retried', 'repeated')}

    assert sides.same(scenario) == {
        'retried': ('finished', ['finished'], 3),
        'repeated': ('finished', ['finished', 'failed'], 3),
    }


def test_dependents_of_worker_killed_before_telling_them_stay_deferred(sides: Sides) -> None:
    """A failure is stored before its dependents are let run, and no cleanup finds those that were not."""

    def scenario(side: Side) -> dict[str, Any]:
        queue = one_queue(side)
        failing = queue.enqueue(jobs.fail, job_id='failing')
        queue.enqueue(jobs.succeed, job_id='may', depends_on=Dependency([failing], allow_failure=True))
        let_a_worker_die(side, *worker_class('DyingBeforeTheDependents'), '--name', 'first', 'one')
        an_hour_later(side, 'second')
        return {name: end_of(side.client, name) for name in ('failing', 'may')}

    assert sides.same(scenario) == {'failing': ('failed', ['failed'], 1), 'may': ('deferred', ['deferred'], 0)}


@pytest.mark.skipif(not hasattr(Queue, 'ready_job_registry'), reason='this RQ enqueues dependents with the success')
def test_dependents_of_worker_killed_before_enqueueing_run_later(sides: Sides) -> None:
    """Those of a success are `ready` by then, in the same transaction, and the next worker enqueues them."""

    def scenario(side: Side) -> dict[str, Any]:
        queue = one_queue(side)
        first = queue.enqueue(jobs.succeed, job_id='first')
        queue.enqueue(jobs.succeed, job_id='then', depends_on=first)
        let_a_worker_die(side, *worker_class('DyingBeforeTheReady'), '--name', 'first', 'one')
        assert end_of(side.client, 'then') == ('ready_to_enqueue', ['ready'], 0)
        side.work('--name', 'second', 'one')
        return {name: end_of(side.client, name) for name in ('first', 'then')}

    assert sides.same(scenario) == {'first': ('finished', ['finished'], 1), 'then': ('finished', ['finished'], 1)}
