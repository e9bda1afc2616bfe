"""What the calls on whole registries are given, checked before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from rq.executions import ExecutionRegistry
from rq.job import Job

# What Redis takes as a rank is larger; a chunk is held in memory.
_LARGEST_CHUNK = 2**31
# More than any set has, and Redis takes it as a rank.
_LARGEST_RANK = 2**62


def chunk_size_of(value: Any) -> int:
    """Return the number of entries to read at a time."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f'chunk_size={value!r} is no int: give the number of entries to read at a time, like 1000')
    if not 0 < value < _LARGEST_CHUNK:
        raise ValueError(f'chunk_size={value}: give a number of entries from 1 to {_LARGEST_CHUNK - 1}')
    return value


def progress_of(value: Any) -> Any:
    """Return the function to tell how far a call is, or None."""
    if value is not None and not callable(value):
        raise TypeError(f'progress={value!r} cannot be called: give a function of a count and a total')
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


def is_by_end(order_by: Any, limit: int | None) -> bool:
    """Tell whether jobs are ordered by their end, for which `limit` is needed; by the score of their entry if not."""
    if order_by not in ('score', 'end'):
        raise ValueError(f"order_by={order_by!r} is no order: give 'score', or 'end' for when the jobs ended")
    if order_by == 'end' and limit is None:
        raise ValueError("order_by='end' takes limit=: give how many jobs to find, which are remembered meanwhile")
    return bool(order_by == 'end')


def no_jobs_to_change(entries: str, method: str) -> NotImplementedError:
    """Return what is said of a registry whose entries are executions, of which RQ can `method` none."""
    return NotImplementedError(
        f'{entries} are executions, of which RQ can {method} none: '
        'stop a job with rq.command.send_stop_job_command(), and find it in the failed registry'
    )


def score_of(name: str, value: Any) -> float:
    """Return a bound of the scores, which are Unix timestamps in seconds as a rule."""
    if isinstance(value, datetime):
        raise TypeError(
            f'{name}={value!r} is no number: give a score, for most registries moment.timestamp(), '
            'of a datetime with a time zone'
        )
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f'{name}={value!r} is no number: give a score, a Unix timestamp in seconds for most registries')
    try:
        score = float(value)
    except OverflowError:
        score = math.nan
    if math.isnan(score):
        raise ValueError(f'{name}={value!r} is no score: give a number that a float can hold, or leave it out')
    return score


def check_holds_jobs(registry: Any) -> None:
    """Raise TypeError for the executions of one job, which are no jobs."""
    if isinstance(registry, ExecutionRegistry):
        raise TypeError(
            f'{type(registry).__name__} holds the executions of one job, not jobs: give a registry of jobs, '
            'or use get_page() and iter_job_ids() for the ids of the executions'
        )


def check_is_collection(jobs: Any) -> None:
    """Raise TypeError for what is no collection of ids or jobs, above all for the id of one job."""
    if isinstance(jobs, (str, bytes)) or not isinstance(jobs, Iterable):
        raise TypeError(f'{jobs!r} is no collection of job ids: for one job, give a list of one')


def ranks_of(page: Any, per_page: Any) -> tuple[int, int]:
    """Return the first and the last rank of a page."""
    for name, value, remedy in (
        ('page', page, 'pages are counted from 1'),
        ('per_page', per_page, 'give how many entries a page has, at least 1'),
    ):
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f'{name}={value!r} is no int: {remedy}')
        if value < 1:
            raise ValueError(f'{name}={value}: {remedy}')
    start = (page - 1) * per_page
    return min(start, _LARGEST_RANK), min(start + per_page - 1, _LARGEST_RANK)


def job_ids_of(registry: Any, jobs: Iterable[Any]) -> list[str | bytes | int | float]:
    """Return the ids of what is given: ids, or jobs."""
    check_is_collection(jobs)
    ids = [job.id if isinstance(job, (registry.job_class, Job)) else job for job in jobs]
    for job_id in ids:
        if not isinstance(job_id, (str, bytes, int, float)) or isinstance(job_id, bool):
            raise TypeError(f'{job_id!r} is no id of a job: give ids, or Job objects')
    return ids
