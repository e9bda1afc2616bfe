"""Membership of many jobs in a registry, checked in one round trip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from .._fastpath.dispatch import reaches_rq
from .._fastpath.exchange import SCORE, TEXTS, VALUE, ask, exchange, without_errors
from .._fastpath.releases import Method
from .._fastpath.server_errors import is_denied
from .chunks import chunks_of

Answer = TypeVar('Answer')

# The most ids sent in one write, and in one command: other clients are served between commands.
_CHUNK, _PER_COMMAND = 10_000, 1000


def are_in(registry: Any, job_ids: Sequence[Any]) -> list[bool]:
    """Return for each id whether it is in the registry, with the results of `job_id in registry`."""
    if reaches_rq(registry, Method.CONTAINS):
        return _have_scores(registry, job_ids)
    if reaches_rq(registry, Method.STARTED_CONTAINS):
        # RQ reads all entries for each id. Here they are read once.
        listed = registry.get_job_ids(cleanup=False)
        as_set = set(listed)
        return [job_id in as_set if isinstance(job_id, str) else job_id in listed for job_id in job_ids]
    return [job_id in registry for job_id in job_ids]


def in_chunks(
    job_ids: Sequence[Any], ask_about: Callable[[Sequence[Any]], Answer]
) -> Iterator[tuple[Sequence[Any], Answer | UnicodeEncodeError]]:
    """Yield what is answered about the ids, in chunks where one of them cannot be sent: that is a chunk with its error.

    Nothing is sent of a command with such an id (a lone surrogate is in it, which is not text).
    """
    answer: Answer | UnicodeEncodeError
    try:
        answer = ask_about(job_ids)
    except UnicodeEncodeError as error:
        if len(job_ids) > 1:
            middle = len(job_ids) // 2
            yield from in_chunks(job_ids[:middle], ask_about)
            yield from in_chunks(job_ids[middle:], ask_about)
            return
        answer = error
    yield job_ids, answer


def _have_scores(registry: Any, job_ids: Sequence[Any]) -> list[bool]:
    answers: list[bool] = []
    for page in chunks_of(job_ids, _CHUNK):
        for chunk, scores in in_chunks(page, partial(_scores, registry)):
            found = [None] * len(chunk) if isinstance(scores, UnicodeEncodeError) else scores
            answers += [score is not None for score in found]
    return answers


def _scores(registry: Any, job_ids: Sequence[Any]) -> list[Any]:
    chunks = exchange(
        registry.connection, [(VALUE, 'ZMSCORE', registry.key, *chunk) for chunk in chunks_of(job_ids, _PER_COMMAND)]
    )
    if all(isinstance(scores, list) for scores in chunks):
        return [score for scores in chunks for score in scores]
    # ZMSCORE needs Redis 6.2, and the permission to run it. Any other error is raised by ZSCORE, which RQ's `in` runs.
    return ask(registry.connection, [(SCORE, 'ZSCORE', registry.key, job_id) for job_id in job_ids])


class Members:
    """The members of a registry whose entries are job ids.

    If the user may not run ZSCORE, all entries are read once by ZRANGE, as get_job_ids() does. Later changes by other
    clients are not seen then.
    """

    def __init__(self, registry: Any) -> None:
        self._registry = registry
        # All entries, if they had to be read by ZRANGE.
        self._members: frozenset[str] | None = None

    def contain(self, job_ids: Sequence[str]) -> list[bool]:
        """Return for each id whether it is a member. Raises redis.exceptions.RedisError."""
        if self._members is None:
            key = self._registry.key
            scores = exchange(self._registry.connection, [(SCORE, 'ZSCORE', key, job_id) for job_id in job_ids])
            if not any(map(is_denied, scores)):
                return [score is not None for score in without_errors(scores)]
            (entries,) = ask(self._registry.connection, [(TEXTS, 'ZRANGE', key, 0, -1)])
            self._members = frozenset(entries)
        return [job_id in self._members for job_id in job_ids]
