"""Where RQ keeps a job: its keys, and the registry in which a job of each status stands."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any, NamedTuple

from rq import registry as rq_registry
from rq.executions import Execution, ExecutionRegistry
from rq.group import Group
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job, JobStatus
from rq.queue import Queue
from rq.worker import BaseWorker
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

try:
    from rq.rate_limit import RateLimitRegistry
except ImportError:
    RateLimitRegistry = None  # type: ignore[assignment, misc]


class Place(NamedTuple):
    """A kind of registry, and the statuses of the jobs that RQ keeps in it."""

    rq_class: type[rq_registry.BaseRegistry]
    statuses: frozenset[str]

    @cache  # noqa: B019
    def key(self, queue: str) -> str:
        """Return the key of this registry of a queue."""
        return self.rq_class.key_template.format(queue)

    def __str__(self) -> str:
        return self.rq_class.__name__


STARTED = Place(rq_registry.StartedJobRegistry, frozenset({'started'}))
FINISHED = Place(rq_registry.FinishedJobRegistry, frozenset({'finished'}))
FAILED = Place(rq_registry.FailedJobRegistry, frozenset({'failed', 'stopped'}))
DEFERRED = Place(rq_registry.DeferredJobRegistry, frozenset({'deferred'}))
SCHEDULED = Place(rq_registry.ScheduledJobRegistry, frozenset({'scheduled'}))
CANCELED = Place(rq_registry.CanceledJobRegistry, frozenset({'canceled'}))
READY = (
    Place(rq_registry.ReadyJobRegistry, frozenset({'ready_to_enqueue'}))
    if hasattr(rq_registry, 'ReadyJobRegistry')
    else None
)
# Those whose members are job ids, the registry of started jobs apart.
BY_JOB_ID = tuple(place for place in (FINISHED, FAILED, DEFERRED, SCHEDULED, CANCELED, READY) if place)
PLACES = (STARTED, *BY_JOB_ID)

PLACE_OF_STATUS = {status: place for place in PLACES for status in place.statuses}
STATUSES = frozenset(status.value for status in JobStatus)


def place_of(registry: Any) -> Place | None:
    """Return which kind of registry this is; None for one that RQ keeps no jobs in by their status."""
    return next((place for place in PLACES if isinstance(registry, place.rq_class)), None)


def is_execution_registry(registry: Any) -> bool:
    """Tell whether this is the registry of a job's executions."""
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
        """Return what a key that has the prefix is, 'job', 'dependents' or 'dependencies', and the id in it."""
        name = key[len(self.prefix) :]
        if name.startswith(':') and name.endswith(':dependencies'):
            return 'dependencies', name[1 : -len(':dependencies')]
        if name.endswith(':dependents'):
            return 'dependents', name[: -len(':dependents')]
        return 'job', name


QUEUES = Queue.redis_queues_keys
WORKERS = BaseWorker.redis_workers_keys
QUEUE_PREFIX = Queue.redis_queue_namespace_prefix
EXECUTION_PREFIX = Execution('', '', None).key[:-1]  # type: ignore[arg-type]


@cache
def queue_key(queue: str) -> str:
    """Return the key of a queue's list."""
    return QUEUE_PREFIX + queue


@cache
def intermediate_key(queue: str) -> str:
    """Return the key of the list of the jobs that a worker of this queue alone is just taking from it."""
    return IntermediateQueue.get_intermediate_queue_key(queue_key(queue))


def is_beside_queue(key: str) -> bool:
    """Tell whether a key that begins as a queue's does is none, but has the jobs that are just taken from one."""
    beside = intermediate_key('')[len(QUEUE_PREFIX) :]
    return key.startswith(QUEUE_PREFIX) and (key.endswith(beside) or f'{beside}:' in key)


def name_of_unread(key: str) -> str:
    """Return how a report calls a key that the user may not read: by its queue; without the id in it, by its kind."""
    if key.startswith(QUEUE_PREFIX):
        beside = intermediate_key('')[len(QUEUE_PREFIX) :]
        return key[len(QUEUE_PREFIX) :].partition(beside)[0]
    prefixes = [(place.key(''), True) for place in PLACES]
    prefixes += [(prefix, False) for prefix in (executions_key(''), EXECUTION_PREFIX, Job.redis_job_namespace_prefix)]
    for prefix, is_of_queue in prefixes:
        if key.startswith(prefix):
            return key[len(prefix) :] if is_of_queue else f'{prefix}*'
    return key


def first_seen_key(queue: str, job_id: str) -> str:
    """Return the key in which RQ notes when it first saw a job between its queue and its start."""
    return IntermediateQueue(queue_key(queue), None).get_first_seen_key(job_id)  # type: ignore[arg-type]


def workers_key(queue: str) -> str:
    """Return the key of the set of a queue's workers."""
    return str(WORKERS_BY_QUEUE_KEY % queue)


def worker_key(name: str) -> str:
    """Return the key of a worker."""
    return BaseWorker.redis_worker_namespace_prefix + name


def executions_key(job_id: str) -> str:
    """Return the key of the registry of a job's executions."""
    return ExecutionRegistry.key_template.format(job_id)


def execution_key(job_id: str, execution_id: str) -> str:
    """Return the key of one execution of a job."""
    return f'{EXECUTION_PREFIX}{job_id}:{execution_id}'


def group_key(group_id: str) -> str:
    """Return the key of the set of a group's jobs."""
    return str(Group.get_key(group_id))


def has_rate_limits() -> bool:
    """Tell whether this RQ has rate limits."""
    return RateLimitRegistry is not None


def rate_limited_key(rate_limit: str) -> str:
    """Return the key of the jobs that wait for a slot of this rate limit."""
    return rate_limit_keys(rate_limit)[0]


def rate_limit_keys(rate_limit: str) -> tuple[str, str, str]:
    """Return the keys of the jobs that wait for a slot, of the rate limit's settings, and of all rate limits."""
    # RQ's own object would register scripts with a connection.
    named: Any = SimpleNamespace(key=rate_limit)
    of_one = (RateLimitRegistry.rate_limited_key, RateLimitRegistry.config_key)
    waiting, config = (str(key.fget(named)) for key in of_one)  # type: ignore[attr-defined]
    return waiting, config, RateLimitRegistry.rl_keys_key
