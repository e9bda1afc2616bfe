"""The registry methods that change many jobs: BulkMixin, and which code does the jobs of each call."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from rq import registry as rq_registry
from rq.executions import ExecutionRegistry
from rq.job import Job

from .._fastpath import guards
from .._fastpath.dispatch import BulkDecision, can_read_jobs, reads_entries
from .._fastpath.exchange import ENTRIES, INTEGER, exchange, without_errors
from .._fastpath.releases import Method
from .._fastpath.server_errors import is_denied
from .._query.arguments import by_name_only, check_is_collection, keep_newest_of, no_jobs_to_change, text_id_of
from .._query.filters import Filters, JobFilters
from .._query.listing import listed_in_bounds
from .._query.membership import Members
from .entry_removal import EntryRemoval
from .fallback import by_method, in_transaction, presence
from .newest import NewestByEnd, NewestByScore, newest_of
from .operation import BulkOperation, Find, JobSteps
from .options import IdsProgress, Options, Progress
from .result import BulkResult
from .scripts import Cancellation, Deletion, Requeue

if TYPE_CHECKING:
    from typing_extensions import Unpack


class BulkMixin:
    """Registry methods that change many jobs in one call.

    Each job is changed completely or not at all: a chunk of jobs is one script, which Redis runs atomically. Jobs that
    need RQ's own code (running ones, for example) are done one by one with RQ's methods, each in a transaction.
    A client that changes commands gets RQ's methods as they are, which can leave such a job half done.

    A call that ends early raises the error as it is, with the BulkResult until then as its attribute `result`: an error
    that affects all jobs (READONLY, MOVED, LOADING, a lost connection), KeyboardInterrupt, an exception from
    progress(). The same call again does the remaining jobs.
    """

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
        """Remove jobs from this registry, as remove() does with one job.

        Args:
            ids: Job ids or Job objects, from any iterable.
            delete_job: Whether to delete the jobs too. Unlike remove(), this never deletes a job that is not in the
                registry, and it deletes jobs that RQ cannot load (with an invalid date, say).
            progress, dry_run, chunk_size, wait_replicas, rate, limit: See BulkOptions.

        Returns:
            A BulkResult. Ids that are not in the registry count as missing; jobs that RQ cannot remove are in `failed`.

        Raises:
            TypeError, ValueError: An argument is wrong.
            NotImplementedError: This is a started registry, from which RQ cannot remove jobs.
            redis.exceptions.RedisError: An error that affects all jobs, with the attribute `result`.

        Round trips:
            One per chunk; about twelve more for each job that needs RQ's own code (a running one, for example).

        Source:
            rq.registry.BaseRegistry.remove, rq.job.Job.delete; Redis ZREM.
        """
        return _removal(self, delete_job, Options(progress, dry_run, chunk_size, wait_replicas, rate, limit)).run(
            finder_of(ids)
        )

    @by_name_only
    def purge(
        self,
        *,
        delete_job: bool = True,
        keep_newest: int | None = None,
        progress: Progress | None = None,
        dry_run: bool = False,
        chunk_size: int | None = None,
        wait_replicas: int = 0,
        rate: float | None = None,
        limit: int | None = None,
        **filters: Unpack[JobFilters],
    ) -> BulkResult:
        """Remove all jobs, or those that match the filters, from this registry and delete them.

        As with get_job_ids(), RQ's cleanup() of expired entries runs first. Entries that are added at the end of the
        registry during the call are not removed.

        Args:
            delete_job: Whether to delete the jobs too, as in remove_many().
            keep_newest: How many of the jobs that match to keep: in a failed or finished registry, those that ended
                last (jobs whose end is unknown are skipped); in others, those with the highest scores.
            progress, dry_run, chunk_size, wait_replicas, rate, limit: See BulkOptions.
            **filters: See JobFilters. Without filters, all jobs match.

        Returns:
            A BulkResult. Jobs for which a filter cannot be decided, because their end is unknown, say, are skipped.

        Raises:
            TypeError, ValueError: An argument is wrong.
            NotImplementedError: This is a started registry, from which RQ cannot remove jobs.
            redis.exceptions.RedisError: An error that affects all jobs, with the attribute `result`.

        Round trips:
            Two to seven per chunk; one more with filters, and another if an end is only known from a job's
            results. With `keep_newest`, two more per 1000 jobs.

        Source:
            rq.registry.BaseRegistry.get_job_ids and remove, rq.job.Job.delete.
        """
        selection = Filters.of(**filters)
        operation = _removal(self, delete_job, Options(progress, dry_run, chunk_size, wait_replicas, rate, limit))
        if keep_newest is None:
            return run_on_selected(self, operation, selection)
        return _run_on_older(self, operation, newest_of(self, selection, keep_newest_of(keep_newest)))

    def requeue_many(
        self,
        ids: Iterable[str | Job],
        at_front: bool = False,
        *,
        progress: IdsProgress | None = None,
        dry_run: bool = False,
        chunk_size: int | None = None,
        wait_replicas: int = 0,
        rate: float | None = None,
        limit: int | None = None,
    ) -> BulkResult:
        """Put jobs of this registry back on their queues, as requeue() does with one job.

        Args:
            ids: Job ids or Job objects, from any iterable.
            at_front: Whether to put each job at the front of its queue, so that the last id given runs first.
            progress, dry_run, chunk_size, wait_replicas, rate, limit: See BulkOptions.

        Returns:
            A BulkResult. Ids that are not in the registry count as missing; jobs that RQ cannot requeue are in
            `failed`.

        Raises:
            TypeError, ValueError: An argument is wrong.
            NotImplementedError: This is a started registry, from which RQ cannot requeue jobs.
            redis.exceptions.RedisError: An error that affects all jobs, with the attribute `result`.

        Round trips:
            One per chunk, and one more for metadata (`job.meta`) that differs from that of the jobs before; about three
            more for each job that needs RQ's own code (with a result in its hash, for example).

        Source:
            rq.registry.BaseRegistry.requeue, rq.Queue._enqueue_job.
        """
        return _requeue(self, at_front, Options(progress, dry_run, chunk_size, wait_replicas, rate, limit)).run(
            finder_of(ids)
        )

    @by_name_only
    def requeue_all(
        self,
        *,
        at_front: bool = False,
        progress: Progress | None = None,
        dry_run: bool = False,
        chunk_size: int | None = None,
        wait_replicas: int = 0,
        rate: float | None = None,
        limit: int | None = None,
        **filters: Unpack[JobFilters],
    ) -> BulkResult:
        """Put all jobs of this registry, or those that match the filters, back on their queues.

        As with get_job_ids(), RQ's cleanup() of expired entries runs first. The call processes at most as many entries
        as there are at that time, so it ends even if the jobs fail again during the call.

        Args:
            at_front: Whether to put each job at the front of its queue, so that the last one runs first.
            progress, dry_run, chunk_size, wait_replicas, rate, limit: See BulkOptions.
            **filters: See JobFilters. Without filters, all jobs match.

        Returns:
            A BulkResult. Jobs for which a filter cannot be decided, because their end is unknown, say, are skipped.

        Raises:
            TypeError, ValueError: An argument is wrong.
            NotImplementedError: This is a started registry, from which RQ cannot requeue jobs.
            redis.exceptions.RedisError: An error that affects all jobs, with the attribute `result`.

        Round trips:
            Two to five per chunk; one more with filters, and another if an end is only known from a job's results.

        Source:
            rq.registry.BaseRegistry.get_job_ids and requeue; `rq requeue --all`.
        """
        selection = Filters.of(**filters)
        operation = _requeue(self, at_front, Options(progress, dry_run, chunk_size, wait_replicas, rate, limit))
        return run_on_selected(self, operation, selection, may_come_back=True)

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
        """Cancel jobs of this registry, as Job.cancel() does with one job.

        Args:
            ids: Job ids or Job objects, from any iterable. For a started registry too, these are ids of jobs, not of
                executions; each of its jobs needs RQ's own code.
            enqueue_dependents: Whether to enqueue the jobs that depend on the canceled ones.
            remove_from_dependencies: Whether to remove the jobs from the dependents of the jobs they depend on.
            progress, dry_run, chunk_size, wait_replicas, rate, limit: See BulkOptions.

        Returns:
            A BulkResult. Ids that are not in the registry count as missing, jobs that are already canceled as skipped.

        Raises:
            TypeError, ValueError: An argument is wrong.
            redis.exceptions.RedisError: An error that affects all jobs, with the attribute `result`.

        Round trips:
            One per chunk; about six more for each job that needs RQ's own code (with dependents to enqueue, say).

        Source:
            rq.job.Job.cancel.
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
        """Cancel all jobs of this registry, or those that match the filters; see cancel_many().

        As with get_job_ids(), RQ's cleanup() of expired entries runs first. Entries that are added at the end of the
        registry during the call are not canceled.

        Args:
            enqueue_dependents: Whether to enqueue the jobs that depend on the canceled ones.
            remove_from_dependencies: Whether to remove the jobs from the dependents of the jobs they depend on.
            progress, dry_run, chunk_size, wait_replicas, rate, limit: See BulkOptions.
            **filters: See JobFilters. Without filters, all jobs match.

        Returns:
            A BulkResult. Jobs that are already canceled are skipped, and so are those for which a filter cannot be
            decided.

        Raises:
            TypeError, ValueError: An argument is wrong.
            redis.exceptions.RedisError: An error that affects all jobs, with the attribute `result`.

        Round trips:
            Two to seven per chunk; one more with filters, and another if an end is only known from a job's results.

        Source:
            rq.registry.BaseRegistry.get_job_ids, rq.job.Job.cancel.
        """
        selection = Filters.of(**filters)
        options = Options(progress, dry_run, chunk_size, wait_replicas, rate, limit)
        operation = _cancellation(self, enqueue_dependents, remove_from_dependencies, options)
        return run_on_selected(self, operation, selection)


