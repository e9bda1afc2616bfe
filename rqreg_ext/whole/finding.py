"""Finding jobs in a registry, by what they are and what happened to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import nlargest, nsmallest
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from .arguments import check_holds_jobs, chunk_size_of, is_by_end, limit_of
from .filters import Filters, JobFilters
from .job_fields import EVERY_JOB_HAS, UNREADABLE, Reader, Row, Rows, fields_of
from .reading import cursor_of, parser_of

if TYPE_CHECKING:
    from typing import overload

    from typing_extensions import Unpack


class Finding:
    """The calls that look into the jobs of a registry."""

    # typing keeps what is overloaded in a table, over which CPython 3.12 crashes in sub-interpreters.
    if TYPE_CHECKING:

        @overload
        def find(
            self,
            *,
            fields: Sequence[str],
            chunk_size: int = 1000,
            desc: bool = False,
            limit: int | None = None,
            order_by: str = 'score',
            **filters: Unpack[JobFilters],
        ) -> Iterator[tuple[str, dict[str, Any]]]: ...

        @overload
        def find(
            self,
            *,
            chunk_size: int = 1000,
            desc: bool = False,
            limit: int | None = None,
            order_by: str = 'score',
            **filters: Unpack[JobFilters],
        ) -> Iterator[str]: ...

    def find(
        self,
        *,
        fields: Sequence[str] = (),
        chunk_size: int = 1000,
        desc: bool = False,
        limit: int | None = None,
        order_by: str = 'score',
        **filters: Unpack[JobFilters],
    ) -> Iterator[Any]:
        """Return an iterator over the ids of the jobs for which all filters hold, str ordered by score.

        filters: see rqreg_ext.whole.filters.JobFilters: job_id, func_name, description, worker_name, exc_info, meta,
            enqueued_before, enqueued_after, ended_before, ended_after, min_score, max_score. Without any, all jobs.
        fields: names of attributes of Job; with some, the iterator is over (job id, {name: value}). The values are as
            Job has them, or None where they cannot be read. Where the job is gone all of them are None: 'status' is so
            for no other job. The names: see FIELDS in rqreg_ext.whole.job_fields; 'end', which Job has not, is when the
            job ended as the filters see it, a datetime in UTC, or None where nobody knows.
        chunk_size: how many entries to read at a time. limit: at most so many jobs.
        order_by: 'score', which for most registries is when an entry expires, and for jobs of different TTLs is not
            the order in which they came; or 'end', when the jobs ended, which takes `limit`: the registry is read to
            its end then, and so many jobs are remembered. Jobs whose end nobody knows come last.
        desc: from the highest score down, or the latest end back.
        A job whose hash is gone matches no filter but those on its id and its score, and one whose end, or time of
        enqueueing, nobody knows no filter on that: `fields` tells which they are. What others change meanwhile, and
        started registries: see iter_job_ids(). Memory is constant, and nothing is changed.
        Two round trips a chunk, one where nothing is asked of the jobs, and three where its end is asked of a job that
        has it in its results only. Only the fields of a job's hash that are needed are read, and its latest result
        where its exception is asked for; the function's name is read without loading what the function is called with.
        Raises TypeError and ValueError for bad arguments; while iterating, what iter_job_ids() raises.
        Source: rq.job.Job.restore, Job.exc_info; Redis HMGET, XREVRANGE.
        """
        check_holds_jobs(self)
        wanted = Filters.of(**filters)
        names = fields_of(fields)
        most = limit_of(limit)
        size = chunk_size_of(chunk_size)
        by_end = is_by_end(order_by, most)
        if most is not None and wanted.is_empty and not by_end:
            size = min(size, max(most, 1))
        chunks = cursor_of(self, size, desc and not by_end, wanted.min_score, wanted.max_score).member_chunks()
        search = Search(self, wanted, names)
        if by_end:
            return search.by_end(chunks, bool(desc), most or 0)
        return islice(chain.from_iterable(map(search.found_in, chunks)), most)


class Search:
    """What is looked for in a registry, and what is to be told of the jobs that are found."""

    def __init__(self, registry: Any, wanted: Filters, fields: Sequence[str]) -> None:
        self._parse = parser_of(registry)
        self._wanted = wanted
        self._rows = Rows(registry)
        if fields:
            self._rows.column(EVERY_JOB_HAS)
        self._is_wanted = wanted.test(self._rows)
        self._readers = [(name, self._rows.reader(name)) for name in fields]

    def found_in(self, members: list[str]) -> list[Any]:
        """Return what is found among these entries: one round trip, or none where nothing is asked of the jobs."""
        job_ids = self._select(members)
        if self._rows.are_empty or not job_ids:
            return job_ids
        found = self._rows.matching(job_ids, self._is_wanted)
        if not self._readers:
            return [job_id for job_id, _ in found]
        return [(job_id, self._values_in(row)) for job_id, row in found]

    def by_end(self, chunks: Iterable[list[str]], desc: bool, limit: int) -> Iterator[Any]:
        """Yield the `limit` jobs that ended last, or first; nothing is read before the first is asked for."""
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
        return self._rows.matching(job_ids, self._is_wanted) if job_ids else []

    def _select(self, members: list[str]) -> list[str]:
        return self._wanted.select(members if self._parse is None else map(self._parse, members))

    def _values_in(self, row: Row) -> dict[str, Any]:
        if not any(row):
            return dict.fromkeys(name for name, _ in self._readers)
        return {name: _value_of(read, row) for name, read in self._readers}


def _value_of(read: Reader, row: Row) -> Any:
    try:
        return read(row)
    except UNREADABLE:
        return None
