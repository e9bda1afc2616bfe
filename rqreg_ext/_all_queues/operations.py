"""purge(), requeue_all(), cancel_all(), check() and repair() for many queues of a Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from .._bulk.call import ResultAttacher
from .._bulk.options import Options
from .._bulk.pace import Pace
from .._bulk.result import BulkResult, sum_of_known
from .._fastpath.clients.by_url import client_from
from .._fastpath.deferred import imports_of
from .._fastpath.exchange import INTEGER, exchange
from .._fastpath.rq_keys import queue_key
from .._fastpath.server_errors import (
    concerns_one_queue,
    concerns_whole_server,
    describe,
    is_denied,
    meaning_of,
    note_key,
)
from .._fastpath.wording import counted
from .._query.arguments import (
    chunk_size_of,
    keep_newest_of,
    most_changes_of,
    progress_of,
    replicas_of,
)
from .._query.filters import Filters, JobFilters, fixed_in_time
from .selection import existing_queues, registries_in, registry_class_of

if TYPE_CHECKING:
    from redis import Redis
    from rq import Queue
    from rq.job import Job
    from typing_extensions import Unpack

    from .._bulk.options import Progress
    from .._integrity.problems import CheckReport, Problem, ProblemKind
    from .._integrity.repair_report import RepairReport

    Queues = Iterable[str | Queue] | str | Queue | None


RegistryName = Literal['failed', 'finished', 'deferred', 'scheduled', 'canceled', 'ready']
"""A registry of a queue whose jobs can be changed, as in `queue.failed_job_registry`. 'ready' needs RQ 3."""


class BulkResults(Mapping[str, BulkResult]):
    """The BulkResult of each queue, a mapping by the queue's name in the order in which the queues were processed.

    Attributes:
        errors: By the queue's name, the server's error that ended the work on that queue only: a key is of another
            type, the user has no right to it, or an entry is not UTF-8. What was done in that queue before is its
            result. The attribute `key` of the error is that key, if it is known.
        dry_run: Whether the call was a dry run, which changes nothing.
        interrupted: Whether an exception ended the call. The remaining queues are not in the mapping then.
    """

    def __init__(self, dry_run: bool = False) -> None:
        self.interrupted = False
        self._results: dict[str, BulkResult] = {}
        # How many entries the queues have that are not in the mapping; None if that is unknown.
        self._remaining_elsewhere: int | None = 0
        self.errors: dict[str, Exception] = {}
        self.dry_run = dry_run

    @property
    def total(self) -> BulkResult:
        """The sum of the results of all queues."""
        total = sum(self.values(), BulkResult(dry_run=self.dry_run))
        # An error in `errors` interrupted the work on its queue, but not the call.
        total.interrupted = self.interrupted
        total.remaining = sum_of_known(total.remaining, self._remaining_elsewhere)
        return total

    @property
    def stopped(self) -> bool:
        """Whether progress() ended the call. The remaining queues are not in the mapping then."""
        return any(result.stopped for result in self.values())

    def __getitem__(self, name: str) -> BulkResult:
        return self._results[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as a dict that json.dumps() accepts. Exceptions are given by type and message."""
        return {
            'queues': {name: result.to_dict() for name, result in self.items()},
            'total': self.total.to_dict(),
            'errors': {name: describe(error) for name, error in self.errors.items()},
        }

    def __repr__(self) -> str:
        return f'<{type(self).__name__} of {self._headline()}>'

    def __str__(self) -> str:
        lines = [self._headline()]
        lines += [f'  {name!r} ended with {describe(error)}' for name, error in self.errors.items()]
        return '\n'.join(lines)

    def _headline(self) -> str:
        queues, total = counted(len(self), 'queue', none='no'), self.total
        if not self.errors:
            return f'{queues}: {total}'
        # How many jobs would have matched in those queues is unknown.
        return f'{queues}, {len(self.errors)} of them ended with an error: {total if total.total else "nothing done"}'


