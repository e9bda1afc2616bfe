"""purge(), requeue_all() and check() over many queues of a Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from . import registry as registries
from ._clients import client_from, is_broken_connection
from ._exchange import INTEGER, ask
from ._queues_meant import queues_meant
from ._rq_keys import class_name, installed_keys
from .whole.chunks import Progress
from .whole.filters import Filters, JobFilters
from .whole.result import BulkResult, describe
from .whole.truth.problems import CheckReport

if TYPE_CHECKING:
    from redis import Redis
    from rq import Queue
    from rq.job import Job
    from typing_extensions import Unpack

    Queues = Iterable[str | Queue] | str | Queue | None


class QueuesResult(Mapping[str, BulkResult]):
    """What became of the jobs of each queue, by the queue's name, in the order in which they were done.

    errors: the exception that ended the work on a queue before its end, by the queue's name; what was done there until
        then is in the queue's result. The other queues were done all the same.
    """

    def __init__(self) -> None:
        self._results: dict[str, BulkResult] = {}
        self.errors: dict[str, Exception] = {}

    @property
    def total(self) -> BulkResult:
        """The results of all queues, added up."""
        return sum(self.values(), BulkResult())

    @property
    def stopped(self) -> bool:
        """Whether progress() ended the work before its end: then the last queues may not be here."""
        return self.total.stopped

    def __getitem__(self, name: str) -> BulkResult:
        return self._results[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def __repr__(self) -> str:
        return f'<{type(self).__name__} of {len(self)} queues: {self.total}>'

    def __str__(self) -> str:
        lines = [f'{len(self)} queues: {self.total}']
        lines += [f'{name}: {describe(error)}' for name, error in self.errors.items()]
        return '\n'.join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values that json.dumps() takes."""
        return {
            'queues': {name: result.to_dict() for name, result in self.items()},
            'total': self.total.to_dict(),
            'errors': {name: describe(error) for name, error in self.errors.items()},
        }


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
    queues: names of queues, or Queue objects; None for all that RQ knows. A queue that does not exist is empty.
    delete_job, progress, dry_run, chunk_size, filters: as for purge() of a registry, which does each queue. progress()
        is told how many entries are behind and how many there are, of all queues together; False ends the whole call.

    An error of one queue ends the work on that queue alone, and is in the result. What ends the call (a connection that
    is lost, Ctrl-C, an error of progress()) is raised, with the result until then as its attribute `result`.
    Raises TypeError and ValueError for bad arguments, before anything is sent.
    """
    Filters.of(**filters)
    return _each(
        connection,
        registry,
        queues,
        progress,
        lambda found, told: found.purge(
            delete_job=delete_job, progress=told, dry_run=dry_run, chunk_size=chunk_size, **filters
        ),
    )


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

    at_front: whether to put them in front of the jobs that wait. The other arguments, the result and the errors are those
    of purge().
    """
    Filters.of(**filters)
    return _each(
        connection,
        registry,
        queues,
        progress,
        lambda found, told: found.requeue_all(
            at_front=at_front, progress=told, dry_run=dry_run, chunk_size=chunk_size, **filters
        ),
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
    """Return a report of what is wrong in a whole Redis, or with some queues and their jobs.

    connection: a redis-py client, or a URL string.
    queues: names of queues, or Queue objects; None for everything.
    job_class: the class of the jobs, for its keys; rq.job.Job if left out.
    settle, limit, chunk_size, progress: as for check() of a registry.

    Changes nothing. One scan over the keys serves all queues.
    Raises TypeError and ValueError for bad arguments, and redis.exceptions.RedisError.
    """
    from rq.job import Job

    from .whole.truth.checking import check_everything

    client = client_from(connection)
    return check_everything(
        client,
        None if queues is None else list(queues_meant(client, queues)),
        job_class=job_class or Job,
        settle=settle,
        limit=limit,
        chunk_size=chunk_size,
        progress=progress,
    )


class _WholeProgress:
    """A progress function for each queue, that tells the user's of all of them."""

    def __init__(self, tell: Progress, client: Any, found: Mapping[str, Any]) -> None:
        self._tell = tell
        self._behind = 0
        sizes = ask(client, [(INTEGER, 'ZCARD', registry.key) for registry in found.values()])
        self._sizes = dict(zip(found, sizes, strict=True))
        self.error: BaseException | None = None

    def of(self, name: str) -> Progress:
        """Return the function to call for one queue, whose size is known better then."""
        before = self._behind

        def tell(count: int, total: int | None) -> Any:
            if total is not None:
                self._sizes[name] = total
            self._behind = before + count
            try:
                return self._tell(self._behind, sum(self._sizes.values()))
            except BaseException as error:
                self.error = error
                raise

        return tell


def _each(
    connection: Any,
    registry: str,
    queues: Any,
    progress: Progress | None,
    call: Callable[[Any, Progress | None], BulkResult],
) -> QueuesResult:
    """Make a call on the registry of each queue."""
    client = client_from(connection)
    registry_class = _class_of(registry)
    found = {
        name: registry_class(name, connection=client)
        if queue is None
        else registry_class(queue=queue, job_class=queue.job_class)
        for name, queue in queues_meant(client, queues).items()
    }
    result = QueuesResult()
    whole = None if progress is None else _WholeProgress(progress, client, found)
    for name, of_queue in found.items():
        try:
            result._results[name] = call(of_queue, whole and whole.of(name))
        except BaseException as error:
            result._results[name] = getattr(error, 'result', None) or BulkResult()
            if not isinstance(error, Exception) or is_broken_connection(error) or (whole and error is whole.error):
                error.result = result
                raise
            result.errors[name] = error
        if result._results[name].stopped:
            break
    return result


def _class_of(registry: str) -> Any:
    """Return our class of a registry by its name, as in `queue.failed_job_registry`."""
    names = installed_keys().templates
    if registry not in names:
        raise ValueError(f'registry={registry!r} is none of RQ: give one of {", ".join(map(repr, names))}')
    return getattr(registries, class_name(registry))
