"""trim() for many queues of a Redis."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from .._bulk.trimming import filters_of_trim
from .._fastpath.rq_keys import REGISTRIES
from .._query.filters import JobFilters
from .operations import BulkResults, purge

if TYPE_CHECKING:
    from redis import Redis
    from rq import Queue
    from typing_extensions import Unpack

    from .._bulk.options import Progress


def trim(
    connection: Redis | str,
    registry: Literal['failed', 'finished', 'canceled'] = 'failed',
    queues: Iterable[str | Queue] | str | Queue | None = None,
    *,
    keep: int | None = None,
    older_than: datetime | timedelta | float | None = None,
    progress: Progress | None = None,
    dry_run: bool = False,
    chunk_size: int | None = None,
    wait_replicas: int = 0,
    rate: float | None = None,
    limit: int | None = None,
    **filters: Unpack[JobFilters],
) -> BulkResults:
    """Delete the old jobs of a registry of many queues: all but the newest of each, or those before a time.

    Args:
        connection: A redis-py client, or a URL.
        registry: 'failed', 'finished' or 'canceled'.
        queues: Names of queues, or Queue objects, whose job class and serializer are then used; None for all queues.
        keep: How many of the jobs that match to keep in each queue, the newest.
        older_than: The time before which jobs are old: when they ended, or were canceled. A datetime with a time zone,
            a timedelta before now, or a Unix timestamp in seconds. Give this or `keep`.
        progress, dry_run, chunk_size, wait_replicas, rate, limit: See BulkOptions.
        **filters: See JobFilters. Without filters, all jobs match.

    Returns:
        A BulkResults, as purge() returns.

    Raises:
        TypeError, ValueError, NotImplementedError, redis.exceptions.RedisError: As purge().

    Round trips:
        Those of purge().

    Source:
        rq.Queue.all, rq.registry.BaseRegistry.remove.
    """
    kind = REGISTRIES.get(registry) if isinstance(registry, str) else None
    if kind is not None:
        filters = filters_of_trim(kind, keep, older_than, filters)
    return purge(
        connection,
        registry,
        queues,
        keep_newest=keep,
        progress=progress,
        dry_run=dry_run,
        chunk_size=chunk_size,
        wait_replicas=wait_replicas,
        rate=rate,
        limit=limit,
        **filters,
    )
