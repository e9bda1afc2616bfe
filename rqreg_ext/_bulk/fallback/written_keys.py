"""Whether the keys that a transaction writes have the types that RQ's commands expect."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rq import Queue

from ..._fastpath.exchange import INTEGER, VALUE, Command, exchange, without_errors
from ..._fastpath.rq_keys import CANCELED, REGISTRY_KIND_OF_STATUS, executions_key
from ..._fastpath.server_errors import is_denied

# For each command that RQ writes into a transaction and that expects a key of a certain type, a read that does too.
_READS = {
    'HSET': 'HLEN',
    'LPUSH': 'LLEN',
    'LREM': 'LLEN',
    'RPUSH': 'LLEN',
    'SADD': 'SCARD',
    'SREM': 'SCARD',
    'ZADD': 'ZCARD',
    'ZREM': 'ZCARD',
}


def check_written_keys(job: Any, pipeline: Any, reads_executions: bool = True) -> None:
    """Raise the server's error if a key that the transaction writes has another type.

    It must be raised before the transaction: an error within does not undo the commands before it.
    """
    reads: list[tuple[str, ...]] = [
        (_READS[words[0]], words[1]) for words, _ in pipeline.command_stack if words[0] in _READS
    ]
    _check_reads(job.connection, reads + _reads_of_rate_limit(job, reads_executions))


def check_canceled_keys(job: Any, remove_from_dependencies: bool) -> None:
    """Raise the server's error if a key that Job.cancel() writes in its own transaction has another type."""
    queue = Queue(job.origin, connection=job.connection)
    changed = dict.fromkeys((REGISTRY_KIND_OF_STATUS.get(job.get_status(refresh=False)), CANCELED))
    reads: list[tuple[str, ...]] = [('LLEN', queue.key)]
    reads += [('ZCARD', registry_kind.key(job.origin)) for registry_kind in changed if registry_kind is not None]
    if remove_from_dependencies:
        # By a command that RQ sends too: a client that is used by its methods sends no other.
        reads += [('SISMEMBER', job.dependents_key_for(job_id), ' ') for job_id in job._dependency_ids]
    _check_reads(job.connection, reads + _reads_of_rate_limit(job, reads_executions=True))


def _reads_of_rate_limit(job: Any, reads_executions: bool) -> list[tuple[str, ...]]:
    """Return reads of the keys that RQ uses for a job's rate limit; a requeue does not read its executions."""
    if not getattr(job, 'has_rate_limit', False):
        return []
    from rq.rate_limit import RateLimitRegistry

    limit = RateLimitRegistry.from_job(job)
    used = [limit.allowed_key, limit.rate_limited_key]
    if reads_executions:
        used.append(executions_key(job.id))
    # RQ reads how many slots there are after it has changed the job.
    concurrency = ('HGET', limit.config_key, 'concurrency')
    return [*(('ZCARD', key) for key in used), concurrency, ('LLEN', Queue(job.origin, connection=job.connection).key)]


def _check_reads(connection: Any, reads: Iterable[tuple[str, ...]]) -> None:
    """Raise the server's error to one of these reads. A missing right is not an error, as RQ does not send them."""
    commands: list[Command] = [(VALUE if read[0] == 'HGET' else INTEGER, *read) for read in dict.fromkeys(reads)]
    without_errors([reply for reply in exchange(connection, commands) if not is_denied(reply)])
