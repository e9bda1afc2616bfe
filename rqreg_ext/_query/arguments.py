"""Checks of arguments, made before anything is sent to Redis."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from typing import Any, TypeVar, cast

from rq.executions import ExecutionRegistry
from rq.job import Job

# A chunk is held in memory. Redis accepts larger ranks.
_LARGEST_CHUNK = 2**31
# Larger than any sorted set, and still a rank that Redis accepts.
_LARGEST_RANK = 2**62

_Method = TypeVar('_Method', bound=Callable[..., Any])


def by_name_only(method: _Method) -> _Method:
    """Have a method that takes everything by name say so, and which name a value is probably meant for."""

    @functools.wraps(method)
    def checked(self: Any, *values: Any, **options: Any) -> Any:
        if values:
            raise TypeError(f'{method.__name__}() takes its arguments by name: {_with_its_name(values[0])}')
        return method(self, **options)

    return cast('_Method', checked)


def _with_its_name(value: Any) -> str:
    if isinstance(value, (date, timedelta)):
        return f'for jobs that ended before that give ended_before={value!r}, or ended_after= for those after it'
    if isinstance(value, str):
        return f'for the jobs of a function give func_name={value!r}, for a text in the exception exc_info={value!r}'
    return f'{value!r} has none. Write dry_run=True, for example'


def chunk_size_of(value: Any) -> int:
    """Check `chunk_size`, the number of entries to read at a time, and return it."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f'chunk_size={value!r} is not an int: give the number of entries to read at a time, like 1000')
    if not 0 < value < _LARGEST_CHUNK:
        raise ValueError(f'chunk_size={value}: give a number of entries from 1 to {_LARGEST_CHUNK - 1}')
    return value


def progress_of(value: Any) -> Any:
    """Check `progress`, a callback or None, and return it."""
    if value is not None and not callable(value):
        raise TypeError(f'progress={value!r} cannot be called: give a function of a count and a total')
    return value


def most_found_of(value: Any) -> int | None:
    """Check `limit`, the greatest number of results, and return it; None for all."""
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f'limit={value!r} is not an int: give the greatest number to find, or leave it out for all')
    if value < 0:
        raise ValueError(f'limit={value}: give the greatest number to find, or leave it out for all')
    # itertools take no larger one.
    return min(value, sys.maxsize)


def most_changes_of(value: Any) -> int | None:
    """Check `limit`, the most jobs to change, and return it; None for all."""
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f'limit={value!r} is not an int: give the most jobs to change, or leave it out for all')
    if value < 0:
        raise ValueError(f'limit={value}: give the most jobs to change, or leave it out for all')
    return value


def rate_of(value: Any) -> float:
    """Check `rate`, the most jobs to change per second, and return it."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f'rate={value!r} is not a number: give how many jobs to change per second, or leave it out')
    try:
        rate = float(value)
    except OverflowError:
        rate = math.inf
    if not 0 < rate < math.inf:
        raise ValueError(
            f'rate={value!r}: give how many jobs to change per second, like 100 or 0.5, or leave it out for any number'
        )
    return rate


def keep_newest_of(value: Any) -> int:
    """Check `keep_newest`, the number of jobs to keep, and return it."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f'keep_newest={value!r} is not an int: give how many jobs to keep, or leave it out for none')
    if value < 1:
        raise ValueError(f'keep_newest={value}: give how many jobs to keep, at least 1, or leave it out for none')
    return value


