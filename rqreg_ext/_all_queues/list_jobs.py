"""list_jobs(): the jobs of queues and of their registries in one list, ordered by time, by the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from rq.job import Job
from rq.serializers import resolve_serializer

from .._fastpath.cleanup import RegistryCleanup, clean_and_exchange, cleanup_commands_of, current_timestamp
from .._fastpath.clients.by_url import client_from
from .._fastpath.exchange import INTEGER, TEXTS, Command, exchange
from .._fastpath.rq_keys import REGISTRIES, queue_key
from .._fastpath.server_errors import concerns_one_queue, note_key
from .._fastpath.wording import suggestion
from .._query.arguments import chunk_size_of, ranks_of
from .._query.dates import sortable
from .._query.filters import Filters, JobFilters
from .._query.jobs import load_jobs
from .._query.list_cursor import ListCursor
from .._query.listing import cursor_of, parser_of
from .._query.pages import JobPage
from .._query.rows import EVERY_JOB_HAS, Row, Rows
from .selection import class_named, existing_queues, registry_in

if TYPE_CHECKING:
    from redis import Redis
    from rq import Queue
    from typing_extensions import Unpack

QUEUED = 'queued'
ListName = Literal['queued', 'started', 'finished', 'failed', 'deferred', 'scheduled', 'canceled', 'ready']
"""Where jobs are: 'queued' is the queue itself, the others are its registries, as in `queue.failed_job_registry`."""
Order = Literal['created_at', 'enqueued_at', 'started_at', 'end']


@dataclass(frozen=True, repr=False)
class JobListing(JobPage):
    """One page of the jobs that list_jobs() returns: a JobPage, with where each job was found.

    Attributes:
        found_in: For each job on the page, `missing` ones too, by its id: (name of the queue, 'queued' or the name of
            the registry, as 'failed').
        errors: By the queue's name, the error for each queue that was left out, because a key is of another type, the
            user has no right to it, or an entry is not UTF-8. That key is the error's attribute `key`.
    """

    found_in: dict[str, tuple[str, str]] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)


def list_jobs(
    connection: Redis | str,
    queues: Iterable[str | Queue] | str | Queue | None = None,
    registries: Iterable[ListName] | ListName | None = None,
    *,
    page: int = 1,
    per_page: int = 100,
    order_by: Order = 'created_at',
    desc: bool = False,
    cleanup: bool = True,
    job_class: type[Job] | None = None,
    serializer: Any = None,
    with_results: bool = False,
    chunk_size: int = 1000,
    **filters: Unpack[JobFilters],
) -> JobListing:
    """List the jobs that wait in queues, and those in their registries, ordered by time: one page of them.

    Of each job only what the order and the filters need is read, and the jobs of the page. Memory grows with
    `page * per_page`, not with the number of jobs. A job that is in several of these places is listed once.

    Args:
        connection: A redis-py client, or a URL.
        queues: Names of queues, or Queue objects, whose job class and serializer are then used; None for all queues.
        registries: 'queued' for the jobs that wait in the queue, 'started', 'finished', 'failed', 'deferred',
            'scheduled', 'canceled', or with RQ 3 'ready'; one or more of them, None for all.
        page: The number of the page, from 1. A page after the last one has no jobs.
        per_page: How many jobs a page has.
        order_by: The time to order by: 'created_at', 'enqueued_at', 'started_at', or 'end', when the job ended, as in
            find(). Jobs whose time is unknown come last.
        desc: Whether to start with the latest time.
        cleanup: Whether to run the cleanup() of the registries first, as get_job_ids() does.
        job_class: The class of the jobs; rq.job.Job by default.
        serializer: The serializer of the jobs, or its import path.
        with_results: Whether to read the latest result of each job on the page too.
        chunk_size: How many entries to read at a time.
        **filters: See JobFilters, of which `min_score` and `max_score` are not taken.

    Returns:
        A JobListing. Its `total` counts the entries that match the filters.

    Raises:
        TypeError, ValueError: An argument is wrong, or names a queue that does not exist.
        redis.exceptions.RedisError: The server or the connection failed.

    Round trips:
        One to find the queues, one to count the entries, two per `chunk_size` entries, and one for the page. With
        `cleanup`, those of RQ's cleanup if it has work to do. One more per chunk if an end is only known from a job's
        results.

    Source:
        rq.Queue.get_job_ids, rq.registry.BaseRegistry.get_job_ids, rq.job.Job.fetch_many; Redis LRANGE, ZRANGE, HMGET.
    """
    start, stop = ranks_of(page, per_page)
    names = _names_of(registries)
    selection = _filters_of(filters)
    if order_by not in get_args(Order):
        raise ValueError(f'order_by={order_by!r} is not an order: give one of {", ".join(map(repr, get_args(Order)))}')
    size = chunk_size_of(chunk_size)
    source = JobSource(Job if job_class is None else job_class, resolve_serializer(serializer))
    client = client_from(connection)
    errors: dict[str, Exception] = {}
    places = list(_places(client, existing_queues(client, queues), names, source))
    counts = _count(client, places, cleanup, errors)
    best = None
    while best is None:
        read = [one for one in counts if one[0].queue not in errors]
        try:
            best = _find_best(client, read, size, selection, order_by, _Best(stop + 1, bool(desc)))
        except _PlaceNotReadError as left_out:
            # It is found out while the entries are read, and the queue is left out as a whole.
            _note_error(left_out.place, left_out.error, errors)
    found = best.found()[start:]
    return _listing(client, found, best.total, page, per_page, with_results, errors)


class JobSource:
    """How to load jobs."""

    def __init__(self, job_class: Any, serializer: Any) -> None:
        self.job_class = job_class
        self.serializer = serializer


class ListedIn(NamedTuple):
    """A queue, or a registry of it.

    Attributes:
        queue: The name of the queue.
        name: 'queued', or the name of the registry.
        key: The key of the list, or of the sorted set.
        source: How to load its jobs.
        registry: The registry; None for the queue itself.
    """

    queue: str
    name: str
    key: str
    source: JobSource
    registry: Any


# ---- Arguments


def _names_of(registries: Any) -> list[str]:
    """Check `registries`, and return the names without duplicates."""
    known = (QUEUED, *REGISTRIES)
    if registries is None:
        return list(known)
    given = [registries] if isinstance(registries, str) else registries
    if not isinstance(given, Iterable) or isinstance(given, bytes):
        raise TypeError(f'registries={registries!r} names no registries: give some of {", ".join(map(repr, known))}')
    names = list(dict.fromkeys(given))
    for name in names:
        if not isinstance(name, str) or name not in known:
            near = suggestion([QUEUED] if name in ('waiting', 'enqueued') else [])
            raise ValueError(
                f'{name!r} in registries names no registry of RQ{near}: give some of {", ".join(map(repr, known))}'
            )
    return names


def _filters_of(filters: JobFilters) -> Filters:
    for name in ('min_score', 'max_score'):
        if name in filters:
            raise TypeError(
                f'list_jobs() takes no {name}: a score has another meaning in each registry. Give a time, such as '
                'enqueued_after='
            )
    return Filters.of(**filters)


# ---- Where the jobs are


def _places(
    client: Any, queues: Mapping[str, Queue | None], names: Sequence[str], source: JobSource
) -> Iterator[ListedIn]:
    # The same for all queues that have the same, so that their jobs are read together.
    sources = {(id(source.job_class), id(source.serializer)): source}
    for queue_name, queue in queues.items():
        of_queue = source
        if queue is not None:
            same = id(queue.job_class), id(queue.serializer)
            of_queue = sources.setdefault(same, JobSource(queue.job_class, queue.serializer))
        for name in names:
            if name == QUEUED:
                key = queue_key(queue_name) if queue is None else str(queue.key)
                yield ListedIn(queue_name, name, key, of_queue, None)
            else:
                job_options = {'job_class': of_queue.job_class, 'serializer': of_queue.serializer}
                registry = registry_in(client, class_named(name), queue_name, queue, **job_options)
                yield ListedIn(queue_name, name, registry.key, of_queue, registry)


def _count(
    client: Any, places: Sequence[ListedIn], cleanup: bool, errors: dict[str, Exception]
) -> list[tuple[ListedIn, int]]:
    """Return each place with its number of entries, after the cleanup; note the queues that cannot be read."""
    reads: list[Command] = [(INTEGER, 'LLEN' if place.registry is None else 'ZCARD', place.key) for place in places]
    counts = _clean_and_count(client, places, reads, errors) if cleanup else exchange(client, reads)
    for place, count in zip(places, counts, strict=True):
        if isinstance(count, Exception):
            _note_error(place, count, errors)
    return [(place, count) for place, count in zip(places, counts, strict=True) if isinstance(count, int)]


def _clean_and_count(
    client: Any, places: Sequence[ListedIn], reads: Sequence[Command], errors: dict[str, Exception]
) -> list[Any]:
    timestamp = current_timestamp()
    to_clean: list[tuple[ListedIn, RegistryCleanup]] = [
        (place, (cleanup_commands_of(place.registry, timestamp), place.registry.cleanup))
        for place in places
        if place.registry is not None
    ]
    try:
        return clean_and_exchange(client, [one for _, one in to_clean], reads)
    except Exception as error:
        if not concerns_one_queue(error):
            raise
    for place, one in to_clean:
        try:
            clean_and_exchange(client, [one], [])
        except Exception as error:
            _note_error(place, error, errors)
    return exchange(client, reads)


def _note_error(place: ListedIn, error: Exception, errors: dict[str, Exception]) -> None:
    if not concerns_one_queue(error):
        raise error
    errors.setdefault(place.queue, note_key(error, place.key))


# ---- Reading them

# A place, and some of its members: job ids, or in a started registry entries.
_Members = tuple[ListedIn, list[str]]


class _PlaceNotReadError(Exception):
    """An error while the entries of a place are read."""

    def __init__(self, place: ListedIn, error: Exception) -> None:
        super().__init__(place, error)
        self.place = place
        self.error = error


def _find_best(
    client: Any, counts: Sequence[tuple[ListedIn, int]], size: int, selection: Filters, order_by: str, best: _Best
) -> _Best:
    """Find the jobs of these places that match. Raises _PlaceNotReadError."""
    searches: dict[JobSource, _Search] = {}
    for chunk in _chunks(client, counts, size):
        of_sources: dict[JobSource, list[_Members]] = {}
        for place, members in chunk:
            of_sources.setdefault(place.source, []).append((place, members))
        for of_source, found_in in of_sources.items():
            if of_source not in searches:
                searches[of_source] = _Search(client, of_source, selection, order_by)
            searches[of_source].find(found_in, best)
    return best


def _chunks(client: Any, counts: Sequence[tuple[ListedIn, int]], size: int) -> Iterator[list[_Members]]:
    """Yield the members of all places in chunks. Many small places are one chunk, and are read in one round trip."""
    group: list[tuple[ListedIn, int]] = []
    for place, count in counts:
        if count > size:
            for chunk in _until_error(place, _member_chunks(client, place, size)):
                yield [(place, chunk)]
        elif count:
            if group and sum(number for _, number in group) + count > size:
                yield _small(client, group)
                group = []
            group.append((place, count))
    if group:
        yield _small(client, group)


def _until_error(place: ListedIn, members: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        yield from members
    except Exception as error:
        if not concerns_one_queue(error):
            raise
        raise _PlaceNotReadError(place, error) from None


def _small(client: Any, group: Sequence[tuple[ListedIn, int]]) -> list[_Members]:
    commands: list[Command] = [
        (TEXTS, 'LRANGE' if place.registry is None else 'ZRANGE', place.key, 0, count - 1) for place, count in group
    ]
    try:
        replies = exchange(client, commands)
    except UnicodeDecodeError as error:
        if len(group) > 1:
            return [members for one in group for members in _small(client, [one])]
        replies = [error]
    read: list[_Members] = []
    for (place, _), reply in zip(group, replies, strict=True):
        if isinstance(reply, Exception):
            raise _PlaceNotReadError(place, reply) if concerns_one_queue(reply) else reply
        read.append((place, reply))
    return read


def _member_chunks(client: Any, place: ListedIn, size: int) -> Iterator[list[str]]:
    if place.registry is None:
        # Workers take jobs from the head: from the tail, that moves nothing.
        return ListCursor(client, place.key, size, desc=True).member_chunks()
    return cursor_of(place.registry, size, False, None, None).member_chunks()


class _Search:
    """Finds the jobs that match the filters, and the time of each."""

    def __init__(self, client: Any, source: JobSource, filters: Filters, order_by: str) -> None:
        # What Rows needs of a registry.
        self.connection = client
        self.job_class, self.serializer = source.job_class, source.serializer
        self._filters = filters
        self._rows = Rows(self)
        self._rows.column(EVERY_JOB_HAS)
        self._date_of = _date_of(self._rows, order_by)
        self._test = filters.test(self._rows)

    def find(self, chunk: Sequence[_Members], best: _Best) -> None:
        """Pass the jobs among these members that match on to `best`. One round trip."""
        job_ids: list[str] = []
        places: dict[str, ListedIn] = {}
        for place, members in chunk:
            parse = None if place.registry is None else parser_of(place.registry)
            found = self._filters.select(members if parse is None else map(parse, members))
            job_ids += found
            for job_id in found:
                places.setdefault(job_id, place)
        if job_ids:
            matching = self._rows.matching(job_ids, self._test)
            best.add((self._date_of(row), job_id, places[job_id]) for job_id, row in matching)


def _date_of(rows: Rows, order_by: str) -> Callable[[Row], bytes]:
    """Return a function of a row that returns the time to order by, as RQ writes it; b'' if it is unknown."""
    if order_by == 'end':
        return rows.end()
    column = rows.column(order_by)
    return lambda row: sortable(row[column])


# (time, job id, place)
_Found = tuple[bytes, str, ListedIn]


class _Best:
    """The first `limit` jobs in the order, and the number of all.

    Attributes:
        total: The number of entries that were added.
    """

    def __init__(self, limit: int, desc: bool) -> None:
        self.total = 0
        self._limit = limit
        self._desc = desc
        self._candidates: list[_Found] = []

    def add(self, candidates: Iterable[_Found]) -> None:
        """Add some jobs."""
        before = len(self._candidates)
        self._candidates.extend(candidates)
        self.total += len(self._candidates) - before
        if len(self._candidates) > 2 * self._limit + 1000:
            self._candidates = self.found()

    def found(self) -> list[_Found]:
        """Return the first jobs in the order, each once. Those of the same time are in the order they were added in."""
        self._candidates.sort(key=self._key, reverse=self._desc)
        unique: dict[str, _Found] = {}
        for candidate in self._candidates:
            unique.setdefault(candidate[1], candidate)
        return list(unique.values())[: self._limit]

    def _key(self, candidate: _Found) -> tuple[bool, bytes]:
        # Unknown times are last in both orders.
        return bool(candidate[0]) is self._desc, candidate[0]


# ---- The page


def _listing(
    client: Any,
    found: Sequence[_Found],
    total: int,
    page: int,
    per_page: int,
    with_results: bool,
    errors: dict[str, Exception],
) -> JobListing:
    """Load the jobs of the page, in one round trip for each job class and serializer."""
    ids_by_source: dict[JobSource, list[str]] = {}
    for _, job_id, place in found:
        ids_by_source.setdefault(place.source, []).append(job_id)
    listing = JobListing(total, page, per_page, [], [], [], {} if with_results else None, errors=errors)
    jobs: dict[str, Job | None] = {}
    for source, job_ids in ids_by_source.items():
        loaded = load_jobs(source.job_class, client, source.serializer, job_ids, with_results)
        jobs.update(zip(job_ids, loaded.jobs, strict=True))
        listing.missing.extend(loaded.missing)
        listing.unreadable.extend(loaded.unreadable)
        listing.unreadable_results.extend(loaded.unreadable_results)
        if listing.results is not None and loaded.results is not None:
            listing.results.update(loaded.results)
    for _, job_id, place in found:
        listing.found_in[job_id] = place.queue, place.name
        job = jobs[job_id]
        if job is not None:
            listing.jobs.append(job)
    return listing