# ---- Which jobs


def finder_of(ids: Iterable[Any]) -> Find:
    """Return a function that returns the ids of the given jobs, and their number, or None if it is unknown."""
    check_is_collection(ids)
    total = len(ids) if isinstance(ids, Sized) else None
    return lambda: (map(text_id_of, ids), total)


def run_on_selected(
    registry: Any, operation: BulkOperation, selection: Filters, may_come_back: bool = False
) -> BulkResult:
    """Run an operation on the entries of a registry that match the filters.

    may_come_back: Whether an entry that was processed can be added again during the call.
    """
    result = operation.result
    select = None if selection.is_empty else partial(selection.matching, registry, unknown=result.skipped)
    return operation.run(partial(_entries_in_bounds, registry, selection, not result.dry_run, may_come_back), select)


def _run_on_older(registry: Any, operation: BulkOperation, newest: NewestByEnd | NewestByScore) -> BulkResult:
    """Run an operation on the entries of a registry that match the filters, but for the newest of them."""
    result = operation.result

    def find() -> tuple[Iterable[str], int]:
        if not result.dry_run:
            registry.cleanup()
        newest.find()
        return _entries_in_bounds(registry, newest.selection, cleanup=False, may_come_back=False)

    return operation.run(find, partial(newest.matching, unknown=result.skipped))