def replicas_of(value: Any) -> int:
    """Check `wait_replicas`, the number of replicas to wait for, and return it."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        kind = ValueError if type(value) is int else TypeError
        raise kind(f'wait_replicas={value!r} is not a number of replicas: give one like 1, or 0 for none')
    return value


def is_by_end(order_by: Any, limit: int | None) -> bool:
    """Check `order_by`, and return whether it is 'end', which needs a limit."""
    if order_by not in ('score', 'end'):
        raise ValueError(f"order_by={order_by!r} is not an order: give 'score', or 'end' for when the jobs ended")
    if order_by == 'end' and limit is None:
        raise ValueError("order_by='end' needs limit=: give the greatest number of jobs to find and keep in memory")
    return bool(order_by == 'end')


def no_jobs_to_change(entries: str, method: str) -> NotImplementedError:
    """Return the error for a registry of executions, on which RQ does not support `method` ('requeue', say)."""
    return NotImplementedError(
        f'{entries} are executions, which RQ cannot {method}: '
        'stop jobs with stop_many() of a started registry, fail those whose worker is gone with fail_many(), or remove '
        'them with remove_many()'
    )


def scores_of(min_score: Any, max_score: Any) -> tuple[float | None, float | None]:
    """Check the bounds of the scores, None for no bound, and return them."""
    low = None if min_score is None else score_of('min_score', min_score)
    high = None if max_score is None else score_of('max_score', max_score)
    if low is not None and high is not None and low > high:
        raise ValueError(
            f'min_score={min_score!r} is greater than max_score={max_score!r}, so nothing matches: swap them'
        )
    return low, high


def score_of(name: str, value: Any) -> float:
    """Check a bound of the scores, in most registries a Unix timestamp in seconds, and return it as a float."""
    if isinstance(value, datetime):
        raise TypeError(
            f'{name}={value!r} is not a number: give a score, in most registries value.timestamp() '
            'of a datetime with a time zone'
        )
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(
            f'{name}={value!r} is not a number: give a score, in most registries a Unix timestamp in seconds'
        )
    try:
        score = float(value)
    except OverflowError:
        score = math.nan
    if math.isnan(score):
        raise ValueError(f'{name}={value!r} is not a score: give a number that a float can hold, or leave it out')
    return score


def check_holds_jobs(registry: Any) -> None:
    """Raise TypeError for an ExecutionRegistry, whose entries are not jobs."""
    if isinstance(registry, ExecutionRegistry):
        raise TypeError(
            f'{type(registry).__name__} holds the executions of one job, not jobs: give a registry of jobs, '
            'or use get_page() and iter_job_ids() for the ids of the executions'
        )


def check_is_collection(jobs: Any) -> None:
    """Raise TypeError if `jobs` is not an iterable, or is a single id."""
    if isinstance(jobs, (str, bytes)) or not isinstance(jobs, Iterable):
        raise TypeError(f'{jobs!r} is not a collection of job ids: for one job, give a list of one')


def ranks_of(page: Any, per_page: Any) -> tuple[int, int]:
    """Check the number and the size of a page, and return the ranks of its first and last entry."""
    for name, value, remedy in (
        ('page', page, 'pages are counted from 1'),
        ('per_page', per_page, 'give how many entries a page has, at least 1'),
    ):
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f'{name}={value!r} is not an int: {remedy}')
        if value < 1:
            raise ValueError(f'{name}={value}: {remedy}')
    start = (page - 1) * per_page
    return min(start, _LARGEST_RANK), min(start + per_page - 1, _LARGEST_RANK)


def job_ids_of(registry: Any, jobs: Iterable[Any]) -> list[str | bytes | int | float]:
    """Check a collection of ids or Job objects, and return the ids."""
    check_is_collection(jobs)
    ids = [job.id if isinstance(job, (registry.job_class, Job)) else job for job in jobs]
    for job_id in ids:
        if not isinstance(job_id, (str, bytes, int, float)) or isinstance(job_id, bool):
            raise TypeError(f'{job_id!r} is not a job id: give ids, or Job objects')
    return ids


def text_ids_of(jobs: Iterable[Any]) -> list[str]:
    """Check a collection of ids or Job objects, and return the ids as str."""
    check_is_collection(jobs)
    return list(map(text_id_of, jobs))


def text_id_of(job_or_id: Any) -> str:
    """Return the id of a job, given by its id or as a Job."""
    if isinstance(job_or_id, str):
        return job_or_id
    if isinstance(job_or_id, Job):
        return str(job_or_id.id)
    if isinstance(job_or_id, bytes):
        return job_or_id.decode()
    raise TypeError(f'{job_or_id!r} is not a job: give job ids (str) or Job objects')
