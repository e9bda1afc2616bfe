"""What RQ's users write, with RQ's own methods, for what RQ has no call for: a job at a time, or many at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

CHUNK = 1000


def purge(registry: Any, count: int) -> int:
    """Delete the first jobs, as RQ's documentation does it."""
    ids = registry.get_job_ids(0, count - 1)
    for job_id in ids:
        registry.remove(job_id, delete_job=True)
    return len(ids)


def remove_many(registry: Any, ids: Iterable[str]) -> int:
    """Remove entries."""
    return sum(registry.remove(job_id) for job_id in ids)


def requeue_all(registry: Any, count: int) -> int:
    """Requeue the first jobs, as `rq requeue --all` does it."""
    ids = registry.get_job_ids(0, count - 1)
    for job_id in ids:
        registry.requeue(job_id)
    return len(ids)


def cancel_many(registry: Any, ids: Sequence[str]) -> int:
    """Cancel jobs."""
    for job_id in ids:
        registry.job_class.fetch(job_id, connection=registry.connection).cancel()
    return len(ids)


def purge_of_found(registry: Any, description: str, count: int) -> int:
    """Delete those of the first jobs that a glob on the description finds."""
    found = list(find(registry, description, count))
    for job_id in found:
        registry.remove(job_id, delete_job=True)
    return len(found)


def requeue_of_found(registry: Any, description: str, count: int) -> int:
    """Requeue those of the first jobs that a glob on the description finds."""
    found = list(find(registry, description, count))
    for job_id in found:
        registry.requeue(job_id)
    return len(found)


def entries(registry: Any) -> list[tuple[str, float]]:
    """Return all entries with their scores."""
    found = registry.connection.zrange(registry.key, 0, -1, withscores=True)
    return [(entry.decode(), score) for entry, score in found]


def page(registry: Any, start: int, size: int) -> tuple[list[str], int]:
    """Return the ids of a page, and how many there are in all."""
    return registry.get_job_ids(start, start + size - 1), registry.count


def jobs(registry: Any, start: int, size: int) -> list[Any]:
    """Return the jobs of a page."""
    ids = registry.get_job_ids(start, start + size - 1)
    found: list[Any] = registry.job_class.fetch_many(ids, connection=registry.connection)
    return found


def find(registry: Any, description: str, count: int) -> Iterator[str]:
    """Find jobs among the first ones by a glob on their description."""
    for start in range(0, count, CHUNK):
        for job in jobs(registry, start, min(CHUNK, count - start)):
            if job is not None and fnmatchcase(job.description, description):
                yield job.id


def count_failures(registry: Any, count: int) -> Counter[tuple[str, str]]:
    """Count the first jobs by their function and the class of their exception."""
    counts: Counter[tuple[str, str]] = Counter()
    for start in range(0, count, CHUNK):
        for job in jobs(registry, start, min(CHUNK, count - start)):
            counts[job.func_name, type_in(job.latest_result().exc_string)] += 1
    return counts


def type_in(text: str) -> str:
    """Return the class of the exception that a traceback ends with, if its message has one line."""
    return text.strip().splitlines()[-1].partition(':')[0]


def wrong(registry: Any, count: int) -> int:
    """Count the first entries whose job is gone, or is not what the registry holds."""
    found = 0
    for start in range(0, count, CHUNK):
        for job in jobs(registry, start, min(CHUNK, count - start)):
            found += job is None or job.get_status(refresh=False) != 'failed'
    return found


def repair(registry: Any, count: int) -> int:
    """Remove those of the first entries whose job is gone."""
    gone = []
    for start in range(0, count, CHUNK):
        ids = registry.get_job_ids(start, min(start + CHUNK, count) - 1)
        found = registry.job_class.fetch_many(ids, connection=registry.connection)
        gone += [job_id for job_id, job in zip(ids, found, strict=True) if job is None]
    return remove_many(registry, gone)
