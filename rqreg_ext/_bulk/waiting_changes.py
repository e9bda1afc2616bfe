"""Changing the jobs that wait in a queue, as those of a registry."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from rq.job import Job

from .._fastpath import guards
from .._fastpath.dispatch import can_read_jobs
from .._fastpath.script_arguments import Value
from .._query.arguments import by_name_only
from .._query.filters import Filters, JobFilters
from .._query.waiting_reads import WaitingReadsMixin, filters_of
from .emptying import EmptyOperation
from .fallback import waiting as fallback
from .mixin import finder_of
from .moving import RequeueOn, TargetQueue, target_of
from .operation import JobSteps
from .options import IdsProgress, Options, Progress
from .result import BulkResult
from .scripts import Cancellation, Deletion, Script
from .waiting_operation import WaitingOperation

if TYPE_CHECKING:
    from rq import Queue
    from typing_extensions import Unpack


class WaitingChangesMixin(WaitingReadsMixin):
    """The methods of WaitingJobs that change jobs."""

    _queue: Queue | None

    def empty(
        self,
        *,
        limit: int | None = None,
        progress: Progress | None = None,
        dry_run: bool = False,
        chunk_size: int | None = None,
        wait_replicas: int = 0,
        rate: float | None = None,
    ) -> BulkResult:
        """Delete all jobs that wait, as Queue.empty() does, but in chunks: RQ's is one script, which blocks the server.

        As with RQ's, only the hashes of the jobs are deleted, with their dependents and results: the jobs stay in
        their groups, and jobs that depend on them are not enqueued. purge() deletes jobs as Job.delete() does. Workers
        may take jobs during the call. Jobs that are enqueued during the call are left.

        Args:
            limit: The most jobs to delete, from the front of the queue; None for all. A chunk that is sent again,
                because its reply was lost, may delete as many again, which are counted as unconfirmed.
            progress: See BulkOptions.
            dry_run: Whether to change nothing and report how many entries there are.
            chunk_size, wait_replicas, rate: See BulkOptions.

        Returns:
            A BulkResult. Entries of jobs whose hash was gone are removed, and count as skipped: 'no such job'. Where
            the server refuses the script, or the client may change keys, jobs are deleted one by one. If Queue.empty()
            was replaced, the replacement is called, and `by_rq` is what it returns.

        Raises:
            TypeError, ValueError: An argument is wrong.
            redis.exceptions.RedisError: With the attribute `result`, what was done until then. The same call again does
                the rest.

        Round trips:
            One per chunk, and one. Two for each job without the script.

        Source:
            rq.Queue.empty; Redis LRANGE, UNLINK, LTRIM.
        """
        return EmptyOperation(
            self, self._queue, Options(progress, dry_run, chunk_size, wait_replicas, rate, limit)
        ).run()

    def remove_many(
        self,
        ids: Iterable[str | Job],
        delete_job: bool = False,
        *,
        progress: IdsProgress | None = None,
        dry_run: bool = False,
        chunk_size: int | None = None,
        wait_replicas: int = 0,
        rate: float | None = None,
        limit: int | None = None,
    ) -> BulkResult:
        """Take jobs out of the queue, as Queue.remove() does with one job, or delete them as Job.delete() does.

        Args:
            ids: Job ids or Job objects, from any iterable.
            delete_job: Whether to delete the jobs too. Without it they stay in Redis, with the status 'queued', and
                nothing will run them.
            progress, dry_run, chunk_size, wait_replicas, rate, limit: See BulkOptions.

        Returns:
            A BulkResult. Ids that do not wait in the queue count as missing, and their jobs are not changed: a worker
            may have them. Jobs that RQ cannot delete are in `failed`.

        Raises:
            TypeError, ValueError: An argument is wrong.
            redis.exceptions.RedisError: An error that affects all jobs, with the attribute `result`. The same call
                again does the rest.

        Round trips:
            One per chunk, and one per 5000 jobs that wait for each portion of ids: of 1000, or a quarter of the queue.

        Source:
            rq.Queue.remove, rq.job.Job.delete; Redis LSET, LREM.
        """
        return _removal(self, delete_job, Options(progress, dry_run, chunk_size, wait_replicas, rate, limit)).run(
            finder_of(ids)
        )

    @by_name_only
    def purge(
        self,
        *,
        delete_job: bool = True,
        progress: Progress | None = None,
        dry_run: bool = False,
        chunk_size: int | None = None,
        wait_replicas: int = 0,
        rate: float | None = None,
        limit: int | None = None,
        **filters: Unpack[JobFilters],
    ) -> BulkResult:
        """Delete all jobs that wait, or those that match the filters, as Job.delete() does.

        Entries of jobs whose hash is gone are removed, and count as skipped. Jobs that are enqueued at the end during
        the call are left, except at most as many as workers take during it. empty() is faster, and deletes less of
        each job.

        Args:
            delete_job: Whether to delete the jobs too, as in remove_many().
            progress, dry_run, chunk_size, wait_replicas, rate, limit: See BulkOptions.
            **filters: See JobFilters, of which `min_score` and `max_score` are not taken. Without filters, all jobs
                match.

        Returns:
            A BulkResult. Jobs for which a filter cannot be decided are skipped.

        Raises:
            TypeError, ValueError: An argument is wrong.
            redis.exceptions.RedisError: An error that affects all jobs, with the attribute `result`. The same call
                again does the rest.

        Round trips:
            One per chunk, and one per 1000 jobs that wait; one more per 1000 with filters.

        Source:
            rq.Queue.get_job_ids, rq.job.Job.delete; Redis LRANGE, LSET, LREM.
        """
        selection = filters_of('purge()', filters)
        operation = _removal(self, delete_job, Options(progress, dry_run, chunk_size, wait_replicas, rate, limit))
        return _run_on_selected(self, operation, selection)

    def cancel_many(
        self,
        ids: Iterable[str | Job],
        *,
        enqueue_dependents: bool = False,
        remove_from_dependencies: bool = False,
        progress: IdsProgress | None = None,
        dry_run: bool = False,
        chunk_size: int | None = None,
        wait_replicas: int = 0,
        rate: float | None = None,
        limit: int | None = None,
    ) -> BulkResult:
        """Cancel jobs that wait, as Job.cancel() does with one job. They are moved to the canceled registry.

        Args:
            ids: Job ids or Job objects, from any iterable.
            enqueue_dependents: Whether to enqueue the jobs that depend on the canceled ones.
            remove_from_dependencies: Whether to remove the jobs from the dependents of the jobs they depend on.
            progress, dry_run, chunk_size, wait_replicas, rate, limit: See BulkOptions.

        Returns:
            A BulkResult. Ids that do not wait in the queue count as missing, jobs that are already canceled as skipped.

        Raises:
            TypeError, ValueError: An argument is wrong.
            redis.exceptions.RedisError: An error that affects all jobs, with the attribute `result`.

        Round trips:
            Those of remove_many().

        Source:
            rq.job.Job.cancel; Redis LSET, LREM.
        """
        options = Options(progress, dry_run, chunk_size, wait_replicas, rate, limit)
        return _cancellation(self, enqueue_dependents, remove_from_dependencies, options).run(finder_of(ids))

    @by_name_only
    def cancel_all(
        self,
        *,
        enqueue_dependents: bool = False,
        remove_from_dependencies: bool = False,
        progress: Progress | None = None,
        dry_run: bool = False,
        chunk_size: int | None = None,
        wait_replicas: int = 0,
        rate: float | None = None,
        limit: int | None = None,
        **filters: Unpack[JobFilters],
    ) -> BulkResult:
        """Cancel all jobs that wait, or those that match the filters; see cancel_many().

        Jobs that are enqueued at the end during the call are left, but for at most as many as workers take meanwhile.

        Args:
            enqueue_dependents: Whether to enqueue the jobs that depend on the canceled ones.
            remove_from_dependencies: Whether to remove the jobs from the dependents of the jobs they depend on.
            progress, dry_run, chunk_size, wait_replicas, rate, limit: See BulkOptions.
            **filters: See JobFilters, of which `min_score` and `max_score` are not taken. Without filters, all jobs
                match.

        Returns:
            A BulkResult. Jobs that are already canceled are skipped, and so are those for which a filter cannot be
            decided.

        Raises:
            TypeError, ValueError: An argument is wrong.
            redis.exceptions.RedisError: An error that affects all jobs, with the attribute `result`.

        Round trips:
            Those of purge().

        Source:
            rq.Queue.get_job_ids, rq.job.Job.cancel; Redis LRANGE, LSET, LREM.
        """
        selection = filters_of('cancel_all()', filters)
        options = Options(progress, dry_run, chunk_size, wait_replicas, rate, limit)
        return _run_on_selected(
            self, _cancellation(self, enqueue_dependents, remove_from_dependencies, options), selection
        )

    def move_many(
        self,
        ids: Iterable[str | Job],
        to: str | Queue,
        at_front: bool = False,
        *,
        progress: IdsProgress | None = None,
        dry_run: bool = False,
        chunk_size: int | None = None,
        wait_replicas: int = 0,
        rate: float | None = None,
        limit: int | None = None,
    ) -> BulkResult:
        """Move jobs that wait to the end of another queue, which need not exist yet, in the order of `ids`.

        Each is taken out of this queue, and enqueued as the other queue's enqueue_job() does: `origin` and
        `enqueued_at` are new, and a job with a ttl has it from now on. As the job waits, its dependencies are met, and
        it holds a slot if it has a rate limit: these are not looked at again. A job that is in the list by mistake,
        with another status than 'queued' or as one of another queue, is in `failed`, and is not moved.

        Args:
            ids: Job ids or Job objects, from any iterable.
            to: The name of the other queue, or a Queue, whose default timeout jobs without one then get.
            at_front: Whether to put each job at the front of the other queue, so that the last id given runs first.
            progress, dry_run, chunk_size, wait_replicas, rate, limit: See BulkOptions.

        Returns:
            A BulkResult. Ids that do not wait in the queue count as missing: a worker may have them.

        Raises:
            TypeError, ValueError: An argument is wrong: `to` is the queue that the jobs are in, say.
            redis.exceptions.RedisError: An error that affects all jobs, with the attribute `result`.

        Round trips:
            Those of remove_many(), and one more for metadata (`job.meta`) that differs from that of the jobs before.

        Source:
            rq.Queue.remove, rq.Queue.enqueue_job; Redis LSET, LREM, RPUSH, SADD.
        """
        target = target_of(self, to)
        check = partial(fallback.job_to_move, self)
        steps = JobSteps(
            partial(fallback.move, self, target, bool(at_front)),
            partial(fallback.move_in_transaction, self, target, bool(at_front)),
        )
        if dry_run:
            steps = JobSteps(check)
        script = _MoveOfWaiting(self, target, bool(at_front))
        operation = WaitingOperation(
            self,
            Options(progress, dry_run, chunk_size, wait_replicas, rate, limit),
            guards.requeue_guard,
            steps,
            script,
        )
        return operation.run(finder_of(ids))


def _removal(waiting: WaitingChangesMixin, delete_job: Any, options: Options) -> WaitingOperation:
    if not delete_job:
        step = fallback.check_is_in if options.dry_run else fallback.drop
        return WaitingOperation(waiting, options, guards.delete_guard, JobSteps(partial(step, waiting)), _Drop())
    steps = JobSteps(partial(fallback.delete, waiting), partial(fallback.delete_in_transaction, waiting))
    if options.dry_run:
        steps = JobSteps(partial(fallback.check_is_readable, waiting))
    return WaitingOperation(waiting, options, guards.delete_guard, steps, _DeletionOfWaiting(waiting))


def _cancellation(
    waiting: WaitingChangesMixin, enqueue_dependents: Any, remove_from_dependencies: Any, options: Options
) -> WaitingOperation:
    how = {
        'enqueue_dependents': bool(enqueue_dependents),
        'remove_from_dependencies': bool(remove_from_dependencies),
    }
    check = partial(fallback.job_to_cancel, waiting)
    steps = JobSteps(check if options.dry_run else partial(fallback.cancel, waiting, how))
    return WaitingOperation(waiting, options, guards.cancel_guard, steps, _CancellationOfWaiting(waiting, **how))


def _run_on_selected(waiting: WaitingChangesMixin, operation: WaitingOperation, selection: Filters) -> BulkResult:
    """Run an operation on the jobs that wait and match the filters."""
    select = None
    if not selection.is_empty:
        select = partial(selection.matching, waiting, unknown=operation.result.skipped)
    return operation.run(operation.find_all, select)


class _Drop(Script):
    """Takes jobs out of the queue, by their places in the list."""

    name = 'drop_waiting'
    removes_from_queues = False


class _DeletionOfWaiting(Deletion):
    """Deletes jobs by their places in the list."""

    name = 'delete_waiting'

    def __init__(self, waiting: WaitingChangesMixin) -> None:
        self._waiting = waiting

    def may_run(self) -> bool:
        """Return whether RQ can load the jobs."""
        return can_read_jobs(self._waiting.connection)


class _CancellationOfWaiting(Cancellation):
    """Cancels jobs by their places in the list."""

    name = 'cancel_waiting'


class _MoveOfWaiting(RequeueOn):
    """Takes jobs out of one queue, and puts them on another one."""

    name = 'move_waiting'

    def __init__(self, waiting: Any, to: TargetQueue, at_front: bool) -> None:
        super().__init__(waiting, to, at_front)
        self._timeout = to.default_timeout

    def _own_arguments(self) -> dict[str, Value]:
        arguments = super()._own_arguments()
        return arguments if self._timeout is None else {**arguments, 'default_timeout': self._timeout}
