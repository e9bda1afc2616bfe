"""Reading the jobs that wait in a queue: iteration, pages, membership, find() and count_by(), as of a registry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from .._fastpath.exchange import INTEGER, TEXTS, VALUE, Command, ask, exchange
from .._fastpath.server_errors import is_wrong_type
from .arguments import by_name_only, chunk_size_of, job_ids_of, most_found_of, ranks_of, text_ids_of
from .count_by import CountOperation, JobGroups
from .filters import Filters, JobFilters
from .find import JobSearch
from .job_fields import fields_of
from .jobs import JobList, load_jobs
from .list_cursor import ListCursor
from .pages import JobPage, Page, read_jobs
from .queue_search import find_in_queue

if TYPE_CHECKING:
    from typing import overload

    from rq.job import Job
    from typing_extensions import Unpack

    from .count_by import GroupName, TimeName


class WaitingReadsMixin:
    """Methods that read the list of a queue. The order is that of the queue: the next job to run is first."""

    name: str
    key: str
    connection: Any
    job_class: type[Job]
    serializer: Any

    @property
    def count(self) -> int:
        """The number of jobs that wait, as `Queue.count`. One round trip; Redis LLEN."""
        (count,) = ask(self.connection, [(INTEGER, 'LLEN', self.key)])
        return int(count)

    def __len__(self) -> int:
        return self.count

    def __contains__(self, job_or_id: Any) -> bool:
        (job_id,) = job_ids_of(self, [job_or_id])
        try:
            (place,) = exchange(self.connection, [(VALUE, 'LPOS', self.key, job_id)])
        except UnicodeEncodeError:
            # Such an id is in no queue.
            return False
        if not isinstance(place, Exception):
            return place is not None
        if is_wrong_type(place):
            raise place
        # Before Redis 6.0.6, or without the right to it. The error of LRANGE is the one to raise.
        return self.contains_many([job_or_id])[0]

    def contains_many(self, ids: Iterable[str | Job]) -> list[bool]:
        """Check for many jobs whether they wait in this queue.

        A job that waits during the whole call is found, even if workers take other jobs.

        Args:
            ids: An iterable of job ids or Job objects.

        Returns:
            A list of bool, in the order of `ids`.

        Raises:
            TypeError: `ids` is not an iterable of ids or jobs.
            redis.exceptions.RedisError: The server or the connection failed.

        Round trips:
            One per 5000 jobs that wait.

        Source:
            rq.Queue.get_job_ids; Redis LRANGE.
        """
        job_ids = text_ids_of(ids)
        found = find_in_queue(self.connection, self.key, job_ids) if job_ids else {}
        return [job_id in found for job_id in job_ids]

    def get_job_ids(self, start: int = 0, end: int = -1, desc: bool = False) -> list[str]:
        """Return the ids of the jobs that wait, a list of str.

        Args:
            start: The position of the first job, from 0. Negative positions count from the end.
            end: The position of the last job, inclusive.
            desc: Whether to count and to order from the end of the queue, as in a registry.

        Returns:
            A list of str. A job that was enqueued twice is in it twice.

        Raises:
            redis.exceptions.RedisError: The server or the connection failed.
            UnicodeDecodeError: An id is not UTF-8.

        Round trips:
            One.

        Source:
            rq.Queue.get_job_ids; Redis LRANGE.
        """
        (found,) = ask(self.connection, [_range(self.key, start, end, desc)])
        return found[::-1] if desc else found  # type: ignore[no-any-return]

    def iter_job_ids(self, chunk_size: int = 1000, desc: bool = False) -> Iterator[str]:
        """Iterate over the ids of the jobs that wait, in the order of the queue.

        Each job that waits during the whole iteration is returned once, even if workers take jobs, and jobs are added
        or removed. Jobs that are added during the iteration may be missing: those at the end, or with `desc`, those at
        the front. In addition to the entries of a chunk, 8 bytes for each job are held in memory.

        Args:
            chunk_size: How many entries to read at a time.
            desc: Whether to start at the end of the queue.

        Returns:
            An iterator of str. The first entries are read when the first id is requested.

        Raises:
            TypeError, ValueError: An argument is wrong.
            redis.exceptions.RedisError: While iterating, the server or the connection failed.
            UnicodeDecodeError: While iterating, an id is not UTF-8.

        Round trips:
            One per chunk, and one. A few more if more than a hundred of the entries already read are removed.

        Source:
            rq.Queue.get_job_ids; Redis LRANGE, LLEN.
        """
        return chain.from_iterable(self._cursor(chunk_size, desc).member_chunks())

    def get_page(self, page: int = 1, per_page: int = 100, desc: bool = False) -> Page:
        """Read one page of the ids of the jobs that wait, and their number.

        Args:
            page: The number of the page, from 1. A page after the last one has no entries.
            per_page: How many entries a page has.
            desc: Whether to start at the end of the queue.

        Returns:
            A Page.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: `page` or `per_page` is less than 1.
            redis.exceptions.RedisError: The server or the connection failed.
            UnicodeDecodeError: An id is not UTF-8.

        Round trips:
            One.

        Source:
            rq.Queue.get_job_ids, Queue.count; Redis LRANGE, LLEN.
        """
        read = _range(self.key, *ranks_of(page, per_page), desc)
        job_ids, total = ask(self.connection, [read, (INTEGER, 'LLEN', self.key)])
        return Page(total, page, per_page, job_ids[::-1] if desc else job_ids)

    # Not at run time: see FindMixin.
    if TYPE_CHECKING:

        @overload
        def get_jobs(self, *, ids: Iterable[str | Job], with_results: bool = False) -> JobList: ...

        @overload
        def get_jobs(
            self, page: int = 1, per_page: int = 100, desc: bool = False, *, with_results: bool = False
        ) -> JobPage: ...

    def get_jobs(
        self,
        page: int = 1,
        per_page: int = 100,
        desc: bool = False,
        *,
        ids: Iterable[str | Job] | None = None,
        with_results: bool = False,
    ) -> JobPage | JobList:
        """Read the jobs on one page, or those with the given ids, as objects of the queue's job_class.

        Unlike Queue.get_jobs(), it removes nothing from the queue: jobs whose hash is gone are in `missing`.

        Args:
            page: The number of the page, from 1. A page after the last one has no jobs.
            per_page: How many entries a page has.
            desc: Whether to start at the end of the queue.
            ids: The ids of the jobs to read, or Job objects to read anew, instead of a page. They are read whether they
                wait in this queue or not.
            with_results: Whether to read the latest result of each job too: one of an earlier run.

        Returns:
            A JobPage. With `ids`, a JobList: in their order, a Job, or None.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: `page` or `per_page` is less than 1, or is given with `ids`.
            redis.exceptions.RedisError: The server or the connection failed.
            UnicodeDecodeError: An id is not UTF-8.

        Round trips:
            Two. With `ids`, or more than 1000 jobs on a page, one per 1000 jobs.

        Source:
            rq.Queue.get_jobs, rq.job.Job.fetch_many; Redis HGETALL, XREVRANGE.
        """
        if ids is None:
            return read_jobs(self, self.get_page(page, per_page, desc), with_results)
        if (page, per_page, desc) != (1, 100, False):
            raise ValueError('get_jobs() takes either a page or ids=: the ids say which jobs to read, in their order')
        return JobList(*load_jobs(self.job_class, self.connection, self.serializer, text_ids_of(ids), with_results))

    # Not at run time: see FindMixin.
    if TYPE_CHECKING:

        @overload
        def find(
            self,
            *,
            fields: Sequence[str],
            chunk_size: int = 1000,
            desc: bool = False,
            limit: int | None = None,
            **filters: Unpack[JobFilters],
        ) -> Iterator[tuple[str, dict[str, Any]]]: ...

        @overload
        def find(
            self,
            *,
            chunk_size: int = 1000,
            desc: bool = False,
            limit: int | None = None,
            **filters: Unpack[JobFilters],
        ) -> Iterator[str]: ...

    @by_name_only
    def find(
        self,
        *,
        fields: Sequence[str] = (),
        chunk_size: int = 1000,
        desc: bool = False,
        limit: int | None = None,
        **filters: Unpack[JobFilters],
    ) -> Iterator[Any]:
        """Find the jobs that wait and match all filters, in the order of the queue.

        Nothing is changed, and nothing is unpickled. Changes by other clients have the effect that iter_job_ids()
        describes. A job whose hash is gone matches only filters on its id.

        Args:
            fields: The attributes of Job to return, as in find() of a registry.
            chunk_size: How many entries to read at a time.
            desc: Whether to start at the end of the queue.
            limit: The greatest number of jobs to find; None for all.
            **filters: See JobFilters, of which `min_score` and `max_score` are not taken. Without filters, all jobs
                match.

        Returns:
            An iterator of str, the job ids. With `fields`, an iterator of (job id, dict of the fields).

        Raises:
            TypeError, ValueError: An argument is wrong.
            redis.exceptions.RedisError: While iterating, the server or the connection failed.
            UnicodeDecodeError: While iterating, an id is not UTF-8.

        Round trips:
            Two per chunk, and one; one per chunk if only ids are compared.

        Source:
            rq.Queue.get_job_ids, rq.job.Job.restore; Redis LRANGE, HMGET, XREVRANGE.
        """
        selection = filters_of('find()', filters)
        names = fields_of(fields)
        most = most_found_of(limit)
        size = chunk_size_of(chunk_size)
        if most is not None and selection.is_empty:
            size = min(size, max(most, 1))
        search = JobSearch(self, selection, names)
        chunks = self._cursor(size, desc).member_chunks()
        return islice(chain.from_iterable(map(search.found_in, chunks)), most)

    def count_by(
        self,
        *names: GroupName,
        time: TimeName = 'enqueued_at',
        chunk_size: int = 1000,
        **filters: Unpack[JobFilters],
    ) -> JobGroups:
        """Count the jobs that wait, or those that match the filters, in groups of what they have in common.

        Nothing is changed, and nothing is unpickled.

        Args:
            names: What the jobs of a group have in common, as in count_by() of a registry.
            time: The time that first, last, day and hour are of: 'enqueued_at', 'created_at', 'started_at' or 'end',
                the last two of an earlier run.
            chunk_size: How many entries to read at a time.
            **filters: See JobFilters, of which `min_score` and `max_score` are not taken. Without filters, all jobs
                are counted.

        Returns:
            A JobGroups. Jobs that are gone, or that cannot be read, are in its `skipped`.

        Raises:
            TypeError, ValueError: An argument is wrong.
            redis.exceptions.RedisError: The server or the connection failed.
            UnicodeDecodeError: An id is not UTF-8.

        Round trips:
            Two per chunk, and one.

        Source:
            rq.Queue.get_job_ids, rq.job.Job.restore; Redis LRANGE, HMGET, XREVRANGE.
        """
        filters_of('count_by()', filters)
        counting = CountOperation(names, time, chunk_size, filters)
        counting.count_listed(self, self._cursor(chunk_size).member_chunks())
        return counting.result()

    def _cursor(self, chunk_size: Any, desc: Any = False) -> ListCursor:
        return ListCursor(self.connection, self.key, chunk_size_of(chunk_size), bool(desc))


def filters_of(method: str, filters: Mapping[str, Any]) -> Filters:
    """Check the filters of a call on jobs that wait."""
    for name in ('min_score', 'max_score'):
        if name in filters:
            raise TypeError(
                f'{method} of jobs that wait takes no {name}: the entries of a queue have no scores. Give a time, such '
                'as enqueued_after='
            )
    return Filters(filters)


def _range(key: str, start: int, end: int, desc: bool) -> Command:
    return (TEXTS, 'LRANGE', key, *((-end - 1, -start - 1) if desc else (start, end)))
