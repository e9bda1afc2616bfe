"""repair(): each problem with one safe repair is repaired, and RQ works with the result."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import redis
from private_redis import PrivateRedis
from rq import Callback, Retry, Worker
from rq.job import Dependency, Job, JobStatus
from rq.registry import FailedJobRegistry, StartedJobRegistry, clean_registries

from rqreg_ext import Queue
from rqreg_ext._fastpath.rq_keys import BY_JOB_ID, JobKeys
from rqreg_ext._integrity.candidates import LookupResults
from rqreg_ext._integrity.check import check_everything, repair_everything
from rqreg_ext._integrity.job_view import FIELDS, view_of
from rqreg_ext._integrity.lists import Occurrences
from rqreg_ext._integrity.problems import CheckReport, Problem, ProblemKind
from rqreg_ext._integrity.queues import QueueEntries
from rqreg_ext._integrity.repair_report import RepairReport
from rqreg_ext.executions import ExecutionRegistry

from . import jobs, states

A_MINUTE_AGO = 61


def dump(client: redis.Redis) -> dict[bytes, Any]:
    return {key: (client.dump(key), client.pttl(key) >= 0) for key in client.keys('*')}


def check(queue: Queue) -> CheckReport:
    return check_everything(queue.connection, settle=0)


def repair_only_problem(queue: Queue, kind: ProblemKind, *, by: Any = None) -> Problem:
    """Repair the only problem, compare with the dry run, and check that no problem remains."""
    # A registry's truth is its count, which cleans it up.
    by = queue.failed_job_registry if by is None else by
    report = check(queue)
    (problem,) = report
    assert problem.kind is kind
    assert problem.repair is not None
    before = dump(queue.connection)
    dry = by.repair(report, dry_run=True)
    assert (dict(dry.repaired), dry.dry_run) == ({kind: 1}, True)
    assert dump(queue.connection) == before
    done = by.repair(report)
    assert (dict(done.repaired), done.total) == ({kind: 1}, 1)
    assert list(check(queue)) == []
    # Once more: there is nothing to do.
    again = by.repair(report)
    assert (dict(again.gone), again.total) == ({kind: 1}, 1)
    return problem


def later(problem: Problem, seconds: float = A_MINUTE_AGO) -> Problem:
    """Return the problem as if it had been found that much earlier."""
    from dataclasses import replace

    assert problem.repair_step is not None
    *arguments, seen_at = problem.repair_step.arguments
    return replace(problem, repair_step=problem.repair_step._replace(arguments=(*arguments, seen_at - seconds)))


@pytest.mark.parametrize('name', ['failed', 'finished', 'scheduled', 'deferred', 'canceled', 'started'])
def test_repair_drops_entry_of_missing_job(queue: Queue, name: str) -> None:
    queue.enqueue(jobs.succeed, job_id='kept')
    registry = getattr(queue, f'{name}_job_registry')
    member = 'gone:run' if name == 'started' else 'gone'
    queue.connection.zadd(registry.key, {member: time.time() + 1000})
    if name == 'deferred':
        # Nothing is known of what it waited for.
        assert check(queue).counts == {ProblemKind.MISSING_JOB: 1}
    repair_only_problem(queue, ProblemKind.MISSING_JOB)
    assert registry.get_job_ids() == []
    states.work(queue)
    assert queue.finished_job_registry.get_job_ids() == ['kept']


def test_repair_leaves_job_that_exists_again(queue: Queue) -> None:
    queue.connection.zadd(queue.failed_job_registry.key, {'f': time.time() + 1000})
    report = queue.failed_job_registry.check(settle=0)
    states.failed(queue, 'f')
    done = queue.failed_job_registry.repair(report)
    assert (dict(done.gone), done.total) == ({ProblemKind.MISSING_JOB: 1}, 1)
    assert queue.failed_job_registry.get_job_ids() == ['f']


@pytest.mark.parametrize('name', ['failed', 'finished'])
def test_repair_removes_expired_entry_of_registry(queue: Queue, name: str) -> None:
    registry = getattr(queue, f'{name}_job_registry')
    queue.enqueue(jobs.succeed, job_id='other')
    queue.connection.zadd(registry.key, {'old': time.time() - 5, 'new': time.time() + 30})
    repair_only_problem(queue, ProblemKind.EXPIRED, by=registry)
    assert registry.get_job_ids() == ['new']


def test_repair_drops_entry_of_failed_job_enqueued_again(queue: Queue) -> None:
    job = states.failed(queue, 'f')
    queue.enqueue_job(job)
    repair_only_problem(queue, ProblemKind.WRONG_STATUS)
    states.work(queue)
    assert queue.failed_job_registry.get_job_ids() == ['f']
    queue.failed_job_registry.requeue('f')
    assert queue.job_ids == ['f']


def test_repair_leaves_entry_of_job_changed_after_check(queue: Queue) -> None:
    """The entry stays if its job has changed."""
    job = states.failed(queue, 'f')
    queue.enqueue_job(job)
    report = queue.failed_job_registry.check(settle=0)
    states.work(queue)
    done = queue.failed_job_registry.repair(report)
    assert dict(done.gone) == {ProblemKind.WRONG_STATUS: 1}
    assert 'f' in queue.failed_job_registry


def test_repair_leaves_job_taken_from_queue_after_check(queue: Queue) -> None:
    job = states.failed(queue, 'f')
    queue.enqueue_job(job)
    report = queue.failed_job_registry.check(settle=0)
    queue.remove('f')
    done = queue.failed_job_registry.repair(report)
    ((problem, why),) = done.left
    assert (problem.kind, why) == (ProblemKind.WRONG_STATUS, 'the job is not where it was: a worker may be moving it')
    assert 'f' in queue.failed_job_registry


def test_repair_finds_job_in_long_queue_that_moves_after_check(queue: Queue) -> None:
    job = states.failed(queue, 'f')
    with queue.connection.pipeline() as pipe:
        for number in range(3000):
            queue.enqueue(jobs.succeed, pipeline=pipe)
            if number == 2000:
                queue.enqueue_job(job, pipeline=pipe)
        pipe.execute()
    report = queue.failed_job_registry.check(settle=0)
    queue.connection.lpop(queue.key, 500)
    assert dict(queue.failed_job_registry.repair(report).repaired) == {ProblemKind.WRONG_STATUS: 1}


def test_repair_drops_entry_of_another_queue(queue: Queue) -> None:
    states.failed(Queue('other', connection=queue.connection), 'f')
    queue.enqueue(jobs.succeed)
    queue.connection.zadd(queue.failed_job_registry.key, {'f': time.time() + 1000})
    repair_only_problem(queue, ProblemKind.WRONG_QUEUE)
    assert queue.failed_job_registry.get_job_ids() == []


def test_repair_leaves_ambiguous_status(queue: Queue) -> None:
    before = queue.enqueue(jobs.fail, job_id='f')
    states.work(queue)
    before.save()
    state = dump(queue.connection)
    done = queue.failed_job_registry.repair(queue.failed_job_registry.check(settle=0))
    assert [(problem.job_id, why) for problem, why in done.left] == [('f', 'there is no one safe repair')]
    assert dump(queue.connection) == state


def test_repair_drops_stale_entry_of_finished_job(queue: Queue) -> None:
    """Before RQ 3, RQ's cleanup would fail the job."""
    states.finished(queue, 's')
    queue.connection.zadd(queue.started_job_registry.key, {'s:left': time.time() - 5})
    repair_only_problem(queue, ProblemKind.WRONG_STATUS, by=queue.started_job_registry)
    assert queue.fetch_job('s').get_status() == JobStatus.FINISHED
    assert queue.started_job_registry.count == 0


