"""The methods that list a registry of any size: iterators, pages, and membership of many jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from .._fastpath.clients.configuration import decodes
from .._fastpath.dispatch import entries_of
from .._fastpath.releases import EntryKind
from .arguments import check_holds_jobs, chunk_size_of, job_ids_of, score_of, text_ids_of
from .cursor import Cursor
from .jobs import JobList, load_jobs
from .membership import are_in
from .pages import JobPage, Page, read_jobs, read_page

if TYPE_CHECKING:
    from typing import overload

    from rq.job import Job


class ListingMixin:
    """Registry methods that read entries and jobs."""

    def iter_job_ids(
        self,
        chunk_size: int = 1000,
        desc: bool = False,
        min_score: float | None = None,
        max_score: float | None = None,
    ) -> Iterator[str]:
        """Iterate over the ids of the jobs, ordered by score, in constant memory.

        Nothing is changed: expired entries are not removed, and are included. If other clients change the registry
        during the iteration, each entry that keeps its score is returned exactly once; one that is added, removed or
        given another score may be missing or appear twice. Entries added after the last one are ignored, so the
        iteration ends. A started registry has an entry for each execution: a job is returned once for each of them.

        Args:
            chunk_size: How many entries to read at a time.
            desc: Whether to start with the highest score.
            min_score: The lowest score to include: in most registries, a Unix timestamp in seconds.
            max_score: The highest score to include.

        Returns:
            An iterator of str. The first entries are read when the first id is requested.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: An argument is out of range.
            redis.exceptions.RedisError: While iterating, the server or the connection failed.
            UnicodeDecodeError: While iterating, an entry is not UTF-8.

        Round trips:
            One per chunk. Up to four more if entries already read are removed during the iteration, and a few more if
            many entries have the same score.

        Source:
            Redis ZRANGE, ZREVRANGE, ZRANGEBYSCORE, ZREVRANGEBYSCORE, ZCOUNT, ZRANK, ZREVRANK.
        """
        chunks = cursor_of(self, chunk_size, desc, min_score, max_score).member_chunks()
        parse = parser_of(self)
        return chain.from_iterable(chunks if parse is None else (map(parse, chunk) for chunk in chunks))

    def iter_entries(
        self,
        chunk_size: int = 1000,
        desc: bool = False,
        min_score: float | None = None,
        max_score: float | None = None,
    ) -> Iterator[tuple[str, float]]:
        """Iterate over the ids of the jobs and their scores, ordered by score, in constant memory.

        The arguments, the errors, the round trips, and the effect of changes by other clients are those of
        iter_job_ids().

        Args:
            chunk_size: How many entries to read at a time.
            desc: Whether to start with the highest score.
            min_score: The lowest score to include: in most registries, a Unix timestamp in seconds.
            max_score: The highest score to include.

        Returns:
            An iterator of (job id, score), a str and a float.

        Source:
            Redis ZRANGE, ZREVRANGE, ZRANGEBYSCORE, ZREVRANGEBYSCORE, ZCOUNT, ZRANK, ZREVRANK.
        """
        chunks = cursor_of(self, chunk_size, desc, min_score, max_score).chunks()
        parse = parser_of(self)
        if parse is None:
            return chain.from_iterable(chunks)
        return ((parse(member), score) for chunk in chunks for member, score in chunk)

    def contains_many(self, ids: Iterable[str | Job]) -> list[bool]:
        """Check for many jobs whether they are in this registry, as `job in registry` does for one.

        If a subclass overrides `__contains__()`, that is called for each job.

        Args:
            ids: An iterable of job ids or Job objects.

        Returns:
            A list of bool, in the order of `ids`. An id that cannot be encoded is in no registry.

        Raises:
            TypeError: `ids` is not an iterable of ids or jobs.
            redis.exceptions.RedisError: The server or the connection failed.

        Round trips:
            One per 10,000 ids, two before Redis 6.2. One in a started registry, whose entries are read once.

        Source:
            rq.registry.BaseRegistry.__contains__; Redis ZMSCORE, ZRANGE.
        """
        return are_in(self, job_ids_of(self, ids))

    def get_page(
        self, page: int = 1, per_page: int = 100, desc: bool = False, with_scores: bool = False, cleanup: bool = True
    ) -> Page:
        """Read one page of job ids, and the number of entries in the registry.

        Args:
            page: The number of the page, from 1. A page after the last one has no entries.
            per_page: How many entries a page has.
            desc: Whether to start with the highest score. That is newest first only if all jobs have the same TTL;
                for the order in which jobs ended, use find(order_by='end').
            with_scores: Whether to return the scores too.
            cleanup: Whether to run this registry's cleanup() first, as get_job_ids() does.

        Returns:
            A Page.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: `page` or `per_page` is less than 1.
            redis.exceptions.RedisError: The server or the connection failed.
            UnicodeDecodeError: An entry is not UTF-8.

        Round trips:
            One, including the cleanup. If there are jobs that RQ's own cleanup() has to process (abandoned or
            ready jobs), one more and those of cleanup().

        Source:
            rq.registry.BaseRegistry.get_job_ids; Redis ZRANGE, ZREVRANGE, ZCARD.
        """
        return read_page(self, page, per_page, desc, with_scores, cleanup, parser_of(self))

    # Not at run time: see find().
    if TYPE_CHECKING:

        @overload
        def get_jobs(self, *, ids: Iterable[str | Job], with_results: bool = False) -> JobList: ...

        @overload
        def get_jobs(
            self,
            page: int = 1,
            per_page: int = 100,
            desc: bool = False,
            cleanup: bool = True,
            *,
            with_results: bool = False,
        ) -> JobPage: ...

    def get_jobs(
        self,
        page: int = 1,
        per_page: int = 100,
        desc: bool = False,
        cleanup: bool = True,
        *,
        ids: Iterable[str | Job] | None = None,
        with_results: bool = False,
    ) -> JobPage | JobList:
        """Read the jobs on one page, or those with the given ids, as objects of this registry's job_class.

        Args:
            page: The number of the page, from 1. A page after the last one has no jobs.
            per_page: How many entries a page has.
            desc: Whether to start with the highest score.
            cleanup: Whether to run this registry's cleanup() first, as get_job_ids() does.
            ids: The ids of the jobs to read, or Job objects to read anew, instead of a page. They are read whether they
                are in this registry or not; nothing is cleaned up.
            with_results: Whether to read the latest result of each job too. It needs the right to XREVRANGE.

        Returns:
            A JobPage. It lists jobs whose hash no longer exists, and jobs that RQ cannot load, separately. With `ids`,
            a JobList: in their order, a Job, or None, as Job.fetch_many() returns them.

        Raises:
            TypeError: An argument has the wrong type, or this is the registry of a job's executions.
            ValueError: `page` or `per_page` is less than 1, or is given with `ids`.
            redis.exceptions.RedisError: The server or the connection failed.
            UnicodeDecodeError: An entry is not UTF-8.

        Round trips:
            Two. If there are jobs that RQ's own cleanup() has to process, one more and those of cleanup(). With `ids`,
            or more than 1000 jobs on a page, one per 1000 jobs.

        Source:
            rq.job.Job.fetch_many, Job.restore, Job.latest_result; Redis HGETALL, XREVRANGE.
        """
        check_holds_jobs(self)
        if isinstance(page, (list, tuple, set, frozenset)):
            raise TypeError(f'page={page!r} is not an int: give ids by name, get_jobs(ids=...)')
        if ids is None:
            return read_jobs(self, read_page(self, page, per_page, desc, False, cleanup, parser_of(self)), with_results)
        if (page, per_page, desc, cleanup) != (1, 100, False, True):
            raise ValueError('get_jobs() takes either a page or ids=: the ids say which jobs to read, in their order')
        registry: Any = self
        loaded = load_jobs(registry.job_class, registry.connection, registry.serializer, text_ids_of(ids), with_results)
        return JobList(*loaded)


def cursor_of(registry: Any, chunk_size: Any, desc: Any, min_score: Any, max_score: Any) -> Cursor:
    """Check the arguments, and return a cursor at the start of the registry."""
    return Cursor(
        registry.connection,
        registry.key,
        chunk_size_of(chunk_size),
        bool(desc),
        None if min_score is None else score_of('min_score', min_score),
        None if max_score is None else score_of('max_score', max_score),
    )


def parser_of(registry: Any) -> Callable[[str], str] | None:
    """Return a function that extracts the job id from an entry, or None if entries are job ids."""
    parse: Callable[[Any], str] = registry.parse_job_id
    entries = entries_of(registry)
    if entries is EntryKind.JOBS:
        return None
    if entries is EntryKind.COMPOSITE or decodes(registry.connection):
        return parse
    # RQ passes bytes to an overridden parse_job_id() unless the client decodes responses.
    return lambda member: parse(member.encode())


def listed_in_bounds(registry: Any, low: float | None, high: float | None, cleanup: bool) -> list[str]:
    """Return those of the ids that get_job_ids() returns whose scores are within the bounds."""
    job_ids: list[str] = registry.get_job_ids() if cleanup else registry.get_job_ids(cleanup=False)
    if low is None and high is None:
        return job_ids
    in_bounds = set(registry.iter_job_ids(min_score=low, max_score=high))
    return [job_id for job_id in job_ids if job_id in in_bounds]