def purge(
    connection: Redis | str,
    registry: RegistryName = 'failed',
    queues: Queues = None,
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
) -> BulkResults:
    """Remove all jobs, or those that match the filters, from a registry of many queues and delete them.

    Args:
        connection: A redis-py client, or a URL.
        registry: 'failed', 'finished', 'deferred', 'scheduled', 'canceled', or with RQ 3 'ready'.
        queues: Names of queues, or Queue objects, whose job class and serializer are then used; None for all queues.
        delete_job: Whether to delete the jobs too.
        keep_newest: How many of the jobs that match to keep in each queue; see the registry's purge().
        progress, dry_run, chunk_size, wait_replicas, rate, limit: See BulkOptions.
        **filters: See JobFilters. Without filters, all jobs match.

    Returns:
        A BulkResults. If one queue cannot be processed, its error is in `errors`, and the other queues are processed.

    Raises:
        TypeError, ValueError: An argument is wrong, or names a queue that does not exist. Nothing was changed.
        NotImplementedError: The registry is 'started', from which RQ cannot remove jobs.
        redis.exceptions.RedisError: An error that affects all queues. Like any exception during the call, it has the
            result until then as its attribute `result`; the same call again does the remaining jobs.

    Round trips:
        Those of the registry's purge() for each queue, one to find the queues, and one more with `progress` or `limit`.

    Source:
        rq.Queue.all, rq.registry.BaseRegistry.remove.
    """
    if keep_newest is not None:
        keep_newest_of(keep_newest)
    options = Options(progress, dry_run, chunk_size, wait_replicas, rate, limit)
    call = _AllQueuesCall(connection, registry, queues, options, filters)
    return call.make('purge', delete_job=delete_job, keep_newest=keep_newest)


def requeue_all(
    connection: Redis | str,
    registry: RegistryName = 'failed',
    queues: Queues = None,
    *,
    at_front: bool = False,
    progress: Progress | None = None,
    dry_run: bool = False,
    chunk_size: int | None = None,
    wait_replicas: int = 0,
    rate: float | None = None,
    limit: int | None = None,
    **filters: Unpack[JobFilters],
) -> BulkResults:
    """Put all jobs, or those that match the filters, of a registry of many queues back on their queues.

    Args:
        connection: A redis-py client, or a URL.
        registry: 'failed', 'finished', 'deferred', 'scheduled', 'canceled', or with RQ 3 'ready'.
        queues: Names of queues, or Queue objects, whose job class and serializer are then used; None for all queues.
        at_front: Whether to put each job at the front of its queue.
        progress, dry_run, chunk_size, wait_replicas, rate, limit: See BulkOptions.
        **filters: See JobFilters. Without filters, all jobs match.

    Returns:
        A BulkResults. If one queue cannot be processed, its error is in `errors`, and the other queues are processed.

    Raises:
        TypeError, ValueError, NotImplementedError, redis.exceptions.RedisError: As purge().

    Round trips:
        Those of the registry's requeue_all() for each queue, one to find the queues, and one more with `progress` or
        `limit`.

    Source:
        rq.Queue.all, rq.registry.BaseRegistry.requeue; `rq requeue --all`.
    """
    options = Options(progress, dry_run, chunk_size, wait_replicas, rate, limit)
    return _AllQueuesCall(connection, registry, queues, options, filters).make('requeue_all', at_front=at_front)


def cancel_all(
    connection: Redis | str,
    registry: RegistryName | Literal['started'],
    queues: Queues = None,
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
) -> BulkResults:
    """Cancel all jobs, or those that match the filters, of a registry of many queues.

    Args:
        connection: A redis-py client, or a URL.
        registry: 'scheduled', 'deferred', 'failed', 'finished', 'started', or with RQ 3 'ready'.
        queues: Names of queues, or Queue objects, whose job class and serializer are then used; None for all queues.
        enqueue_dependents: Whether to enqueue the jobs that depend on the canceled ones.
        remove_from_dependencies: Whether to remove the jobs from the dependents of the jobs they depend on.
        progress, dry_run, chunk_size, wait_replicas, rate, limit: See BulkOptions.
        **filters: See JobFilters. Without filters, all jobs match.

    Returns:
        A BulkResults. If one queue cannot be processed, its error is in `errors`, and the other queues are processed.

    Raises:
        TypeError, ValueError, redis.exceptions.RedisError: As purge().

    Round trips:
        Those of the registry's cancel_all() for each queue, one to find the queues, and one more with `progress` or
        `limit`.

    Source:
        rq.Queue.all, rq.job.Job.cancel.
    """
    options = Options(progress, dry_run, chunk_size, wait_replicas, rate, limit)
    return _AllQueuesCall(connection, registry, queues, options, filters, takes_started=True).make(
        'cancel_all', enqueue_dependents=enqueue_dependents, remove_from_dependencies=remove_from_dependencies
    )


