"""purge(), requeue_all(), check() and repair() over many queues of a Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from rq.utils import now

from . import registry as registries
from ._clients import client_from
from ._exchange import INTEGER, exchange
from ._queues_meant import existing_queues
from ._rights import is_denied
from ._rq_keys import class_name, installed_keys
from ._server_errors import is_answer, is_of_whole_server
from .whole.arguments import chunk_size_of, no_jobs_to_change, progress_of
from .whole.filters import Filters, JobFilters
from .whole.result import BulkResult, describe

if TYPE_CHECKING:
    from redis import Redis
    from rq import Queue
    from rq.job import Job
    from typing_extensions import Unpack

    from .whole.chunks import Progress
    from .whole.truth.problems import CheckReport, Kind, Problem
    from .whole.truth.repairs import RepairReport

    Queues = Iterable[str | Queue] | str | Queue | None


class QueuesResult(Mapping[str, BulkResult]):
    """What became of the jobs of each queue: results by the queue's name, in the order in which the queues were done.

    errors: by the queue's name, the server's error that ended the work on that queue, and on that queue only (a key of
        another type, or that the user may not access); what was done there until then is its result.
    dry_run: whether nothing was changed.
    """

    def __init__(self, dry_run: bool = False) -> None:
        self._results: dict[str, BulkResult] = {}
        self.errors: dict[str, Exception] = {}
        self.dry_run = dry_run

    @property
    def total(self) -> BulkResult:
        """The results of all queues, added up."""
        return sum(self.values(), BulkResult(dry_run=self.dry_run))

    @property
    def stopped(self) -> bool:
        """Whether progress() ended the call before its end: the queues that were left are not here then."""
        return any(result.stopped for result in self.values())

    def __getitem__(self, name: str) -> BulkResult:
        return self._results[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values that json.dumps() takes; of the exceptions their type and text."""
        return {
            'queues': {name: result.to_dict() for name, result in self.items()},
            'total': self.total.to_dict(),
            'errors': {name: describe(error) for name, error in self.errors.items()},
        }

    def __repr__(self) -> str:
        return f'<{type(self).__name__} of {len(self)} queues: {self.total}>'

    def __str__(self) -> str:
        lines = [f'{len(self)} queues: {self.total}']
        lines += [f'  {name!r} ended with {describe(error)}' for name, error in self.errors.items()]
        return '\n'.join(lines)


def purge(
    connection: Redis | str,
    registry: str = 'failed',
    queues: Queues = None,
    *,
    delete_job: bool = True,
    progress: Progress | None = None,
    dry_run: bool = False,
    chunk_size: int | None = None,
    **filters: Unpack[JobFilters],
) -> QueuesResult:
    """Remove all jobs, or those that match the filters, from a registry of many queues, and delete them.

    connection: a redis-py client, or a URL string.
    registry: 'failed', 'finished', 'deferred', 'scheduled', 'canceled', or 'ready' (RQ 3).
    queues: names of queues, or Queue objects, whose job class and serializer are then the jobs'; None for all that RQ
        knows. One that is given twice is done once. A name of a queue that RQ does not know, and that has neither jobs
        nor registries nor workers, is refused with a ValueError, which says those that are near; a Queue object is not.
    delete_job, dry_run, chunk_size, filters: as for purge() of a registry, which does each queue, one after the other.
    progress: called after each chunk with how many entries are behind and how many there are, of all queues together;
        if it returns False, the call ends there.

    Returns a QueuesResult, a BulkResult for each queue. What the server refuses of one queue is in its `errors`, and
    the other queues are done all the same. Whatever else ends the call early is raised as it is, with the result until
    then as its attribute `result`: what the server answers to all (READONLY of a replica, MOVED of a wrong node,
    LOADING, MISCONF, OOM, a command that the user may not run, ...), redis.exceptions.ConnectionError,
    KeyboardInterrupt, an error of progress(). The same call again does the rest.
    Raises TypeError and ValueError for bad arguments, before anything is changed, and NotImplementedError for
    'started', from which RQ removes no jobs.
    The round trips are those of each queue, one more to find the queues, or that they exist, and one more for
    `progress`.
    """

    def of_queue(found: Any, told: Progress | None) -> BulkResult:
        result: BulkResult = found.purge(
            delete_job=delete_job, progress=told, dry_run=dry_run, chunk_size=chunk_size, **filters
        )
        return result

    filters = _checked(progress, chunk_size, filters)
    return _Call(connection, registry, queues, filters, progress, dry_run).make(of_queue)


