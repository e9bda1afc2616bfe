"""find(): the jobs of a registry that match filters on their attributes, times and scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import nlargest, nsmallest
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from .arguments import by_name_only, check_holds_jobs, chunk_size_of, is_by_end, most_found_of
from .filters import Filters, JobFilters
from .job_fields import fields_of, reader_of
from .listing import cursor_of, parser_of
from .rows import EVERY_JOB_HAS, UNREADABLE, Reader, Row, Rows

if TYPE_CHECKING:
    from typing import Literal, overload

    from typing_extensions import Unpack


class FindMixin:
    """Registry methods that search by the attributes of jobs."""

    # Not at run time: typing.overload() registers functions in a global table, which crashes CPython 3.12 in
    # sub-interpreters.
    if TYPE_CHECKING:

        @overload
        def find(
            self,
            *,
            fields: Sequence[str],
            chunk_size: int = 1000,
            desc: bool = False,
            limit: int | None = None,
            order_by: Literal['score', 'end'] = 'score',
            **filters: Unpack[JobFilters],
        ) -> Iterator[tuple[str, dict[str, Any]]]: ...

        @overload
        def find(
            self,
            *,
            chunk_size: int = 1000,
            desc: bool = False,
            limit: int | None = None,
            order_by: Literal['score', 'end'] = 'score',
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
        order_by: Literal['score', 'end'] = 'score',
        **filters: Unpack[JobFilters],
    ) -> Iterator[Any]:
        """Find the jobs that match all filters, ordered by score.

        Only the needed fields of a job are read, and `func_name` is read without unpickling the call's arguments.
        Memory is constant, and nothing is changed. Changes by other clients have the effect that iter_job_ids()
        describes. A job whose hash is gone matches only filters on its id and score.

        Args:
            fields: The attributes of Job to return, of: func_name, instance, args, kwargs, description, meta, exc_info,
                status, origin, worker_name, group_id, created_at, enqueued_at, started_at, ended_at, last_heartbeat,
                timeout, ttl, result_ttl, failure_ttl, retries_left, number_of_retries, retry_intervals, repeats_left,
                repeat_intervals, enqueue_at_front, allow_dependency_failures. 'exc_type' and 'exc_message' are the
                class and the message of the exception in exc_info. 'end' is the time that `ended_before` compares: a
                datetime in UTC, or None if unknown. A value that cannot be decoded is None. `status` is None only if
                the job is gone.
            chunk_size: How many entries to read at a time.
            desc: Whether to start with the highest score, or with the latest end.
            limit: The greatest number of jobs to find; None for all.
            order_by: 'score', in most registries the time when the entry expires; or 'end', when the job ended, which
                needs `limit`: the whole registry is read first. Jobs whose end is unknown come last.
            **filters: See JobFilters. Without filters, all jobs match.

        Returns:
            An iterator of str, the job ids. With `fields`, an iterator of (job id, dict of the fields).

        Raises:
            TypeError: An argument has the wrong type, or this is the registry of a job's executions.
            ValueError: An argument is out of range, or not one of the accepted values.
            redis.exceptions.RedisError: While iterating, the server or the connection failed.
            UnicodeDecodeError: While iterating, an entry is not UTF-8.

        Round trips:
            Two per chunk; one if only ids and scores are compared; three if an end is only known from a job's results.

        Source:
            rq.job.Job.restore, Job.exc_info; Redis HMGET, XREVRANGE.
        """
        check_holds_jobs(self)
        selection = Filters.of(**filters)
        names = fields_of(fields)
        most = most_found_of(limit)
        size = chunk_size_of(chunk_size)
        by_end = is_by_end(order_by, most)
        if most is not None and selection.is_empty and not by_end:
            size = min(size, max(most, 1))
        chunks = cursor_of(self, size, desc and not by_end, selection.min_score, selection.max_score).member_chunks()
        search = JobSearch(self, selection, names)
        if by_end:
            return search.by_end(chunks, bool(desc), most or 0)
        return islice(chain.from_iterable(map(search.found_in, chunks)), most)


class JobSearch:
    """Selects the jobs of a registry that match the filters, and reads the requested fields of each."""

    def __init__(self, registry: Any, filters: Filters, fields: Sequence[str]) -> None:
        self._parse = parser_of(registry)
        self._filters = filters
        self._rows = Rows(registry)
        if fields:
            self._rows.column(EVERY_JOB_HAS)
        self._test = filters.test(self._rows)
        self._readers = [(name, reader_of(self._rows, name)) for name in fields]

    def found_in(self, members: list[str]) -> list[Any]:
        """Return the results among these entries. One round trip, or none if no field of the jobs is needed."""
        job_ids = self._select(members)
        if self._rows.are_empty or not job_ids:
            return job_ids
        if self._readers:
            return self._rows.matching(job_ids, self._test, read=self._values_in)
        return [job_id for job_id, _ in self._rows.matching(job_ids, self._test)]

    def by_end(self, chunks: Iterable[list[str]], desc: bool, limit: int) -> Iterator[Any]:
        """Yield the `limit` jobs that ended first, or last if `desc`. Reads all chunks when the iteration begins."""
        end_of = self._rows.end()

        def key(found: tuple[str, Row]) -> tuple[bool, bytes]:
            end = end_of(found[1])
            return bool(end) is desc, end

        matching = chain.from_iterable(map(self._matching, chunks))
        best = (nlargest if desc else nsmallest)(limit, matching, key)
        for job_id, row in best:
            yield (job_id, self._values_in(row)) if self._readers else job_id

    def _matching(self, members: list[str]) -> list[tuple[str, Row]]:
        job_ids = self._select(members)
        return self._rows.matching(job_ids, self._test) if job_ids else []

    def _select(self, members: list[str]) -> list[str]:
        return self._filters.select(members if self._parse is None else map(self._parse, members))

    def _values_in(self, row: Row) -> dict[str, Any]:
        if not any(row):
            return dict.fromkeys(name for name, _ in self._readers)
        return {name: _value_of(read, row) for name, read in self._readers}


def _value_of(read: Reader, row: Row) -> Any:
    try:
        return read(row)
    except UNREADABLE:
        return None