def check(
    connection: Redis | str,
    queues: Queues = None,
    *,
    job_class: type[Job] | None = None,
    settle: float = 1.0,
    limit: int | None = None,
    chunk_size: int = 1000,
    progress: Callable[[int, int], Any] | None = None,
) -> CheckReport:
    """Find inconsistencies in what RQ stores in a Redis, or in some queues and their jobs. Nothing is changed.

    Args:
        connection: A redis-py client, or a URL.
        queues: Names of queues, or Queue objects; None for the whole Redis: all queues, those too that RQ does not
            list, the workers, and keys that belong to no queue.
        job_class: The class of the jobs, which defines their keys; rq.job.Job by default.
        settle: How many seconds a problem must stay the same before it is reported. If there are any, the call takes
            that much longer.
        limit: The number of problems after which the check ends; None for all.
        chunk_size: How many entries to read at a time.
        progress: Called as progress(checked, total), both int and of entries and jobs; returning False ends the check.

    Returns:
        A CheckReport, whose problems can be passed to repair(). A queue that cannot be read completely, because a key
        is of another type or the user has no right to it, is left out, and in the report's `errors`.

    Raises:
        TypeError, ValueError: An argument is wrong, or names a queue that does not exist.
        NotImplementedError: The installed RQ is not a known release.
        redis.exceptions.RedisError: An error that affects all queues.

    Round trips:
        A few per `chunk_size` entries; a few per thousand keys of the database, which are scanned once, and again for
        every half million jobs in the queues.
    """
    # Imported here for start-up time: most programs never call this.
    with imports_of('check()'):
        from rq.job import Job

        from .._integrity.check import check_everything

    progress_of(progress)
    client = client_from(connection)
    return check_everything(
        client,
        None if queues is None else list(existing_queues(client, queues)),
        job_class=Job if job_class is None else job_class,
        settle=settle,
        limit=limit,
        chunk_size=chunk_size,
        progress=progress,
    )


def repair(
    connection: Redis | str,
    problems: Iterable[Problem] | None = None,
    queues: Queues = None,
    *,
    kinds: Iterable[ProblemKind | str] | None = None,
    dry_run: bool = False,
    job_class: type[Job] | None = None,
    serializer: Any = None,
    progress: Callable[[int, int], Any] | None = None,
) -> RepairReport:
    """Repair the problems that have one safe repair, in a Redis or in some queues. No job is deleted.

    Args:
        connection: A redis-py client, or a URL.
        problems: The problems to repair, as returned by check(); by default, check() is called now.
        queues: Names of queues, or Queue objects; None for the whole Redis, as in check().
        kinds: The kinds of problems to repair; None for all.
        dry_run: Whether to change nothing and report what would be done.
        job_class: The class of the jobs; rq.job.Job by default.
        serializer: The serializer of the jobs, as for rq.Queue. RQ's own cleanup needs it to retry or fail jobs.
        progress: Called as progress(processed, total), both int and of problems; returning False ends the repair.

    Returns:
        A RepairReport.

    Raises:
        TypeError, ValueError: An argument is wrong, or names a queue that does not exist.
        NotImplementedError: The installed RQ is not a known release.
        redis.exceptions.RedisError: An error that affects all queues, or a server that refuses all scripts. It has the
            report until then as its attribute `result`.

    Round trips:
        One per 200 problems, and those of check() if `problems` is left out.
    """
    # Imported here for start-up time: most programs never call this.
    with imports_of('repair()'):
        from rq.job import Job

        from .._integrity.check import repair_everything

    progress_of(progress)
    client = client_from(connection)
    return repair_everything(
        client,
        problems,
        queues=None if queues is None else list(existing_queues(client, queues)),
        kinds=kinds,
        dry_run=dry_run,
        job_class=Job if job_class is None else job_class,
        serializer=serializer,
        progress=progress,
    )


# ---- A call on the registry of each queue