def requeue_all(
    connection: Redis | str,
    registry: str = 'failed',
    queues: Queues = None,
    *,
    at_front: bool = False,
    progress: Progress | None = None,
    dry_run: bool = False,
    chunk_size: int | None = None,
    **filters: Unpack[JobFilters],
) -> QueuesResult:
    """Put all jobs, or those that match the filters, of a registry of many queues back on their queues.

    at_front: whether to put them in front of the jobs that wait.
    The other arguments, the result, the errors and the round trips are those of purge(), by requeue_all() of each
    registry.
    """

    def of_queue(found: Any, told: Progress | None) -> BulkResult:
        result: BulkResult = found.requeue_all(
            at_front=at_front, progress=told, dry_run=dry_run, chunk_size=chunk_size, **filters
        )
        return result

    filters = _checked(progress, chunk_size, filters)
    return _Call(connection, registry, queues, filters, progress, dry_run).make(of_queue)


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
    """Return a CheckReport of what is wrong in a whole Redis, or with some queues and their jobs.

    connection: a redis-py client, or a URL string.
    queues: names of queues, or Queue objects, as for purge(); None for everything: all queues, those too that RQ does
        not list, the workers, and what belongs to no queue.
    job_class: the class of the jobs, for its keys; rq.job.Job if left out.
    settle, limit, chunk_size, progress: as for check() of a registry.

    Changes nothing; repair() takes the problems, or some of them. A queue of which the user may not read everything is
    left out, and in the `errors` of the report.
    Raises redis.exceptions.RedisError; TypeError and ValueError for bad arguments, and NotImplementedError for an RQ
    whose ways are not known, before anything is sent.
    Costs a few round trips for every `chunk_size` entries, and one scan over the keys, a few round trips for every
    thousand of them, which serves all queues; and one more scan for every half million jobs that wait in the queues.
    """
    from rq.job import Job

    from .whole.truth.checking import check_everything

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
    kinds: Iterable[Kind | str] | None = None,
    dry_run: bool = False,
    job_class: type[Job] | None = None,
    serializer: Any = None,
    progress: Callable[[int, int], Any] | None = None,
) -> RepairReport:
    """Mend what has one safe answer in a whole Redis, or in some queues, and return a RepairReport.

    connection: a redis-py client, or a URL string.
    problems: what check() returned, or some of it; if left out, `queues` are checked now: see there.
    job_class, serializer: the jobs', as for rq.Queue, for those that RQ's own clean-up retries or fails.
    kinds, dry_run, progress: as for repair() of a registry.

    Raises what check() and repair() of a registry do. Costs a round trip for every 200 problems, beside the check().
    """
    from rq.job import Job

    from .whole.truth.checking import repair_everything

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


