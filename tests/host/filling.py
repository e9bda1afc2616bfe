"""Registries with known content, written in few large commands."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import redis
    from rq.registry import BaseRegistry

LARGE = 500_000
MEDIUM = 20_000
NEVER = 4_000_000_000
"""A score far in the future: no cleanup drops the entry."""


def job_ids(count: int, prefix: str = 'job') -> list[str]:
    """Return ids of equal length, in the order in which `fill` puts them into a registry."""
    return [f'{prefix}-{number:032d}' for number in range(count)]


def started_entries(count: int) -> list[str]:
    """Return entries of a started registry, `job_id:execution_id`, for the ids of `job_ids`."""
    return [f'{job_id}:execution' for job_id in job_ids(count)]


def fill(connection: redis.Redis, registry: BaseRegistry, entries: Iterable[str]) -> None:
    """Put the entries into the registry with rising scores."""
    scores = itertools.count(NEVER)
    remaining = iter(entries)
    while chunk := list(itertools.islice(remaining, 20_000)):
        connection.zadd(registry.key, dict(zip(chunk, scores, strict=False)))