def _entries_in_bounds(
    registry: Any, selection: Filters, cleanup: bool, may_come_back: bool
) -> tuple[Iterable[str], int]:
    """Return the entries within the bounds on scores, and their number, after a cleanup if that is requested."""
    low, high = selection.min_score, selection.max_score
    if not reads_entries(registry):
        # get_job_ids() is overridden or patched, or the client changes the key: only that method knows the ids.
        job_ids = listed_in_bounds(registry, low, high, cleanup)
        return job_ids, len(job_ids)
    if cleanup:
        registry.cleanup()
    bounds = ('-inf' if low is None else low, '+inf' if high is None else high)
    count = (INTEGER, 'ZCOUNT', registry.key, *bounds)
    replies = exchange(registry.connection, [count, (ENTRIES, 'ZRANGE', registry.key, -1, -1, 'WITHSCORES')])
    if is_denied(replies[0]):
        # RQ's loop sends no ZCOUNT, so its user may not have the right to it. Reading all ids gives their number.
        job_ids = list(registry.iter_job_ids(min_score=low, max_score=high))
        return job_ids, len(job_ids)
    total, last = without_errors(replies)
    # Entries that are added during the call mostly have higher scores than the last one now: do not process them.
    high = min([score for _, score in last] + ([] if high is None else [high]), default=None)
    job_ids = registry.iter_job_ids(min_score=low, max_score=high)
    return islice(job_ids, total) if may_come_back else job_ids, total


# ---- What is done with each job


def _removal(registry: Any, delete_job: Any, options: Options) -> BulkOperation:
    _check_entries_are_jobs(registry, 'remove')
    members = Members(registry)
    if not delete_job:
        step = presence.check_is_in if options.dry_run else partial(by_method.remove, delete_job=False)
        decision = BulkDecision(registry, None, Method.REMOVE)
        return EntryRemoval(registry, options, decision, JobSteps(partial(step, registry, members)))
    check = partial(presence.check_is_readable, registry, members, Job)
    steps = JobSteps(partial(by_method.remove, registry, members), partial(in_transaction.delete, registry, members))
    script = Deletion() if can_read_jobs(registry.connection) else None
    decision = BulkDecision(registry, guards.delete_guard, Method.REMOVE)
    return BulkOperation(registry, options, decision, JobSteps(check) if options.dry_run else steps, script)


def _requeue(registry: Any, at_front: Any, options: Options) -> BulkOperation:
    _check_entries_are_jobs(registry, 'requeue')
    at_front = bool(at_front)
    members = Members(registry)
    check = partial(presence.check_is_readable, registry, members, registry.job_class)
    steps = JobSteps(
        partial(by_method.requeue, registry, members, at_front),
        partial(in_transaction.requeue, registry, members, at_front),
    )
    decision = BulkDecision(registry, guards.requeue_guard, Method.REQUEUE)
    script = Requeue(registry, at_front)
    return BulkOperation(registry, options, decision, JobSteps(check) if options.dry_run else steps, script)


def _cancellation(
    registry: Any, enqueue_dependents: Any, remove_from_dependencies: Any, options: Options
) -> BulkOperation:
    if isinstance(registry, ExecutionRegistry):
        raise no_jobs_to_change(f'the entries of {type(registry).__name__} {registry.key!r}', 'cancel')
    cancel_options = {
        'enqueue_dependents': bool(enqueue_dependents),
        'remove_from_dependencies': bool(remove_from_dependencies),
    }
    members = Members(registry)
    check = partial(presence.job_to_cancel, registry, members)
    cancel = partial(in_transaction.cancel, registry, members, cancel_options)
    script = Cancellation(registry, **cancel_options)
    decision = BulkDecision(registry, guards.cancel_guard)
    return BulkOperation(registry, options, decision, JobSteps(check if options.dry_run else cancel), script)


def _check_entries_are_jobs(registry: Any, method: str) -> None:
    if isinstance(registry, (ExecutionRegistry, rq_registry.StartedJobRegistry)):
        raise no_jobs_to_change(f'the entries of {type(registry).__name__} {registry.key!r}', method)
