"""Reading registries of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from .. import _installed_rq
from .arguments import chunk_size_of, score_of
from .cursor import Cursor, Entry


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
    if parse is _installed_rq.parse_job_id:
        return None
    if parse is _installed_rq.parse_started_job_id or _decodes(registry.connection):
        return parse
    # Somebody else's is given what RQ would give it.
    return lambda member: parse(member.encode())


def _decodes(connection: Any) -> bool:
    return bool(connection.get_encoder().decode_responses)


def ids_in(entries: list[Entry], parse: Callable[[str], str] | None) -> list[str]:
    """Return the job ids of entries."""
    return [member for member, _ in entries] if parse is None else [parse(member) for member, _ in entries]
