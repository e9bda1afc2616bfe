"""Reading registries of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from .._clients import decodes
from .._installed_rq import Entries
from .._route import entries_of
from .arguments import check_holds_jobs, chunk_size_of, job_ids_of, score_of
from .cursor import Cursor
from .membership import are_in
from .pages import JobPage, Page, read_jobs, read_page

if TYPE_CHECKING:
    from rq.job import Job


class Reading:
    """The calls that read a registry without changing it."""

    def iter_job_ids(
        self,
        chunk_size: int = 1000,
        desc: bool = False,
        min_score: float | None = None,
        max_score: float | None = None,
    ) -> Iterator[str]:
        """Return an iterator over the ids of the jobs, str ordered by score, in constant memory.

        chunk_size: how many entries to read at a time.
        desc: from the highest score down.
        min_score, max_score: bounds of the scores, both included; a Unix timestamp in seconds for most registries.
        Others may change the registry meanwhile: each entry that stays where it is comes once. One that comes, goes
        or gets another score may be left out, or come again with that score. What is added behind the last entry of
        the beginning is left out, so that the iteration ends. In a started registry an entry is an execution: a job
        comes once for each.
        Nothing is cleaned up, and nothing changed: entries that have expired come too.
        One round trip a chunk; up to four more where entries that have been passed have gone, and some more among many
        entries of one score.
        Raises TypeError and ValueError for bad arguments; while iterating, redis.exceptions.RedisError,
        UnicodeDecodeError for an entry that is no UTF-8, and what this registry's parse_job_id raises.
        Source: Redis ZRANGE, ZREVRANGE, ZRANGEBYSCORE, ZREVRANGEBYSCORE, ZCOUNT, ZRANK, ZREVRANK.
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
        """Return an iterator over (job id, score), str and float, ordered by score; see iter_job_ids() for all else."""
        chunks = cursor_of(self, chunk_size, desc, min_score, max_score).chunks()
        parse = parser_of(self)
        if parse is None:
            return chain.from_iterable(chunks)
        return ((parse(member), score) for chunk in chunks for member, score in chunk)

    def contains_many(self, ids: Iterable[str | Job]) -> list[bool]:
        """Tell of each job whether it is in this registry, as `job in registry` does: a list of bool in their order.

        ids: ids of jobs, or Job objects; any iterable.
        One round trip for 10 000 ids, two before Redis 6.2. In a started registry one for any number: its entries are
        read once. Where a class of your own has another `__contains__`, that is asked about each.
        Raises TypeError for what is no id; redis.exceptions.RedisError.
        Source: rq.registry.BaseRegistry.__contains__; Redis ZMSCORE, ZRANGE.
        """
        return are_in(self, job_ids_of(self, ids))

    def get_page(
        self, page: int = 1, per_page: int = 100, desc: bool = False, with_scores: bool = False, cleanup: bool = True
    ) -> Page:
        """Return one page of this registry, with the number of all its entries.

        page: which one, from 1; behind the last one, a page without entries. per_page: how many entries it has.
        desc: from the highest score down, which is the newest first only where all jobs have the same TTL:
            find(order_by='end') knows when they ended. with_scores: whether the page has the scores too.
        cleanup: whether to run this registry's cleanup first, as get_job_ids() does.
        One round trip, cleanup included; where RQ's own cleanup has work to do (abandoned or ready jobs), that work's
        and one more.
        Raises TypeError and ValueError for bad arguments; redis.exceptions.RedisError; UnicodeDecodeError for an entry
        that is no UTF-8, and what this registry's parse_job_id raises.
        Source: rq.registry.BaseRegistry.get_job_ids; Redis ZRANGE, ZREVRANGE, ZCARD.
        """
        return read_page(self, page, per_page, desc, with_scores, cleanup, parser_of(self))

    def get_jobs(self, page: int = 1, per_page: int = 100, desc: bool = False, cleanup: bool = True) -> JobPage:
        """Return the jobs on one page of this registry, as Job objects of its job_class.

        The arguments are those of get_page(). Jobs that are gone, and those that RQ cannot restore, are told apart.
        Two round trips; where RQ's own cleanup has work to do, that work's and one more.
        Raises what get_page() raises, and what the job_class raises where it has a fetch_many() of its own.
        Source: rq.job.Job.fetch_many, Job.restore; Redis HGETALL.
        """
        check_holds_jobs(self)
        return read_jobs(self, read_page(self, page, per_page, desc, False, cleanup, parser_of(self)))


def cursor_of(registry: Any, chunk_size: Any, desc: Any, min_score: Any, max_score: Any) -> Cursor:
    """Return a cursor in front of the first entry, of arguments that are checked here."""
    return Cursor(
        registry.connection,
        registry.key,
        chunk_size_of(chunk_size),
        bool(desc),
        None if min_score is None else score_of('min_score', min_score),
        None if max_score is None else score_of('max_score', max_score),
    )


def parser_of(registry: Any) -> Callable[[str], str] | None:
    """Return what makes a job id of an entry, by the registry's own parse_job_id; None where an entry is a job id."""
    parse: Callable[[Any], str] = registry.parse_job_id
    entries = entries_of(registry)
    if entries is Entries.JOBS:
        return None
    if entries is Entries.STARTS or decodes(registry.connection):
        return parse
    # Somebody else's is given what RQ would give it.
    return lambda member: parse(member.encode())
