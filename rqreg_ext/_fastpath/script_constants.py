"""The arguments of scripts that are the same in all calls: keys, their prefixes, and what a requeue writes."""

from __future__ import annotations

import zlib
from typing import Any

from rq import executions, group, job, queue, registry

from .releases import release
from .script_arguments import Value, among, first_in_order


def _rate_limits() -> Any:
    """Return RQ's class of rate limits, where this RQ has them."""
    if not release.cleans_rate_limits:
        return None
    from rq.rate_limit import RateLimitRegistry

    return RateLimitRegistry


_rate_limits_class = _rate_limits()
rate_limits_key = _rate_limits_class.rl_keys_key if _rate_limits_class is not None else None


def _rate_limit_prefix() -> bytes:
    if _rate_limits_class is None:
        return b''
    # __init__() needs a client, and the key of the configuration does not.
    without_client = _rate_limits_class.__new__(_rate_limits_class)
    without_client.key = ''
    return str(without_client.config_key).encode()


def _prefix(template: str) -> bytes:
    """Return the part of a key template before the name."""
    prefix, _, suffix = template.format('\0').partition('\0')
    if suffix:
        raise ValueError(f'key template {template!r} of this RQ has text behind the name')
    return prefix.encode()


def _results_prefix() -> bytes:
    if not release.deletes_results:
        return b''
    from rq.results import Result

    return str(Result.get_key('')).encode()  # type: ignore[no-untyped-call]


# By the names of the scripts' arguments.
key_prefixes: dict[str, bytes] = {
    'job_prefix': job.Job.redis_job_namespace_prefix.encode(),
    'queue_prefix': queue.Queue.redis_queue_namespace_prefix.encode(),
    'execution_prefix': _prefix(executions.ExecutionRegistry.key_template),
    'result_prefix': _results_prefix(),
    'finished_prefix': _prefix(registry.FinishedJobRegistry.key_template),
    'deferred_prefix': _prefix(registry.DeferredJobRegistry.key_template),
    'scheduled_prefix': _prefix(registry.ScheduledJobRegistry.key_template),
    'failed_prefix': _prefix(registry.FailedJobRegistry.key_template),
    'canceled_prefix': _prefix(registry.CanceledJobRegistry.key_template),
    'group_prefix': group.Group.REDIS_GROUP_NAME_PREFIX.encode(),
}
constants: dict[str, Value] = {
    **key_prefixes,
    # Only scripts of bulk operations know of rate limits.
    'rate_limit_prefix': _rate_limit_prefix(),
    'rate_limits_key': rate_limits_key or '',
    'default_timeout': str(queue.Queue.DEFAULT_TIMEOUT).encode(),
    'empty_exc_info': zlib.compress(b''),
}
# The arguments that the core passes first, before the arguments of the call.
delete_arguments = first_in_order('delete_job', among('delete_job', constants))
requeue_arguments = first_in_order('requeue_job', among('requeue_job', constants))