class _AllQueuesCall:
    """A call on the same registry of many queues. The arguments are checked even if there is no queue."""

    def __init__(
        self,
        connection: Any,
        registry: str,
        queues: Any,
        options: Options,
        filters: JobFilters,
        takes_started: bool = False,
    ) -> None:
        self._filters = _checked(options, filters)
        self._pace = Pace.of(options.rate)
        self._client = client_from(connection)
        self._registry_class = registry_class_of(registry, takes_started)
        self._queues = queues
        self._options = options
        self._result = BulkResults(bool(options.dry_run))

    def make(self, method: str, **arguments: Any) -> BulkResults:
        """Make the call on the registry of each queue. Any exception gets the result until then as `result`."""
        found: dict[str, Any] = {}
        sizes: dict[str, int | None] = {}
        with ResultAttacher(self._result):
            try:
                found = registries_in(self._client, self._registry_class, self._queues)
                sizes = self._sizes(found)
                total_progress = _TotalProgress(self._options.progress, sizes)
                for name, registry in found.items():
                    if self._limit_left() == 0:
                        break
                    self._make_on(name, registry, total_progress, partial(self._call, registry, method, arguments))
                    if self._result.stopped:
                        break
            finally:
                not_begun = [name for name in found if name not in self._result]
                self._result._remaining_elsewhere = sum_of_known(*(sizes.get(name) for name in not_begun))
        return self._result

    def _call(self, registry: Any, method: str, arguments: dict[str, Any], progress: Progress | None) -> BulkResult:
        options = self._options._replace(progress=progress, rate=self._pace, limit=self._limit_left())
        result: BulkResult = getattr(registry, method)(**arguments, **options._asdict(), **self._filters)
        return result

    def _limit_left(self) -> int | None:
        limit = self._options.limit
        if limit is None:
            return None
        return max(0, limit - sum(result.done + result.unconfirmed for result in self._result.values()))

    def _make_on(
        self,
        name: str,
        registry: Any,
        total_progress: _TotalProgress,
        call: Callable[[Progress | None], BulkResult],
    ) -> None:
        results = self._result._results
        try:
            results[name] = call(total_progress.of(name))
        except BaseException as error:
            until_then = getattr(error, 'result', None)
            # It may have ended before the first job.
            unknown = BulkResult(dry_run=self._result.dry_run, remaining=None)
            results[name] = until_then if isinstance(until_then, BulkResult) else unknown
            if error is total_progress.error or not isinstance(error, Exception) or not concerns_one_queue(error):
                raise
            self._result.errors[name] = self._with_key(registry, error)
        if not results[name].stopped and not total_progress.ends(name):
            results[name].stopped = True

    def _with_key(self, registry: Any, error: Exception) -> Exception:
        """Note on the error which key it concerns, if that can be found out; return the error."""
        if isinstance(error, UnicodeDecodeError):
            return note_key(error, registry.key)
        reads = [(INTEGER, 'ZCARD', registry.key), (INTEGER, 'LLEN', queue_key(registry.name))]
        for read, reply in zip(reads, exchange(self._client, reads), strict=True):
            if isinstance(reply, Exception) and meaning_of(reply) is meaning_of(error):
                note_key(error, read[2])
        return error

    def _sizes(self, found: Mapping[str, Any]) -> dict[str, int | None]:
        """Return how many entries each registry has, for progress() and the limit; None if they are not counted."""
        if (self._options.progress is None and self._options.limit is None) or not found:
            return dict.fromkeys(found)
        bounds = (self._filters.get('min_score', '-inf'), self._filters.get('max_score', '+inf'))
        counts = exchange(self._client, [(INTEGER, 'ZCOUNT', registry.key, *bounds) for registry in found.values()])
        for count in counts:
            # A user without the right to ZCOUNT can have all the rights that the call needs.
            if isinstance(count, Exception) and concerns_whole_server(count) and not is_denied(count):
                raise count
        return {name: count if isinstance(count, int) else None for name, count in zip(found, counts, strict=True)}


class _TotalProgress:
    """Reports the progress of all queues together, from the progress of each queue."""

    def __init__(self, progress: Progress | None, sizes: Mapping[str, int | None]) -> None:
        self._progress = progress
        self._sizes = {name: size or 0 for name, size in sizes.items()}
        self._processed = dict.fromkeys(sizes, 0)
        self._reported = (0, 0)
        # The exception of the user's function.
        self.error: BaseException | None = None

    def of(self, name: str) -> Progress | None:
        """Return the progress function of one queue. It is also told the queue's size now, which may have changed."""
        if self._progress is None:
            return None

        def report(processed: int, total: int) -> Any:
            self._processed[name] = processed
            self._sizes[name] = total
            return self._report()

        return report

    def ends(self, name: str) -> bool:
        """Note that a queue is finished, with as many entries as were processed; return whether to go on."""
        self._sizes[name] = self._processed[name]
        return self._progress is None or self._reported == self._counts() or self._report() is not False

    def _counts(self) -> tuple[int, int]:
        return sum(self._processed.values()), sum(self._sizes.values())

    def _report(self) -> Any:
        assert self._progress is not None
        self._reported = self._counts()
        try:
            return self._progress(*self._reported)
        except BaseException as error:
            self.error = error
            raise


def _checked(options: Options, filters: JobFilters) -> JobFilters:
    """Check the arguments; return the filters, which are the same for all queues."""
    Filters.of(**filters)
    progress_of(options.progress)
    if options.chunk_size is not None:
        chunk_size_of(options.chunk_size)
    replicas_of(options.wait_replicas)
    most_changes_of(options.limit)
    return fixed_in_time(filters)
