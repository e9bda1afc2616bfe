"""The names of RQ's keys, and the registry that holds jobs of each status."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

from rq import executions as rq_executions
from rq import queue as rq_queue
from rq import registry as rq_registry
from rq import worker_registration
from rq.executions import Execution, ExecutionRegistry
from rq.group import Group
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job, JobStatus
from rq.results import Result
from rq.worker import BaseWorker

try:
    from rq.rate_limit import RateLimitRegistry
except ImportError:
    RateLimitRegistry = None  # type: ignore[assignment, misc]


# Programs also put a prefix into the class attributes of RQ by which its keys are made, at any time. So these are
# read at each call, from the class that RQ's module has then. EXECUTION_PREFIX is no class attribute of RQ.


class RegistryKind(NamedTuple):
    """A kind of registry, and the statuses of the jobs that it holds."""

    rq_class: type[rq_registry.BaseRegistry]
    statuses: frozenset[str]

    def key(self, queue: str) -> str:
        """Return the key of this registry of a queue."""
        return self.template.format(queue)

    @property
    def template(self) -> str:
        """The key of this registry, with a place for the name of the queue."""
        template: str = getattr(rq_registry, self.rq_class.__name__).key_template
        return template

    def __str__(self) -> str:
        return self.rq_class.__name__


STARTED = RegistryKind(rq_registry.StartedJobRegistry, frozenset({'started'}))
FINISHED = RegistryKind(rq_registry.FinishedJobRegistry, frozenset({'finished'}))
FAILED = RegistryKind(rq_registry.FailedJobRegistry, frozenset({'failed', 'stopped'}))
DEFERRED = RegistryKind(rq_registry.DeferredJobRegistry, frozenset({'deferred'}))
SCHEDULED = RegistryKind(rq_registry.ScheduledJobRegistry, frozenset({'scheduled'}))
CANCELED = RegistryKind(rq_registry.CanceledJobRegistry, frozenset({'canceled'}))
READY = (
    RegistryKind(rq_registry.ReadyJobRegistry, frozenset({'ready_to_enqueue'}))
    if hasattr(rq_registry, 'ReadyJobRegistry')
    else None
)
# The registries whose entries are job ids. Those of StartedJobRegistry are job_id:execution_id.
BY_JOB_ID = tuple(
    registry_kind for registry_kind in (FINISHED, FAILED, DEFERRED, SCHEDULED, CANCELED, READY) if registry_kind
)
REGISTRY_KINDS = (STARTED, *BY_JOB_ID)
# The names of the registries, as in `queue.failed_job_registry`; 'ready' exists from RQ 3 on.
REGISTRY_NAMES = ('started', 'finished', 'failed', 'deferred', 'scheduled', 'canceled', 'ready')
# Those of the installed RQ, by name.
REGISTRIES = dict(zip(REGISTRY_NAMES, REGISTRY_KINDS, strict=False))

REGISTRY_KIND_OF_STATUS = {
    status: registry_kind for registry_kind in REGISTRY_KINDS for status in registry_kind.statuses
}
STATUSES = frozenset(status.value for status in JobStatus)


def registry_kind_of(registry: Any) -> RegistryKind | None:
    """Return the kind of a registry; None if it does not hold jobs of certain statuses, as an ExecutionRegistry."""
    return next(
        (registry_kind for registry_kind in REGISTRY_KINDS if isinstance(registry, registry_kind.rq_class)), None
    )


def is_execution_registry(registry: Any) -> bool:
    """Return whether this is the registry of a job's executions."""
    return isinstance(registry, ExecutionRegistry)


class JobKeys:
    """The keys of the jobs of one class."""

    def __init__(self, job_class: type[Job]) -> None:
        self.job_class = job_class
        self.prefix = job_class.redis_job_namespace_prefix

    def job(self, job_id: str) -> str:
        """Return the key of a job's hash."""
        return self.prefix + job_id

    def dependents(self, job_id: str) -> str:
        """Return the key of the set of the jobs that wait for this one."""
        return f'{self.prefix}{job_id}:dependents'

    def dependencies(self, job_id: str) -> str:
        """Return the key of the set of the jobs that this one waits for."""
        return f'{self.prefix}:{job_id}:dependencies'

    def parse(self, key: str) -> tuple[str, str]:
        """Return the type of a key with the prefix ('job', 'dependents' or 'dependencies'), and the job id in it."""
        name = key[len(self.prefix) :]
        if name.startswith(':') and name.endswith(':dependencies'):
            return 'dependencies', name[1 : -len(':dependencies')]
        if name.endswith(':dependents'):
            return 'dependents', name[: -len(':dependents')]
        return 'job', name


EXECUTION_PREFIX = Execution('', '', None).key[:-1]  # type: ignore[arg-type]