class _Call:
    """A call that is made on the same registry of many queues."""

    def __init__(
        self,
        connection: Any,
        registry: str,
        queues: Any,
        filters: JobFilters,
        progress: Progress | None,
        dry_run: bool,
    ) -> None:
        self._client = client_from(connection)
        self._registry_class = _class_of(registry)
        self._queues = queues
        self._filters = filters
        self._progress = progress
        self._result = QueuesResult(bool(dry_run))

    def make(self, of_queue: Callable[[Any, Progress | None], BulkResult]) -> QueuesResult:
        """Make the call on each queue's registry; whatever is raised has the result until then."""
        try:
            found = self._registries()
            whole = _WholeProgress(self._progress, self._sizes(found))
            for name, registry in found.items():
                self._make_on(name, registry, whole, of_queue)
                if self._result.stopped:
                    break
        except BaseException as error:
            error.result = self._result  # type: ignore[attr-defined]
            raise
        return self._result

    def _make_on(
        self, name: str, registry: Any, whole: _WholeProgress, of_queue: Callable[[Any, Progress | None], BulkResult]
    ) -> None:
        results = self._result._results
        # For an end before the first job.
        results[name] = BulkResult(dry_run=self._result.dry_run)
        try:
            results[name] = of_queue(registry, whole.of(name))
        except BaseException as error:
            until_then = getattr(error, 'result', None)
            if isinstance(until_then, BulkResult):
                results[name] = until_then
            if error is whole.error or not isinstance(error, Exception) or not _is_of_the_queue(error):
                raise
            self._result.errors[name] = error
        if not results[name].stopped and not whole.ends(name):
            results[name].stopped = True

    def _registries(self) -> dict[str, Any]:
        """Return the registries by the names of their queues."""
        return {
            name: self._registry_class(name, connection=self._client)
            if queue is None
            else self._registry_class(queue=queue, job_class=queue.job_class)
            for name, queue in existing_queues(self._client, self._queues).items()
        }

    def _sizes(self, found: Mapping[str, Any]) -> dict[str, int]:
        """Return how many entries there are, for who wants to know. What cannot be counted says so when it is done."""
        if self._progress is None or not found:
            return dict.fromkeys(found, 0)
        bounds = (self._filters.get('min_score', '-inf'), self._filters.get('max_score', '+inf'))
        counts = exchange(self._client, [(INTEGER, 'ZCOUNT', registry.key, *bounds) for registry in found.values()])
        for count in counts:
            # A user who may not count may do the jobs all the same.
            if isinstance(count, Exception) and is_of_whole_server(count) and not is_denied(count):
                raise count
        return {name: count if isinstance(count, int) else 0 for name, count in zip(found, counts, strict=True)}


class _WholeProgress:
    """The progress of all queues together, told by that of each."""

    def __init__(self, tell: Progress | None, sizes: dict[str, int]) -> None:
        self._tell = tell
        self._sizes = sizes
        self._behind = dict.fromkeys(sizes, 0)
        self._told = (0, 0)
        # What the user's function has raised.
        self.error: BaseException | None = None

    def of(self, name: str) -> Progress | None:
        """Return the function to call for one queue, whose size is known better then."""
        if self._tell is None:
            return None

        def tell(count: int, total: int | None) -> Any:
            self._behind[name] = count
            if total is not None:
                self._sizes[name] = total
            return self._say()

        return tell

    def ends(self, name: str) -> bool:
        """Take note that a queue has no more, whatever it had at first; return whether to go on."""
        self._sizes[name] = self._behind[name]
        return self._tell is None or self._told == self._counts() or self._say() is not False

    def _counts(self) -> tuple[int, int]:
        return sum(self._behind.values()), sum(self._sizes.values())

    def _say(self) -> Any:
        assert self._tell is not None
        self._told = self._counts()
        try:
            return self._tell(*self._told)
        except BaseException as error:
            self.error = error
            raise


def _checked(progress: Any, chunk_size: Any, filters: JobFilters) -> JobFilters:
    """Refuse what no registry would take, also where there is none to take it; return the filters.

    What is said to be so long ago is that at the same moment for all queues.
    """
    Filters.of(**filters)
    progress_of(progress)
    if chunk_size is not None:
        chunk_size_of(chunk_size)
    begun = now()
    fixed = {name: begun - value if isinstance(value, timedelta) else value for name, value in filters.items()}
    return cast('JobFilters', fixed)


def _class_of(registry: Any) -> Any:
    """Return our class of a registry by its name, as in `queue.failed_job_registry`."""
    if registry == 'started':
        raise no_jobs_to_change("registry='started': its entries", 'remove and requeue')
    names = [name for name in installed_keys().templates if name != 'started']
    if registry not in names:
        raise ValueError(f'registry={registry!r} is none of RQ: give one of {", ".join(map(repr, names))}')
    return getattr(registries, class_name(registry))


def _is_of_the_queue(error: Exception) -> bool:
    """Tell whether this is the server's answer to what was asked of one queue, or an entry of it that is no text.

    Not what it answers to all (READONLY, MOVED, LOADING, ...), nor a connection that is lost, nor what a signal raises
    in the middle, like RQ's timeout of a job.
    """
    return isinstance(error, UnicodeDecodeError) or (is_answer(error) and not is_of_whole_server(error))
