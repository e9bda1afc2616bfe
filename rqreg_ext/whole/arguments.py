"""What the calls on whole registries are given, checked before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

# What Redis takes as a rank is larger; a chunk is held in memory.
_LARGEST_CHUNK = 2**31


def chunk_size_of(value: Any) -> int:
    """Return the number of entries to read at a time."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f'chunk_size={value!r} is no int: give the number of entries to read at a time, like 1000')
    if not 0 < value < _LARGEST_CHUNK:
        raise ValueError(f'chunk_size={value}: give a number of entries from 1 to {_LARGEST_CHUNK - 1}')
    return value


def limit_of(value: Any) -> int | None:
    """Return how many to give at most."""
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f'limit={value!r} is no int: give how many to find at most, or leave it out for all')
    if value < 0:
        raise ValueError(f'limit={value}: give how many to find at most, or leave it out for all')
    return value


def score_of(name: str, value: Any) -> float:
    """Return a bound of the scores, which are Unix timestamps in seconds as a rule."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f'{name}={value!r} is no number: give a score, a Unix timestamp in seconds for most registries')
    try:
        score = float(value)
    except OverflowError:
        score = math.nan
    if math.isnan(score):
        raise ValueError(f'{name}={value!r} is no score: give a number that a float can hold, or leave it out')
    return score


def job_ids_of(registry: Any, jobs: Iterable[Any]) -> Iterator[Any]:
    """Return the ids of what is given: ids, or jobs of the registry's job_class."""
    if isinstance(jobs, (str, bytes, registry.job_class)) or not isinstance(jobs, Iterable):
        raise TypeError(f'{jobs!r} is no collection of job ids: for one job, give a list of one')
    return (job.id if isinstance(job, registry.job_class) else job for job in jobs)