def queues_key() -> str:
    """Return the key of the set of the keys of all queues."""
    return rq_queue.Queue.redis_queues_keys


def own_key(name: str) -> str:
    """Return a key of ours. It begins as RQ's do, so that a cluster has it in the same slot."""
    return f'{queues_key().removesuffix("queues")}rqreg:{name}'


def all_workers_key() -> str:
    """Return the key of the set of the keys of all workers."""
    return worker_registration.REDIS_WORKER_KEYS


def queue_prefix() -> str:
    """Return the prefix of a queue's key, which its name follows."""
    return rq_queue.Queue.redis_queue_namespace_prefix


def queue_key(queue: str) -> str:
    """Return the key of a queue's list."""
    return queue_prefix() + queue


def queue_name(key: str) -> str:
    """Return the name of the queue with this key. Raises RQ's ValueError if it is not the key of a queue."""
    prefix = queue_prefix()
    if not key.startswith(prefix):
        raise ValueError(f'Not a valid RQ queue key: {key}')
    return key[len(prefix) :]


def intermediate_key(queue: str) -> str:
    """Return the key of RQ's intermediate queue: the list of jobs that a worker has taken, but not started yet."""
    return IntermediateQueue.get_intermediate_queue_key(queue_key(queue))


def is_beside_queue(key: str) -> bool:
    """Return whether a key with the prefix of queues belongs to an intermediate queue instead."""
    prefix = queue_prefix()
    suffix = intermediate_key('')[len(prefix) :]
    return key.startswith(prefix) and (key.endswith(suffix) or f'{suffix}:' in key)


def name_of_unread(key: str) -> str:
    """Return the name in a report for a key that could not be read: its queue, or a pattern such as 'rq:job:*'."""
    if key.startswith(queue_prefix()):
        suffix = intermediate_key('')[len(queue_prefix()) :]
        return key[len(queue_prefix()) :].partition(suffix)[0]
    prefixes = [(registry_kind.key(''), True) for registry_kind in REGISTRY_KINDS]
    prefixes += [(prefix, False) for prefix in (executions_key(''), EXECUTION_PREFIX, Job.redis_job_namespace_prefix)]
    for prefix, is_of_queue in prefixes:
        if key.startswith(prefix):
            return key[len(prefix) :] if is_of_queue else f'{prefix}*'
    return key


def first_seen_key(queue: str, job_id: str) -> str:
    """Return the key in which RQ stores when it first saw a job in an intermediate queue."""
    return IntermediateQueue(queue_key(queue), None).get_first_seen_key(job_id)  # type: ignore[arg-type]


def workers_key(queue: str) -> str:
    """Return the key of the set of a queue's workers."""
    return str(worker_registration.WORKERS_BY_QUEUE_KEY % queue)


def worker_prefix() -> str:
    """Return the prefix of a worker's key, which its name follows."""
    return BaseWorker.redis_worker_namespace_prefix


def worker_executions_key(name: str) -> str | None:
    """Return the key of the set of the executions of a worker; None before RQ 3, which has no such key."""
    template = getattr(rq_executions, 'WORKER_EXECUTIONS_KEY_TEMPLATE', None)
    return None if template is None else str(template.format(name))


def job_prefix() -> str:
    """Return the prefix of a job's key, which its id follows."""
    return Job.redis_job_namespace_prefix


def executions_key(job_id: str) -> str:
    """Return the key of the registry of a job's executions."""
    return rq_executions.ExecutionRegistry.key_template.format(job_id)


def execution_key(job_id: str, execution_id: str) -> str:
    """Return the key of one execution of a job."""
    return f'{EXECUTION_PREFIX}{job_id}:{execution_id}'


# Returns the key of the stream of a job's results: RQ's own function, which has no types.
results_key: Callable[[str], str] = Result.get_key


def group_key(group_id: str) -> str:
    """Return the key of the set of a group's jobs."""
    return str(Group.get_key(group_id))


def has_rate_limits() -> bool:
    """Return whether this RQ has rate limits."""
    return RateLimitRegistry is not None


def rate_limited_key(rate_limit: str) -> str:
    """Return the key of the jobs that wait for a slot of this rate limit."""
    return rate_limit_keys(rate_limit)[0]


def rate_limit_keys(rate_limit: str) -> tuple[str, str, str]:
    """Return the keys of the jobs that wait for a slot, of the rate limit's settings, and of all rate limits."""
    # Only the properties are used, because creating a RateLimitRegistry would register scripts with a connection.
    named: Any = SimpleNamespace(key=rate_limit)
    of_one = (RateLimitRegistry.rate_limited_key, RateLimitRegistry.config_key)
    waiting, config = (str(key.fget(named)) for key in of_one)  # type: ignore[attr-defined]
    return waiting, config, RateLimitRegistry.rl_keys_key
