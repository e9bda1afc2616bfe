"""Changing many jobs of a registry at once, each wholly or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from rq import registry as rq_registry
from rq.executions import ExecutionRegistry
from rq.job import Job

from .. import _installed_rq
from .._exchange import ENTRIES, INTEGER, exchange, without_errors
from .._installed_rq import Method
from .._rights import is_denied
from .._route import is_plain
from . import by_rq
from .arguments import check_is_collection, no_jobs_to_change
from .chunks import Bulk, EntryRemoval, Find, Options, Progress
from .filters import Filters, JobFilters
from .membership import Members
from .result import BulkResult
from .scripts import Cancellation, Deletion, Requeue, Script, knows_what_rq_does, reads_jobs, sends_as_given

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Changing:
    """The calls that change many jobs of a registry.

    All of them take these arguments:

    progress: called after each chunk with how many ids are behind and how many there are in all (None for ids from
        an iterator); if it returns False, the call ends there.
    dry_run: whether to change nothing, and only say what would be done.
    chunk_size: the most jobs to do in one go, and between two calls of progress(). Left out, as many as a script does
        in 2 milliseconds, so that the server answers others in between. The jobs of a chunk are done in one script: no
        other client sees, and no failure leaves, a job half done.

    Jobs that no script must guess about (rate limits, groups, running executions, ...) are done by RQ's own methods,
    one by one. An id that is not in the registry (any more) is missing: nothing is done to its job. A job that RQ
    cannot do (it is of an older RQ, say, whose ids this one refuses) is left as it was, and the result names it. By a
    client that changes what it is given, RQ's own methods are called, and may leave such a job half done.
    Whatever ends the call early is raised as it is, with the result until then as its attribute `result`: what the
    server answers to all (READONLY, MOVED, LOADING, ...) and redis.exceptions.ConnectionError, KeyboardInterrupt, an
    error of progress(). The same call again does the rest.
    """

    def remove_many(
        self,
        ids: Iterable[str | Job],
        delete_job: bool = False,
        *,
        progress: Progress | None = None,
        dry_run: bool = False,
        chunk_size: int | None = None,
    ) -> BulkResult:
        """Remove jobs from this registry, as remove() does one; return a BulkResult.

        ids: job ids or Jobs, from any iterable; a Job stands for its id.
        delete_job: whether to delete the jobs themselves too. Unlike remove(), this spares a job that is not in the
            registry (any more), and deletes one that RQ could not restore, for a spoiled date, say.
        progress, dry_run, chunk_size: see Changing.
        One round trip a chunk; a dozen more for each job that RQ does itself.
        Raises TypeError and ValueError for bad arguments, redis.exceptions.RedisError, and NotImplementedError for a
        started registry, from which RQ removes no jobs.
        Source: rq.registry.BaseRegistry.remove, rq.job.Job.delete; Redis ZREM.
        """
        return _removal(self, delete_job, Options(progress, dry_run, chunk_size)).run(_these(ids))

    def purge(
        self,
        *,
        delete_job: bool = True,
        progress: Progress | None = None,
        dry_run: bool = False,
        chunk_size: int | None = None,
        **filters: Unpack[JobFilters],
    ) -> BulkResult:
        """Remove all jobs from this registry, or those that match the filters, and delete them; return a BulkResult.

        Expired entries are cleaned up first, as get_job_ids() does. What comes behind the last entry meanwhile stays.
        delete_job: whether to delete the jobs themselves too; see remove_many().
        progress, dry_run, chunk_size: see Changing. The counts are entries.
        filters: those of find(); see JobFilters. A job of which nobody knows a time that a filter asks for is skipped.
        Two to seven round trips a chunk, and one more where jobs are filtered, whatever the size of the registry; one
        more where a filter asks for the end of a job that has it in its results only.
        Raises what remove_many() does.
        Source: rq.registry.BaseRegistry.get_job_ids and remove, rq.job.Job.delete.
        """
        wanted = Filters.of(**filters)
        bulk = _removal(self, delete_job, Options(progress, dry_run, chunk_size))
        return _run_on_all(self, bulk, wanted)

    def requeue_many(
        self,
        ids: Iterable[str | Job],
        at_front: bool = False,
        *,
        progress: Progress | None = None,
        dry_run: bool = False,
        chunk_size: int | None = None,
    ) -> BulkResult:
        """Put jobs of this registry back on their queues, as requeue() does one; return a BulkResult.

        ids: job ids or Jobs, from any iterable; a Job stands for its id.
        at_front: whether to put them in front of the jobs that wait: the last of them comes first then, as in a loop.
        progress, dry_run, chunk_size: see Changing.
        One round trip a chunk, and one more where jobs have metadata that its chunk has not met yet; three for each
        job that RQ does itself.
        Raises TypeError and ValueError for bad arguments, redis.exceptions.RedisError, and NotImplementedError for a
        started registry, from which RQ requeues no jobs.
        Source: rq.registry.BaseRegistry.requeue, rq.Queue._enqueue_job.
        """
        return _requeue(self, at_front, Options(progress, dry_run, chunk_size)).run(_these(ids))

    def requeue_all(
        self,
        *,
        at_front: bool = False,
        progress: Progress | None = None,
        dry_run: bool = False,
        chunk_size: int | None = None,
        **filters: Unpack[JobFilters],
    ) -> BulkResult:
        """Put all jobs of this registry, or those that match the filters, back on their queues; return a BulkResult.

        Expired entries are cleaned up first, as get_job_ids() does. It comes to as many entries as there are then, and
        so ends also where jobs fail again in the meantime.
        at_front: as for requeue_many(). progress, dry_run, chunk_size: see Changing. The counts are entries.
        filters: those of find(); see JobFilters. A job of which nobody knows a time that a filter asks for is skipped.
        Two to five round trips a chunk, and one more where jobs are filtered, whatever the size of the registry; one
        more where a filter asks for the end of a job that has it in its results only.
        Raises what requeue_many() does.
        Source: rq.registry.BaseRegistry.get_job_ids and requeue; `rq requeue --all`.
        """
        wanted = Filters.of(**filters)
        bulk = _requeue(self, at_front, Options(progress, dry_run, chunk_size))
        return _run_on_all(self, bulk, wanted, may_come_back=True)

    def cancel_many(
        self,
        ids: Iterable[str | Job],
        *,
        enqueue_dependents: bool = False,
        remove_from_dependencies: bool = False,
        progress: Progress | None = None,
        dry_run: bool = False,
        chunk_size: int | None = None,
    ) -> BulkResult:
        """Cancel jobs of this registry, as Job.cancel() does one; return a BulkResult.

        ids: job ids or Jobs, from any iterable; a Job stands for its id.
        enqueue_dependents, remove_from_dependencies: as for Job.cancel(). RQ does the jobs itself then that have
            dependents, or dependencies.
        progress, dry_run, chunk_size: see Changing. Canceled jobs are skipped. In a started registry the ids are those
            of the jobs, and RQ does each of them.
        One round trip a chunk; half a dozen more for each job that RQ does itself.
        Raises TypeError and ValueError for bad arguments, and redis.exceptions.RedisError.
        Source: rq.job.Job.cancel.
        """
        ties = {
            'enqueue_dependents': bool(enqueue_dependents),
            'remove_from_dependencies': bool(remove_from_dependencies),
        }
        return _cancellation(self, ties, Options(progress, dry_run, chunk_size)).run(_these(ids))


def _these(given: Iterable[Any]) -> Find:
    """Return what finds the jobs that a call was given."""
    check_is_collection(given)
    total = len(given) if isinstance(given, Sized) else None
    return lambda: (map(_id_of, given), total)


def _id_of(given: Any) -> str:
    if isinstance(given, str):
        return given
    if isinstance(given, Job):
        return str(given.id)
    if isinstance(given, bytes):
        return given.decode()
    raise TypeError(f'{given!r} is no job: give job ids (str) or Jobs')


def _run_on_all(registry: Any, bulk: Bulk, wanted: Filters, may_come_back: bool = False) -> BulkResult:
    """Run a call on all entries of a registry that the filters want.

    may_come_back: whether entries that are done may be there again later.
    """
    select = None if wanted.is_empty else partial(wanted.matching, registry, unknown=bulk.result.skipped)
    return bulk.run(partial(_all_between, registry, wanted, bulk.result.dry_run, may_come_back), select)


def _all_between(
    registry: Any, wanted: Filters, dry_run: bool, may_come_back: bool
) -> tuple[Iterable[str], int | None]:
    """Find the entries with the scores that are wanted, after a cleanup."""
    low, high = wanted.min_score, wanted.max_score
    if low is None and high is None and not (is_plain(registry, Method.GET_JOB_IDS) and sends_as_given(registry)):
        # A registry with its own idea of its jobs is asked for it, and so is one whose client has its own of keys.
        job_ids = registry.get_job_ids(cleanup=False) if dry_run else registry.get_job_ids()
        return job_ids, len(job_ids)
    if not dry_run:
        registry.cleanup()
    bounds = ('-inf' if low is None else low, '+inf' if high is None else high)
    count = (INTEGER, 'ZCOUNT', registry.key, *bounds)
    replies = exchange(registry.connection, [count, (ENTRIES, 'ZRANGE', registry.key, -1, -1, 'WITHSCORES')])
    if is_denied(replies[0]):
        # RQ's loop needs no count: it reads them all.
        job_ids = list(registry.iter_job_ids(min_score=low, max_score=high))
        return job_ids, len(job_ids)
    total, last = without_errors(replies)
    # What is added meanwhile comes behind, mostly, and is not waited for.
    high = min([score for _, score in last] + ([] if high is None else [high]), default=None)
    job_ids = registry.iter_job_ids(min_score=low, max_score=high)
    return islice(job_ids, total) if may_come_back else job_ids, total


# ---- What is done to a job


def _removal(registry: Any, delete_job: Any, options: Options) -> Bulk:
    _check_entries_are_jobs(registry, 'remove')
    if not delete_job:
        is_zrem = is_plain(registry, Method.REMOVE) and sends_as_given(registry)
        return EntryRemoval(registry, options) if is_zrem else _by_remove(registry, False, options)
    if not knows_what_rq_does(registry, _installed_rq.delete_guard, Method.REMOVE):
        return _by_remove(registry, True, options)
    look = partial(by_rq.look, registry, Members(registry), Job)
    delete = look if options.dry_run else partial(by_rq.delete_whole, registry)
    return Bulk(registry, options, Deletion() if reads_jobs(registry.connection) else None, delete)


def _requeue(registry: Any, at_front: Any, options: Options) -> Bulk:
    _check_entries_are_jobs(registry, 'requeue')
    at_front = bool(at_front)
    members = Members(registry)
    script: Script | None = None
    requeue: Callable[[str], object] = partial(by_rq.requeue, registry, members, at_front)
    if knows_what_rq_does(registry, _installed_rq.requeue_guard, Method.REQUEUE):
        script = _script_for_plain_jobs(registry, Requeue(registry, at_front))
        requeue = partial(by_rq.requeue_whole, registry, at_front)
    look = partial(by_rq.look, registry, members, registry.job_class)
    return Bulk(registry, options, script, look if options.dry_run else requeue)


def _cancellation(registry: Any, ties: dict[str, bool], options: Options) -> Bulk:
    if isinstance(registry, ExecutionRegistry):
        raise no_jobs_to_change(f'the entries of {type(registry).__name__} {registry.key!r}', 'cancel')
    script = None
    if knows_what_rq_does(registry, _installed_rq.cancel_guard):
        script = _script_for_plain_jobs(registry, Cancellation(**ties))
    members = Members(registry)
    look = partial(by_rq.look_for_cancel, registry, members)
    cancel = partial(by_rq.cancel_whole, registry, members, ties)
    return Bulk(registry, options, script, look if options.dry_run else cancel)


def _script_for_plain_jobs(registry: Any, script: Script) -> Script | None:
    are_plain = registry.job_class is Job and reads_jobs(registry.connection)
    return script if are_plain else None


def _check_entries_are_jobs(registry: Any, method: str) -> None:
    if isinstance(registry, (ExecutionRegistry, rq_registry.StartedJobRegistry)):
        raise no_jobs_to_change(f'the entries of {type(registry).__name__} {registry.key!r}', method)


def _by_remove(registry: Any, delete_job: bool, options: Options) -> Bulk:
    """Return the call of a registry whose remove() is somebody else's, or of an RQ that we do not know."""
    members = Members(registry)
    look = partial(by_rq.look, registry, members, Job) if delete_job else partial(by_rq.check_is_in, registry, members)
    remove = partial(by_rq.remove, registry, members, delete_job=delete_job)
    return Bulk(registry, options, None, look if options.dry_run else remove)
