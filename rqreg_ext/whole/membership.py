"""Whether jobs are in a registry, asked about many at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._exchange import SCORE, VALUE, ask, exchange

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