def test_repair_removes_malformed_entry(queue: Queue) -> None:
    entry = states.started(queue, 's')
    queue.connection.zadd(queue.started_job_registry.key, {'a:b:c': time.time() + 1000})
    repair_only_problem(queue, ProblemKind.MALFORMED_ENTRY)
    assert queue.started_job_registry.get_job_and_execution_ids() == [tuple(entry.split(':'))]


class TestOrphans:
    """Orphans are put back where their status belongs."""

    @pytest.mark.parametrize('options', [{}, {'failure_ttl': 1000}, {'failure_ttl': -1}])
    def test_failed_orphan_is_put_back_with_its_ttl(self, queue: Queue, options: dict[str, Any]) -> None:
        job = states.failed(queue, 'f', **options)
        score = queue.connection.zscore(queue.failed_job_registry.key, 'f')
        queue.connection.delete(queue.failed_job_registry.key)
        repair_only_problem(queue, ProblemKind.ORPHAN)
        again = queue.connection.zscore(queue.failed_job_registry.key, 'f')
        assert again == pytest.approx(score, abs=5)
        clean_registries(queue)
        assert list(check(queue)) == []
        assert queue.failed_job_registry.requeue(job.id).id == 'f'
        states.work(queue)
        assert FailedJobRegistry(queue=queue).get_job_ids() == ['f']

    @pytest.mark.parametrize('result_ttl', [1000, -1])
    def test_finished_orphan_is_put_back_with_its_ttl(self, queue: Queue, result_ttl: int) -> None:
        job = states.finished(queue, 's', result_ttl=result_ttl)
        score = queue.connection.zscore(queue.finished_job_registry.key, 's')
        queue.connection.delete(queue.finished_job_registry.key)
        repair_only_problem(queue, ProblemKind.ORPHAN)
        again = queue.connection.zscore(queue.finished_job_registry.key, 's')
        assert again == score if result_ttl == -1 else again == pytest.approx(score, abs=5)
        job.delete()
        assert queue.finished_job_registry.count == 0

    def test_canceled_orphan_is_put_back(self, queue: Queue) -> None:
        job = states.canceled(queue, 'c')
        queue.connection.delete(queue.canceled_job_registry.key)
        repair_only_problem(queue, ProblemKind.ORPHAN)
        assert queue.canceled_job_registry.get_job_ids() == ['c']
        queue.canceled_job_registry.requeue(job.id)
        assert queue.job_ids == ['c']

    def test_scheduled_orphan_is_left_alone(self, queue: Queue) -> None:
        """Its time is not stored anywhere else."""
        states.scheduled(queue, 's')
        queue.connection.delete(queue.scheduled_job_registry.key)
        done = queue.scheduled_job_registry.repair(check(queue))
        assert [problem.kind for problem, _ in done.left] == [ProblemKind.ORPHAN]

    def test_deferred_orphan_is_put_back_with_dependency(self, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
        parent = queue.enqueue(jobs.succeed, job_id='parent')
        data = Queue.prepare_data(jobs.succeed, job_id='child', depends_on=parent)

        def end(*_: object, **__: object) -> None:
            raise states.Killed

        with monkeypatch.context() as patch:
            patch.setattr(Job, 'register_dependency', end)
            with pytest.raises(states.Killed):
                queue.enqueue_many([data])
        repair_only_problem(queue, ProblemKind.ORPHAN)
        assert queue.connection.smembers(queue.fetch_job('child').dependencies_key) == {b'parent'}
        # RQ tells it that its turn has come.
        states.work(queue)
        assert sorted(queue.finished_job_registry.get_job_ids()) == ['child', 'parent']

    def test_deferred_orphan_is_put_back_until_its_ttl(self, queue: Queue) -> None:
        """Before RQ 2.8, the score of a deferred job is its time to live; later it is not."""
        job = states.deferred(queue, 'd', states.scheduled(queue, 'parent'), ttl=1000)
        states.deferred(queue, 'e', 'parent')
        key = queue.deferred_job_registry.key
        scores = [queue.connection.zscore(key, job_id) for job_id in (job.id, 'e')]
        queue.connection.delete(key)
        report = check(queue)
        assert dict(queue.deferred_job_registry.repair(report).repaired) == {ProblemKind.ORPHAN: 2}
        assert [queue.connection.zscore(key, job_id) for job_id in (job.id, 'e')] == pytest.approx(scores, abs=5)
        assert list(check(queue)) == []

    @pytest.mark.skipif(not hasattr(JobStatus, 'READY_TO_ENQUEUE'), reason='this RQ has no registry of ready jobs')
    def test_ready_orphan_is_put_back_and_enqueued(self, queue: Queue) -> None:
        job = states.finished(queue, 'r')
        job.set_status(JobStatus.READY_TO_ENQUEUE)
        queue.connection.delete(queue.finished_job_registry.key)
        repair_only_problem(queue, ProblemKind.ORPHAN)
        assert [ready.id for ready in queue.ready_job_registry.cleanup()] == ['r']
        assert queue.job_ids == ['r']

    @pytest.mark.skipif(not hasattr(JobStatus, 'RATE_LIMITED'), reason='this RQ has no rate limits')
    def test_rate_limited_orphan_is_put_back_and_runs(self, queue: Queue) -> None:
        from rq.rate_limit import RateLimit, RateLimitRegistry

        limit = RateLimit('site', 1)
        for job_id in ('first', 'second'):
            queue.enqueue(jobs.succeed, job_id=job_id, rate_limit=limit)
        queue.connection.delete('rq:rl:site:rate_limited', 'rq:rl-keys', 'rq:rl:site')
        repair_only_problem(queue, ProblemKind.ORPHAN)
        states.work(queue)
        RateLimitRegistry('site', queue.connection).cleanup()
        states.work(queue)
        assert sorted(queue.finished_job_registry.get_job_ids()) == ['first', 'second']

    @pytest.mark.parametrize('retry', [None, Retry(max=1)])
    def test_started_orphan_is_retried_or_failed_by_rq(self, queue: Queue, retry: Retry | None) -> None:
        """RQ's own cleanup treats it as abandoned, and retries or fails it."""
        job = queue.enqueue(jobs.succeed, job_id='s', retry=retry)
        states.die(states.LeavingWorker, queue)
        states.let_time_pass(queue.connection)
        queue.connection.delete(queue.started_job_registry.key, 'rq:workers', 'rq:workers:q')
        fields = dict.fromkeys(['enqueued_at', 'started_at', 'last_heartbeat'], '2024-01-01T00:00:00.000000Z')
        queue.connection.hset(job.key, mapping=fields)
        repair_only_problem(queue, ProblemKind.ORPHAN, by=queue.started_job_registry)
        assert job.get_status() == (JobStatus.QUEUED if retry else JobStatus.FAILED)
        assert (queue.job_ids, queue.failed_job_registry.get_job_ids()) == ((['s'], []) if retry else ([], ['s']))

    def test_started_orphan_with_new_heartbeat_is_gone(self, queue: Queue) -> None:
        job = queue.enqueue(jobs.succeed, job_id='s')
        states.die(states.LeavingWorker, queue)
        states.let_time_pass(queue.connection)
        queue.connection.delete(queue.started_job_registry.key, 'rq:workers', 'rq:workers:q')
        fields = dict.fromkeys(['enqueued_at', 'started_at', 'last_heartbeat'], '2024-01-01T00:00:00.000000Z')
        queue.connection.hset(job.key, mapping=fields)
        report = check(queue)
        queue.connection.hset(job.key, 'last_heartbeat', '2024-01-02T00:00:00.000000Z')
        assert dict(queue.started_job_registry.repair(report).gone) == {ProblemKind.ORPHAN: 1}
        assert queue.started_job_registry.count == 0


class TestLostFromQueue:
    """A worker may be starting a job that is queued but in no queue, so repair() waits for a minute."""

    @pytest.fixture
    def report(self, queue: Queue) -> CheckReport:
        queue.enqueue(jobs.succeed, job_id='lost')
        states.die(states.TakingWorker, queue, Queue('second', connection=queue.connection))
        queue.enqueue(jobs.succeed, job_id='waits')
        queue.connection.delete('rq:workers', 'rq:workers:q', 'rq:workers:second')
        return check(queue)

    def test_lost_job_is_left_in_first_minute(self, queue: Queue, report: CheckReport) -> None:
        for _ in range(2):
            done = repair_everything(queue.connection, report)
            ((problem, why),) = done.left
            assert (problem.kind, problem.job_id) == (ProblemKind.ORPHAN, 'lost')
            assert 'less than a minute' in why
        assert queue.job_ids == ['waits']
        # RQ's own note of when it saw a job between its queue and its start.
        first_seen = queue.intermediate_queue.get_first_seen('lost')
        assert first_seen is not None
        assert abs(first_seen.timestamp() - time.time()) < 60
        assert 86000 < queue.connection.ttl(queue.intermediate_queue.get_first_seen_key('lost')) <= 86400

    def test_dry_run_writes_no_time_of_lost_job(self, queue: Queue, report: CheckReport) -> None:
        before = dump(queue.connection)
        done = repair_everything(queue.connection, report, dry_run=True)
        assert len(done.left) == 1
        assert dump(queue.connection) == before

    def test_lost_job_is_queued_after_a_minute(self, queue: Queue, report: CheckReport) -> None:
        (problem,) = report
        done = repair_everything(queue.connection, [later(problem)])
        assert dict(done.repaired) == {ProblemKind.ORPHAN: 1}
        assert queue.job_ids == ['waits', 'lost']
        assert list(check(queue)) == []
        # By whatever it was seen: it is pushed once.
        for again in (report, [later(problem)]):
            assert dict(repair_everything(queue.connection, again).gone) == {ProblemKind.ORPHAN: 1}
        states.work(queue)
        assert sorted(queue.finished_job_registry.get_job_ids()) == ['lost', 'waits']

    def test_lost_job_is_queued_after_a_minute_by_new_check(self, queue: Queue, report: CheckReport) -> None:
        repair_everything(queue.connection, report)
        key = queue.intermediate_queue.get_first_seen_key('lost')
        # As if that had been earlier; the job was enqueued before.
        queue.connection.set(key, time.time() - A_MINUTE_AGO, ex=1000)
        queue.connection.hset('rq:job:lost', 'enqueued_at', '2024-01-01T00:00:00.000000Z')
        done = repair_everything(queue.connection)
        assert dict(done.repaired) == {ProblemKind.ORPHAN: 1}
        assert not queue.connection.exists(key)

    def test_time_of_an_earlier_loss_is_ignored(self, queue: Queue, report: CheckReport) -> None:
        """RQ's key with that time expires after a day."""
        key = queue.intermediate_queue.get_first_seen_key('lost')
        queue.connection.set(key, time.time() - 5000, ex=1000)
        done = repair_everything(queue.connection, report)
        assert len(done.left) == 1
        assert float(queue.connection.get(key)) > time.time() - 60

    @pytest.mark.parametrize('meanwhile', ['started', 'requeued', 'taken', 'canceled', 'deleted'])
    def test_lost_job_that_changed_after_check_is_left(self, queue: Queue, report: CheckReport, meanwhile: str) -> None:
        (problem,) = report
        job = queue.fetch_job('lost')
        assert job is not None
        if meanwhile == 'started':
            queue.push_job_id('lost', at_front=True)
            states.die(states.EnteringWorker, queue)
            queue.connection.delete(queue.intermediate_queue_key)
        elif meanwhile == 'requeued':
            queue.enqueue_job(job)
        elif meanwhile == 'taken':
            queue.connection.rpush(queue.intermediate_queue_key, 'lost')
        elif meanwhile == 'canceled':
            job.cancel()
        else:
            job.delete()
        ids = queue.job_ids
        done = repair_everything(queue.connection, [later(problem)])
        assert dict(done.gone) == {ProblemKind.ORPHAN: 1}
        assert queue.job_ids == ids

    def test_deleted_queue_is_restored_in_order(self, queue: Queue) -> None:
        ids = [f'j{number}' for number in range(300)]
        for job_id in ids:
            queue.enqueue(jobs.succeed, job_id=job_id)
        queue.connection.delete(queue.key, 'rq:queues')
        problems = [later(problem) for problem in check(queue) if problem.kind is ProblemKind.ORPHAN]
        assert dict(repair_everything(queue.connection, problems).repaired) == {ProblemKind.ORPHAN: 300}
        assert queue.job_ids == ids
        assert list(check(queue)) == []


class TestQueues:
    def test_repair_removes_missing_jobs_from_queue(self, queue: Queue) -> None:
        for job_id in ('a', 'b', 'c', 'd'):
            queue.enqueue(jobs.succeed, job_id=job_id)
        for gone in ('a', 'd'):
            queue.connection.delete(f'rq:job:{gone}')
        report = check(queue)
        done = queue.failed_job_registry.repair(report)
        assert dict(done.repaired) == {ProblemKind.MISSING_JOB: 2}
        assert queue.job_ids == ['b', 'c']
        assert dict(queue.failed_job_registry.repair(report).gone) == {ProblemKind.MISSING_JOB: 2}

    def test_repair_removes_missing_jobs_throughout_a_queue(self, queue: Queue) -> None:
        with queue.connection.pipeline() as pipe:
            for number in range(1000):
                queue.enqueue(jobs.succeed, job_id=f'j{number}', pipeline=pipe)
            pipe.execute()
        gone = [f'j{number}' for number in range(0, 1000, 3)]
        queue.connection.delete(*(f'rq:job:{job_id}' for job_id in gone))
        done = repair_everything(queue.connection, check(queue))
        assert dict(done.repaired) == {ProblemKind.MISSING_JOB: len(gone)}
        assert queue.job_ids == [f'j{number}' for number in range(1000) if number % 3]

    def test_long_queue_is_not_searched_for_long(self, queue: Queue) -> None:
        """No script searches so long that it would block the server."""
        ids = [f'j{number}' for number in range(700_000)]
        for start in range(0, len(ids), 10_000):
            queue.connection.rpush(queue.key, *ids[start : start + 10_000])
        entries = QueueEntries(JobKeys(Job), queue.name)
        view = view_of([0, [None] * len(FIELDS), 0, -2, [], *[None] * len(BY_JOB_ID)], LookupResults({}, {}), 'x', 'q')
        problems = [
            entries.problem_of(ids[n], Occurrences(1, n), view) for n in (5, 100_000, 350_000, 690_000, 699_999)
        ]
        # As if that many had been taken since the check; the last one is outside of what the script reads.
        queue.connection.ltrim(queue.key, 500, -1)
        done = repair_everything(queue.connection, [problem for problem in problems if problem])
        assert dict(done.repaired) == {ProblemKind.MISSING_JOB: 3}
        assert sorted((problem.job_id, why[:12]) for problem, why in done.left) == [
            ('j350000', 'it is so dee'),
            ('j5', 'the queue is'),
        ]
        assert queue.count == 700_000 - 500 - 3

    def test_repair_removes_canceled_job_from_queue(self, queue: Queue) -> None:
        job = queue.enqueue(jobs.succeed, job_id='c')
        queue.push_job_id('c')
        job.cancel()
        repair_only_problem(queue, ProblemKind.WRONG_STATUS)
        assert queue.job_ids == []

    def test_repair_removes_stale_entries_of_intermediate_queue(self, queue: Queue) -> None:
        states.finished(queue, 'f')
        queue.connection.rpush(queue.intermediate_queue_key, 'f')
        repair_only_problem(queue, ProblemKind.WRONG_STATUS)
        assert queue.intermediate_queue.get_job_ids() == []

    def test_repair_leaves_job_queued_twice(self, queue: Queue) -> None:
        """This may be intended."""
        queue.enqueue(jobs.succeed, job_id='twice')
        queue.push_job_id('twice')
        done = repair_everything(queue.connection, check(queue))
        assert [problem.kind for problem, _ in done.left] == [ProblemKind.QUEUED_TWICE]
        assert queue.job_ids == ['twice', 'twice']

    def test_repair_lists_unlisted_queue(self, queue: Queue) -> None:
        queue.enqueue(jobs.succeed)
        queue.connection.delete('rq:queues')
        repair_only_problem(queue, ProblemKind.UNKNOWN_QUEUE)
        assert [listed.name for listed in Queue.all(queue.connection)] == ['q']


class TestAbandoned:
    @pytest.mark.parametrize('retry', [None, Retry(max=1)])
    def test_repair_has_rqs_clean_up_fail_or_retry_abandoned_job(self, queue: Queue, retry: Retry | None) -> None:
        callback = Callback(jobs.note_failure)
        job = queue.enqueue(jobs.succeed, job_id='s', retry=retry, on_failure=callback)
        states.die(states.LeavingWorker, queue)
        states.let_time_pass(queue.connection)
        queue.connection.delete('rq:workers', 'rq:workers:q')
        repair_only_problem(queue, ProblemKind.ABANDONED, by=queue.started_job_registry)
        assert job.get_status() == (JobStatus.QUEUED if retry else JobStatus.FAILED)
        assert queue.connection.lrange('tests:failures', 0, -1) == [b's']

    def test_repair_counts_failing_clean_up_as_failed(self, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
        states.started(queue, 's')
        states.let_time_pass(queue.connection)
        error = RuntimeError('as it should')

        def fail(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(StartedJobRegistry, 'cleanup', fail)
        monkeypatch.setattr(type(queue.started_job_registry), 'cleanup', fail)
        done = queue.started_job_registry.repair(queue.started_job_registry.check(settle=0))
        assert [(problem.job_id, problem_error) for problem, problem_error in done.failed] == [('s', error)]
        assert 'as it should' in str(done)

    def test_repair_has_rq_fail_expired_deferred_job(self, queue: Queue) -> None:
        """Before RQ 2.8, RQ's cleanup fails it."""
        states.deferred(queue, 'd', states.scheduled(queue, 'parent'), ttl=1000)
        queue.connection.zadd(queue.deferred_job_registry.key, {'d': 5})
        report = check(queue)
        if not report:
            pytest.skip('this RQ has no expiring deferred jobs')
        repair_only_problem(queue, ProblemKind.EXPIRED)
        assert queue.failed_job_registry.get_job_ids() == ['d']


class TestDependencies:
    @pytest.mark.parametrize('at_front', [False, True])
    def test_repair_enqueues_job_with_met_dependency(self, queue: Queue, at_front: bool) -> None:
        parent = states.scheduled(queue, 'parent')
        dependency = Dependency([parent], enqueue_at_front=at_front, allow_failure=True)
        child = states.deferred(queue, 'child', dependency, ttl=1000)
        queue.enqueue(jobs.succeed, job_id='other')
        parent.set_status(JobStatus.FAILED)
        queue.failed_job_registry.add(parent, 1000, 'boom')
        queue.connection.zrem(queue.scheduled_job_registry.key, 'parent')
        repair_only_problem(queue, ProblemKind.DEPENDENCIES_MET, by=queue.deferred_job_registry)
        assert queue.job_ids == (['child', 'other'] if at_front else ['other', 'child'])
        assert child.get_status() == JobStatus.QUEUED
        assert queue.deferred_job_registry.get_job_ids() == []
        assert not queue.connection.exists(parent.dependents_key)
        states.work(queue)
        assert sorted(queue.finished_job_registry.get_job_ids()) == ['child', 'other']

    def test_repair_leaves_job_whose_dependency_runs_again(self, queue: Queue) -> None:
        parent = states.scheduled(queue, 'parent')
        states.deferred(queue, 'child', parent)
        parent.set_status(JobStatus.FINISHED)
        report = queue.deferred_job_registry.check(settle=0)
        parent.set_status(JobStatus.SCHEDULED)
        assert dict(queue.deferred_job_registry.repair(report).gone) == {ProblemKind.DEPENDENCIES_MET: 1}

    def test_repair_makes_job_a_dependent_again(self, queue: Queue) -> None:
        parent = states.failed(queue, 'parent')
        states.deferred(queue, 'child', parent)
        queue.failed_job_registry.requeue(parent.id)
        queue.connection.delete(parent.dependents_key)
        repair_only_problem(queue, ProblemKind.NOT_A_DEPENDENT)
        queue.connection.hset(parent.key, 'data', Job.create(jobs.succeed, connection=queue.connection).data)
        states.work(queue)
        assert sorted(queue.finished_job_registry.get_job_ids()) == ['child', 'parent']

    def test_repair_leaves_missing_dependency(self, queue: Queue) -> None:
        parent = states.scheduled(queue, 'parent')
        states.deferred(queue, 'child', parent)
        parent.delete()
        done = repair_everything(queue.connection, check(queue))
        assert [problem.kind for problem, _ in done.left] == [ProblemKind.MISSING_DEPENDENCY]
        assert queue.deferred_job_registry.get_job_ids() == ['child']

    def test_repair_deletes_stale_sets(self, queue: Queue) -> None:
        queue.connection.sadd('rq:job:gone:dependents', 'x', 'y')
        repair_only_problem(queue, ProblemKind.STALE_KEY)
        queue.connection.sadd('rq:job::gone:dependencies', 'x')
        repair_only_problem(queue, ProblemKind.STALE_KEY)

    def test_stale_set_with_deferred_job_is_left(self, queue: Queue) -> None:
        parent = states.scheduled(queue, 'parent')
        states.deferred(queue, 'child', parent)
        queue.connection.delete(parent.key, queue.scheduled_job_registry.key)
        done = repair_everything(queue.connection, check(queue).of('stale_key'))
        assert [why for _, why in done.left] == ['a deferred job is in it']


class TestExecutions:
    def test_repair_drops_entry_of_missing_execution(self, queue: Queue) -> None:
        """The job can be deleted afterwards."""
        states.finished(queue, 's')
        registry = ExecutionRegistry('s', connection=queue.connection)
        queue.connection.zadd(registry.key, {'run': time.time() + 50})
        job = queue.fetch_job('s')
        assert job is not None
        with pytest.raises(ValueError, match='not found'):
            job.delete()
        repair_registry(registry, ProblemKind.MISSING_EXECUTION)
        queue.finished_job_registry.add(job, 100)
        job.delete()
        assert not queue.connection.exists(job.key)

    def test_repair_removes_expired_entry_of_executions(self, queue: Queue) -> None:
        states.finished(queue, 's')
        registry = ExecutionRegistry('s', connection=queue.connection)
        queue.connection.zadd(registry.key, {'run': 5})
        repair_registry(registry, ProblemKind.EXPIRED)

    @pytest.mark.parametrize('alive', [True, False])
    def test_repair_deletes_executions_of_missing_job_if_expired(self, queue: Queue, alive: bool) -> None:
        score = time.time() + (100 if alive else -100)
        queue.connection.zadd('rq:executions:gone', {'run': score})
        done = repair_everything(queue.connection, check(queue))
        assert (dict(done.repaired), len(done.left)) == (
            {} if alive else {ProblemKind.EXECUTION_WITHOUT_JOB: 1},
            int(alive),
        )
        assert queue.connection.exists('rq:executions:gone') == int(alive)

    @pytest.mark.parametrize('alive', [True, False])
    def test_repair_deletes_execution_of_missing_job_if_dead(self, queue: Queue, alive: bool) -> None:
        queue.connection.hset('rq:execution:gone:run', 'last_heartbeat', time.time() - (5 if alive else 5000))
        done = repair_everything(queue.connection, check(queue))
        assert (dict(done.repaired), len(done.left)) == (
            {} if alive else {ProblemKind.EXECUTION_WITHOUT_JOB: 1},
            int(alive),
        )


def repair_registry(registry: Any, kind: ProblemKind) -> None:
    report = registry.check(settle=0)
    assert [problem.kind for problem in report] == [kind]
    assert dict(registry.repair(report).repaired) == {kind: 1}
    assert list(registry.check(settle=0)) == []


def test_repair_removes_missing_worker_from_set(queue: Queue) -> None:
    queue.enqueue(jobs.succeed)
    queue.connection.sadd('rq:workers', 'rq:worker:gone')
    assert Worker.count(queue.connection) == 1
    repair_only_problem(queue, ProblemKind.MISSING_WORKER)
    assert Worker.count(queue.connection) == 0


class TestCalls:
    @pytest.fixture
    def broken(self, queue: Queue) -> Queue:
        states.failed(queue, 'orphan')
        queue.connection.delete(queue.failed_job_registry.key)
        gone = {f'gone-{number}': time.time() + 1000 for number in range(450)}
        queue.connection.zadd(queue.failed_job_registry.key, {'late': 5, **gone})
        return queue

    def test_problems_default_to_a_check(self, broken: Queue) -> None:
        done = broken.failed_job_registry.repair()
        assert dict(done.repaired) == {ProblemKind.EXPIRED: 1, ProblemKind.MISSING_JOB: 450, ProblemKind.ORPHAN: 1}
        assert (done.total, done.left, done.failed, done.stopped) == (452, [], [], False)
        assert broken.failed_job_registry.get_job_ids() == ['orphan']

    def test_only_selected_kinds_are_repaired(self, broken: Queue) -> None:
        done = broken.failed_job_registry.repair(kinds=['missing_job', ProblemKind.EXPIRED])
        assert dict(done.repaired) == {ProblemKind.EXPIRED: 1, ProblemKind.MISSING_JOB: 450}
        assert broken.failed_job_registry.get_job_ids() == []
        assert broken.failed_job_registry.repair(kinds='orphan').repaired == {'orphan': 1}

    def test_only_given_problems_are_repaired(self, broken: Queue) -> None:
        report = broken.failed_job_registry.check(settle=0)
        done = broken.failed_job_registry.repair(report[:10])
        assert done.total == 10
        assert len(broken.failed_job_registry.check(settle=0)) == 442

    def test_repair_of_database_repairs_all_queues(self, broken: Queue) -> None:
        other = Queue('other', connection=broken.connection)
        broken.connection.zadd(other.finished_job_registry.key, {'gone': '+inf'})
        broken.connection.sadd('rq:queues', other.key)
        assert repair_everything(broken.connection, queues=['other']).total == 1
        assert repair_everything(broken.connection).total == 452
        assert list(check(broken)) == []

    def test_progress_is_called_and_stops_repair(self, broken: Queue) -> None:
        report = broken.failed_job_registry.check(settle=0)
        seen: list[tuple[int, int]] = []
        broken.failed_job_registry.repair(report, dry_run=True, progress=lambda *step: seen.append(step))
        assert seen == [(200, 452), (400, 452), (452, 452)]
        done = broken.failed_job_registry.repair(report, progress=lambda count, _: count < 400)
        assert (done.stopped, done.total) == (True, 400)
        done = broken.failed_job_registry.repair(report)
        assert (done.stopped, sum(done.repaired.values()), sum(done.gone.values())) == (False, 52, 400)

    def test_scripts_are_sent_again_if_unknown(self, broken: Queue) -> None:
        broken.connection.script_flush()
        assert broken.failed_job_registry.repair().total == 452

    def test_report_of_repair_counts_and_gives_reasons(self, broken: Queue) -> None:
        states.scheduled(broken, 's')
        broken.connection.delete(broken.scheduled_job_registry.key)
        report = check(broken)
        dry = broken.failed_job_registry.repair(report, dry_run=True)
        assert '452 would be repaired' in str(dry)
        assert '1 orphan would be left: there is no one safe repair' in str(dry)
        done = broken.failed_job_registry.repair(report)
        assert done.reasons == {ProblemKind.ORPHAN: {'there is no one safe repair': 1}}
        twice = done + dry
        assert (twice.total, twice.dry_run) == (906, True)
        assert done.to_dict() == {
            'repaired': {'expired': 1, 'missing_job': 450, 'orphan': 1},
            'gone': {},
            'left': {'orphan': {'there is no one safe repair': 1}},
            'failed': [],
            'total': 453,
            'dry_run': False,
            'stopped': False,
            'seconds': done.seconds,
            'errors': {},
        }
        assert isinstance(done, RepairReport)
        assert repr(done) == '<RepairReport of 453 problems>'

    def test_refused_script_counts_problems_as_failed(self, broken: Queue) -> None:
        report = broken.failed_job_registry.check(settle=0, orphans=False)
        broken.connection.delete(broken.failed_job_registry.key)
        broken.connection.set(broken.failed_job_registry.key, 'x')
        done = broken.failed_job_registry.repair(report)
        assert len(done.failed) == 451
        assert all('WRONGTYPE' in str(error) for _, error in done.failed)

    @pytest.mark.parametrize(
        ('arguments', 'error', 'words'),
        [
            ({'problems': 5}, TypeError, 'problems=5 is not a collection of problems'),
            ({'problems': 'x'}, TypeError, "problems='x' is not a collection of problems"),
            ({'problems': ['x']}, TypeError, "'x' is not a Problem"),
            ({'problems': Problem(ProblemKind.ORPHAN, 'x', 'y', 'z')}, TypeError, 'is not a collection of problems'),
            ({'kinds': ['x']}, ValueError, "'x' is not a valid ProblemKind"),
        ],
    )
    def test_wrong_arguments_raise(self, queue: Queue, arguments: Any, error: type[Exception], words: str) -> None:
        with pytest.raises(error, match=words):
            queue.failed_job_registry.repair(**arguments)


def test_repair_raises_for_user_without_right_to_scripts(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    """check() does not need it; repair() raises, and changes nothing."""
    connection.zadd('rq:failed:q', {'gone': '+inf'})
    connection.acl_setuser('reader', enabled=True, passwords=['+p'], keys='*', commands=['+@all', '-@scripting'])
    with redis_server.client(username='reader', password='p') as client:
        queue = Queue('q', connection=client)
        report = queue.failed_job_registry.check(settle=0)
        assert len(report) == 1
        before = dump(connection)
        with pytest.raises(redis.exceptions.NoPermissionError):
            queue.failed_job_registry.repair(report)
        assert dump(connection) == before
    connection.acl_deluser('reader')


def test_concurrent_repairs_repair_each_problem_once(queue: Queue, redis_server: PrivateRedis) -> None:
    """Each problem is repaired once."""
    ids = [f'j{number}' for number in range(500)]
    for job_id in ids:
        queue.enqueue(jobs.succeed, job_id=job_id)
    queue.connection.delete(queue.key)
    queue.connection.zadd(queue.failed_job_registry.key, {f'gone-{number}': '+inf' for number in range(2000)})
    report = check(queue)
    problems = [later(problem) if problem.kind is ProblemKind.ORPHAN else problem for problem in report]
    results: list[RepairReport] = []

    def repair() -> None:
        with redis_server.client() as client:
            results.append(repair_everything(client, problems))

    threads = [threading.Thread(target=repair) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    repaired = sum((result.repaired for result in results), results[0].repaired.__class__())
    assert repaired == {ProblemKind.ORPHAN: 500, ProblemKind.MISSING_JOB: 2000}
    assert sorted(queue.job_ids) == sorted(ids)
