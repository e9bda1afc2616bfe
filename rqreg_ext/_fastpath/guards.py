"""The functions that must be RQ's own, unpatched, when commands or a script of ours replace its methods.

A guard answers that at each call. Its names are those that RQ's method uses, however indirectly.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from rq import job

from .. import _core
from .releases import release
from .rq_methods import AnyRequirement, ConstantRequirement, Requirement, make_look, required_of

_REGISTRY = 'rq.registry'
# Names that RQ's modules import from one another.
_HOMES = {
    'as_text': 'rq.utils',
    'backend_class': 'rq.utils',
    'current_timestamp': 'rq.utils',
    'decode_redis_hash': 'rq.utils',
    'get_version': 'rq.utils',
    'now': 'rq.utils',
    'parse_composite_key': 'rq.utils',
    'parse_timeout': 'rq.utils',
    'resolve_serializer': 'rq.serializers',
    'str_to_date': 'rq.utils',
    'utcformat': 'rq.utils',
    'Job': 'rq.job',
    'Queue': 'rq.queue',
    'RateLimitRegistry': 'rq.rate_limit',
    'Webhook': 'rq.webhook',
}
# What the methods of a registry call outside the registry: a clock, and the functions that make text of an entry.
_CLOCK = ('rq.registry.current_timestamp', 'rq.executions.current_timestamp', 'rq.utils.now')
_TEXTS = ('rq.registry.as_text', 'rq.registry.parse_composite_key')
_HAS_WEBHOOKS = hasattr(job, 'Webhook')
# Job.fetch()
_USED_BY_FETCH = (
    'rq.registry.Job',
    'rq.job.Job',
    'rq.job.Job.__init__',
    'rq.job.Job.data',
    'rq.job.Job.fetch',
    'rq.job.Job.id',
    'rq.job.Job.key',
    'rq.job.Job.key_for',
    'rq.job.Job.refresh',
    'rq.job.Job.restore',
    'rq.job.as_text',
    'rq.job.decode_redis_hash',
    'rq.job.now',
    'rq.job.parse_job_id',
    'rq.job.parse_timeout',
    'rq.job.resolve_serializer',
    'rq.job.str_to_date',
    'rq.job.validate_job_id',
    # By which these make texts and dates, and the clock of an ExecutionRegistry.
    'rq.utils.as_text',
    'rq.utils.now',
    'rq.utils.utcparse',
    *(('rq.job.Webhook', 'rq.webhook.Webhook.__init__', 'rq.webhook.Webhook.from_dict') if _HAS_WEBHOOKS else ()),
)
# RateLimitRegistry.cancel(), and the functions that make the registry
_USED_TO_LEAVE_LIMIT = (
    'RateLimitRegistry',
    *(
        f'RateLimitRegistry.{name}'
        for name in (
            '__init__',
            'allowed_key',
            'cancel',
            'concurrency',
            'config_key',
            'from_job',
            'rate_limited_key',
            'release_stale_and_enqueue',
        )
    ),
)
# Queue._enqueue_rate_limited_job()
_USED_TO_ENTER_LIMIT = ('acquire_and_enqueue', 'add_to_rate_limited', 'register')


def _of_rate_limits(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f'rq.rate_limit.{name}' for name in names) if release.cleans_rate_limits else ()


# Queue()
_QUEUE_MADE = (
    'rq.queue.Queue',
    'rq.queue.Queue.__init__',
    'rq.queue.Queue.key',
    'rq.queue.parse_timeout',
    'rq.queue.resolve_serializer',
)
# The registries by which a job removes itself, or is canceled.
_JOB_REGISTRIES = (
    'FinishedJobRegistry',
    'FailedJobRegistry',
    'DeferredJobRegistry',
    'ScheduledJobRegistry',
    'CanceledJobRegistry',
)
# Job._remove_from_registries()
_JOB_REMOVED = (
    *_QUEUE_MADE,
    'rq.queue.Queue.remove',
    'rq.job.Job._fetch_status',
    'rq.job.Job._remove_from_registries',
    'rq.job.Job.failed_job_registry',
    'rq.job.Job.get_status',
    'rq.job.Job.has_rate_limit',
    'rq.job.Job.is_canceled',
    'rq.job.Job.is_deferred',
    'rq.job.Job.is_failed',
    'rq.job.Job.is_finished',
    'rq.job.Job.is_scheduled',
    'rq.job.Job.is_started',
    'rq.job.Job.is_stopped',
    'rq.registry.BaseRegistry',
    'rq.registry.backend_class',
    'rq.registry.resolve_serializer',
    *(f'rq.registry.{name}' for name in _JOB_REGISTRIES),
)
# BaseRegistry.remove(delete_job=True): Job.fetch(), Job.delete()
_USED_BY_DELETE = (
    *_USED_BY_FETCH,
    *_JOB_REMOVED,
    'rq.job.Job.delete',
    'rq.job.Job.dependencies_key',
    'rq.job.Job.dependents_key',
    'rq.job.Job.dependents_key_for',
    'rq.job.Job.execution_registry',
    'rq.executions.ExecutionRegistry',
    'rq.executions.ExecutionRegistry.__init__',
    'rq.executions.ExecutionRegistry.cleanup',
    'rq.executions.ExecutionRegistry.delete',
    'rq.executions.ExecutionRegistry.get_execution_ids',
    'rq.executions.ExecutionRegistry.get_executions',
    'rq.executions.current_timestamp',
    *(('rq.results.Result', 'rq.results.Result.get_key') if release.deletes_results else ()),
    'rq.group.Group',
    'rq.group.Group.__init__',
    'rq.group.Group.delete_job',
    'rq.group.Group.fetch',
    'rq.group.Group.get_key',
    *_of_rate_limits(_USED_TO_LEAVE_LIMIT),
)
# BaseRegistry.requeue(): Job.fetch(), Queue._enqueue_job()
_USED_BY_REQUEUE = (
    *_USED_BY_FETCH,
    *_QUEUE_MADE,
    'rq.registry.Queue',
    'rq.queue.Queue._enqueue_async_job',
    'rq.queue.Queue._enqueue_job',
    'rq.queue.Queue._enqueue_rate_limited_job',
    'rq.queue.Queue._persist_job',
    'rq.queue.Queue._prepare_for_queue',
    'rq.queue.Queue.get_redis_server_version',
    'rq.queue.Queue.push_job_id',
    'rq.queue.get_version',
    'rq.job.Job._serialize_meta',
    'rq.job.Job.cleanup',
    'rq.job.Job.dependencies_key',
    'rq.job.Job.dependents_key',
    'rq.job.Job.dependents_key_for',
    'rq.job.Job.get_status',
    'rq.job.Job.has_rate_limit',
    'rq.job.Job.save',
    'rq.job.Job.set_status',
    'rq.job.Job.to_dict',
    'rq.job.utcformat',
    *(('rq.webhook.Webhook.to_dict',) if _HAS_WEBHOOKS else ()),
    *_of_rate_limits((*_USED_TO_LEAVE_LIMIT, *(f'RateLimitRegistry.{name}' for name in _USED_TO_ENTER_LIMIT))),
)
# Job.fetch(), Job.cancel()
_USED_BY_CANCEL = (
    *_USED_BY_FETCH,
    *_JOB_REMOVED,
    'rq.job.Job.cancel',
    'rq.job.Job.set_status',
    'rq.registry.current_timestamp',
    *_of_rate_limits(_USED_TO_LEAVE_LIMIT),
)
# How attributes are read and set: nothing of RQ's is in the way, and no method where the value is None.
_ATTRIBUTES = {
    '__setattr__': object.__setattr__,
    '__delattr__': object.__delattr__,
    '__getattribute__': object.__getattribute__,
    '__getattr__': None,
}
_WITH_PLAIN_ATTRIBUTES = (('rq.job', 'Job'), ('rq.queue', 'Queue'))
# The scripts are given these values as they were when this module was imported.
_KEYS = (
    ('rq.job', 'Job', 'redis_job_namespace_prefix'),
    ('rq.queue', 'Queue', 'redis_queue_namespace_prefix'),
    *(('rq.registry', name, 'key_template') for name in _JOB_REGISTRIES),
    ('rq.executions', 'ExecutionRegistry', 'key_template'),
    ('rq.group', 'Group', 'REDIS_GROUP_NAME_PREFIX'),
)
_LIMIT_KEYS = (('rq.rate_limit', 'RateLimitRegistry', 'rl_keys_key'),) if release.cleans_rate_limits else ()
KEYS = (*_KEYS, *_LIMIT_KEYS)
# The names of all guards, and what relies on each: tools/rq_changes.py compares these functions with a new RQ's.
relied_on: dict[str, list[str]] = {}


def defining_name(dotted: str) -> str:
    """Return the name under which RQ defines what one of its modules may have imported."""
    package, module, name, *attribute = dotted.split('.')
    return '.'.join([_HOMES.get(name, f'{package}.{module}'), name, *attribute])


def _guard(
    call: str,
    names: tuple[str, ...],
    inherited: tuple[tuple[str, ...], ...] = (),
    constants: tuple[tuple[str, str, str], ...] = (),
) -> _core.Guard:
    """Return a Guard that tells at each call whether all of these are RQ's own.

    call: what the guard is for.
    inherited: (name, class, ...) of methods of BaseRegistry that these classes have from it.
    constants: (module, class, name) of attributes that are what they were.
    """
    for name in names:
        relied_on.setdefault(name, []).append(call)
    kept = [
        ConstantRequirement(module, owner, name, getattr(vars(import_module(module))[owner], name))
        for module, owner, name in constants
    ]
    kept += [
        ConstantRequirement(module, owner, name, value)
        for module, owner in _WITH_PLAIN_ATTRIBUTES
        if f'{module}.{owner}' in names
        for name, value in _ATTRIBUTES.items()
    ]

    def required() -> Iterator[AnyRequirement]:
        yield from required_of(dict.fromkeys(names), _HOMES)
        for name, *owners in inherited:
            for owner in owners:
                yield Requirement(_REGISTRY, owner, name, (_REGISTRY, f'BaseRegistry.{name}'))
        yield from kept

    return _core.Guard(make_look(required))


_INHERITED = (
    ('remove', *_JOB_REGISTRIES),
    ('__init__', *(name for name in _JOB_REGISTRIES if name != 'ScheduledJobRegistry')),
)
clock_guard = _guard('the time', _CLOCK)
texts_guard = _guard('entries', _TEXTS)
serializer_guard = _guard('new registries', ('rq.registry.resolve_serializer',))
delete_guard = _guard('deletions', _USED_BY_DELETE, _INHERITED, _KEYS)
requeue_guard = _guard(
    'requeues', _USED_BY_REQUEUE, (), (*_KEYS[:2], ('rq.queue', 'Queue', 'DEFAULT_TIMEOUT'), *_LIMIT_KEYS)
)
cancel_guard = _guard('cancellations', _USED_BY_CANCEL, (*_INHERITED, ('add', 'CanceledJobRegistry')), _KEYS)
restore_guard = _guard(
    'jobs that are read',
    ('rq.job.Job.restore', 'rq.job.decode_redis_hash', 'rq.job.str_to_date', 'rq.utils.as_text', 'rq.utils.utcparse'),
)
# Moving a job to the registry of another queue
move_guard = _guard(
    'moves',
    (*_USED_BY_FETCH, 'rq.job.Job.get_status', 'rq.queue.Queue', 'rq.queue.Queue.key', 'rq.registry.BaseRegistry'),
    (),
    _KEYS,
)
# Queue.empty()
empty_guard = _guard(
    'empty()',
    (
        'rq.queue.Queue',
        'rq.queue.Queue.empty',
        *(('rq.results.Result', 'rq.results.Result.get_key') if release.deletes_results else ()),
    ),
)
stop_guard = _guard('stop_all()', ('rq.command.send_stop_job_command', 'rq.command.send_command'))
results_guard = _guard('results that are read', ('rq.results.Result', 'rq.results.Result.fetch_latest'))
# The functions of RQ that each script replaces: a job class that overrides one is left to RQ.
requeue_functions = tuple(dict.fromkeys(_USED_BY_REQUEUE))
cancel_functions = tuple(dict.fromkeys(_USED_BY_CANCEL))
move_functions = _USED_BY_FETCH
# A Job that is given to remove(delete_job=True) must have none of these set on itself.
delete_methods = tuple(name.rpartition('.')[2] for name in _USED_BY_DELETE if name.startswith('rq.job.Job.'))


# clean_registries()
clean_guard = _guard(
    'clean_registries()',
    ('rq.registry.RateLimitRegistry', *_of_rate_limits(('RateLimitRegistry.all',)))
    if release.cleans_rate_limits
    else (),
    (),
    _LIMIT_KEYS,
)
