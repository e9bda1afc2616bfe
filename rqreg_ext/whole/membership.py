"""Whether jobs are in a registry, asked about many at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._exchange import SCORE, TEXTS, VALUE, ask, exchange, without_errors
from .._rights import is_denied

# How many are asked about in one write.
_CHUNK = 10_000


def are_in(registry: Any, job_ids: Sequence[Any]) -> list[bool]:
    """Tell of each id whether it is in the registry, as its own `in` does."""
    # They need rq's registries, of which this package is a part.
    from .._installed_rq import Method
    from .._route import is_plain

    if is_plain(registry, Method.CONTAINS):
        return _have_scores(registry, job_ids)
    if is_plain(registry, Method.STARTED_CONTAINS):
        # RQ looks for each among all of them, which are read once for all here.
        listed = registry.get_job_ids(cleanup=False)
        as_set = set(listed)
        return [job_id in as_set if isinstance(job_id, str) else job_id in listed for job_id in job_ids]
    return [job_id in registry for job_id in job_ids]


def _have_scores(registry: Any, job_ids: Sequence[Any]) -> list[bool]:
    answers: list[bool] = []
    for start in range(0, len(job_ids), _CHUNK):
        scores = _scores(registry, job_ids[start : start + _CHUNK])
        answers += [score is not None for score in scores]
    return answers


def _scores(registry: Any, job_ids: Sequence[Any]) -> list[Any]:
    (scores,) = exchange(registry.connection, [(VALUE, 'ZMSCORE', registry.key, *job_ids)])
    if isinstance(scores, list):
        return scores
    # Before Redis 6.2, or for a user who may not do it. What else is wrong is said of ZSCORE, which `in` asks for.
    return ask(registry.connection, [(SCORE, 'ZSCORE', registry.key, job_id) for job_id in job_ids])


class Members:
    """Which jobs are in a registry whose entries are job ids.

    A user who may not ask that of single entries has all of them read once, by ZRANGE as get_job_ids() does: what comes
    and goes later is not seen then.
    """

    def __init__(self, registry: Any) -> None:
        self._registry = registry
        self._read: frozenset[str] | None = None

    def contain(self, job_ids: Sequence[str]) -> list[bool]:
        """Tell of each whether it is there. Raises redis.exceptions.RedisError."""
        if self._read is None:
            key = self._registry.key
            scores = exchange(self._registry.connection, [(SCORE, 'ZSCORE', key, job_id) for job_id in job_ids])
            if not any(map(is_denied, scores)):
                return [score is not None for score in without_errors(scores)]
            (entries,) = ask(self._registry.connection, [(TEXTS, 'ZRANGE', key, 0, -1)])
            self._read = frozenset(entries)
        return [job_id in self._read for job_id in job_ids]
