"""count_by() over many queues."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .._fastpath.clients.by_url import client_from
from .._fastpath.exchange import INTEGER, exchange
from .._fastpath.server_errors import concerns_one_queue, meaning_of, note_key
from .._query.count_by import CountOperation, JobGroups
from .._query.filters import JobFilters
from .selection import registries_in, registry_class_of

if TYPE_CHECKING:
    from redis import Redis
    from rq import Queue
    from typing_extensions import Unpack

    from .._query.count_by import GroupName, TimeName


def count_by(
    connection: Redis | str,
    *names: GroupName,
    queues: Iterable[str | Queue] | str | Queue | None = None,
    registry: str = 'failed',
    time: TimeName = 'end',
    chunk_size: int = 1000,
    **filters: Unpack[JobFilters],
) -> JobGroups:
    """Count the jobs of a registry of many queues, or those that match, in groups of what they have in common.

    Args:
        connection: A redis-py client, or a URL.
        names: What the jobs of a group have in common, as in a registry's count_by(): func_name, exc_type, last_line,
            queue, worker_name, status, day, hour. Without 'queue', a group has jobs of all queues.
        queues: Names of queues, or Queue objects, whose job class and serializer are then used; None for all queues.
        registry: 'failed', 'finished', 'started', 'deferred', 'scheduled', 'canceled', or with RQ 3 'ready'. A started
            job is counted once for each of its executions.
        time: The time that first, last, day and hour are of: 'end', 'created_at', 'enqueued_at' or 'started_at'.
        chunk_size: How many entries to read at a time.
        **filters: See JobFilters. Without filters, all jobs are counted.

    Returns:
        A JobGroups. If one queue cannot be counted, its error is in `errors`, and the other queues are counted.

    Raises:
        TypeError, ValueError: An argument is wrong, or names a queue that does not exist.
        redis.exceptions.RedisError: An error that affects all queues.

    Round trips:
        Those of the registry's count_by() for each queue, and one to find the queues.

    Source:
        rq.Queue.all, rq.job.Job.restore, Job.exc_info; Redis HMGET, XREVRANGE.
    """
    counting = CountOperation(names, time, chunk_size, filters)
    registry_class = registry_class_of(registry)
    client = client_from(connection)
    errors: dict[str, Exception] = {}
    for name, found in registries_in(client, registry_class, queues).items():
        try:
            counting.count(found)
        except Exception as error:
            if not concerns_one_queue(error):
                raise
            errors[name] = _with_key(client, found, error)
    return counting.result(errors)


def _with_key(client: Any, registry: Any, error: Exception) -> Exception:
    """Note on the error that it concerns the registry's key, if it does; return the error."""
    if isinstance(error, UnicodeDecodeError):
        return note_key(error, registry.key)
    (reply,) = exchange(client, [(INTEGER, 'ZCARD', registry.key)])
    if isinstance(reply, Exception) and meaning_of(reply) is meaning_of(error):
        note_key(error, registry.key)
    return error
