"""The state of a database before the calls: jobs, registries, executions and everything that may be wrong with them."""

from __future__ import annotations

import importlib.util
import random
import zlib
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from typing import Any

import rq.registry
from rq.executions import ExecutionRegistry
from rq.group import Group
from rq.job import Job
from rq.queue import Queue
from rq.serializers import resolve_serializer

HAS_RATE_LIMITS = hasattr(Job, 'has_rate_limit')
HAS_WEBHOOKS = importlib.util.find_spec('rq.webhook') is not None

REGISTRY_OF_STATUS = {
    'finished': 'FinishedJobRegistry',
    'failed': 'FailedJobRegistry',
    'stopped': 'FailedJobRegistry',
    'started': 'StartedJobRegistry',
    'deferred': 'DeferredJobRegistry',
    'scheduled': 'ScheduledJobRegistry',
    'canceled': 'CanceledJobRegistry',
    'ready_to_enqueue': 'ReadyJobRegistry',
}
STATUSES = ('failed', 'finished', 'queued', 'started', 'deferred', 'scheduled', 'canceled', 'stopped', 'created')
if hasattr(rq.registry, 'ReadyJobRegistry'):
    STATUSES += ('rate_limited', 'ready_to_enqueue')

LONG_AGO = datetime(2024, 2, 29, 12, 30, 0, 250000, tzinfo=timezone.utc)

# Scores are far enough from now that no call can see one of them expire.
SCORES: dict[str, Callable[[int], int | float | str]] = {
    'future': lambda now: now + 1000,
    'expired': lambda now: now - 1000,
    'later': lambda now: now + 5000,
    'earlier': lambda now: now - 5000,
    'inf': lambda now: '+inf',
    'fraction': lambda now: now + 1000.25,
    'zero': lambda now: 0,
    'negative': lambda now: -5,
    '-inf': lambda now: '-inf',
    'huge': lambda now: 1e300,
}


def readable(self: Any) -> str:
    """Return the constructor call without defaults, to be pasted into a test."""
    given = {f.name: getattr(self, f.name) for f in fields(self)}
    defaults = {f.name: f.default_factory() if callable(f.default_factory) else f.default for f in fields(self)}
    shown = [f'{name}={value!r}' for name, value in given.items() if value != defaults[name]]
    return f'{type(self).__name__}({", ".join(shown)})'


@dataclass(frozen=True, repr=False)
class AJob:
    """A job: its status, what is special about it, and its score in the registry of its status (None: not there)."""

    id: str = 'a'
    status: str = 'queued'
    traits: Sequence[str] = ()
    score: str | None = 'future'

    __repr__ = readable


@dataclass(frozen=True, repr=False)
class Entry:
    """One more member of a registry: stale, malformed, or there twice."""

    registry: str = 'FailedJobRegistry'
    member: str | bytes = 'stale'
    score: str = 'future'

    __repr__ = readable


@dataclass(frozen=True, repr=False)
class World:
    """Everything in the database before the first call."""

    queue: str = 'q'
    jobs: Sequence[AJob] = ()
    entries: Sequence[Entry] = ()
    spoiled: Mapping[str, str] = field(default_factory=dict)
    serializer: str | None = None

    __repr__ = readable

    def key(self, registry: str) -> str:
        """Return the key of one of this queue's registries, or of the first job's executions."""
        if registry == 'ExecutionRegistry':
            return ExecutionRegistry.key_template.format(self.jobs[0].id if self.jobs else 'a')
        key: str = getattr(rq.registry, registry).key_template.format(self.queue)
        return key


# Attributes of the job, saved by RQ's own Job.save.
ATTRIBUTES: dict[str, dict[str, Any]] = {
    'ttl': {'ttl': 5000},
    'ttl_forever': {'ttl': -1},
    'result_ttl': {'result_ttl': 500},
    'failure_ttl': {'failure_ttl': 3000},
    'failure_ttl_forever': {'failure_ttl': -1},
    'failure_ttl_none': {'failure_ttl': 0},
    'timeout': {'timeout': 240},
    'meta': {'meta': {'note': 'é', 'count': 2}},
    'retries': {'retries_left': 2},
    'retries_with_intervals': {'retries_left': 2, 'retry_intervals': [60, 120], 'enqueue_at_front_on_retry': True},
    'no_retries_left': {'retries_left': 0, 'number_of_retries': 3},
    'repeats': {'repeats_left': 2, 'repeat_intervals': [30]},
    'failure_callback': {
        '_failure_callback_name': 'differential.functions.note_failure',
        '_failure_callback_timeout': 10,
    },
    'raising_callback': {'_failure_callback_name': 'differential.functions.raise_on_failure'},
    'missing_callback': {'_failure_callback_name': 'differential.functions.nowhere'},
    'other_callbacks': {
        '_success_callback_name': 'differential.functions.say',
        '_success_callback_timeout': 20,
        '_stopped_callback_name': 'differential.functions.say',
    },
    'exc_info': {'_exc_info': 'Traceback: naïve'},
    'times': {'enqueued_at': LONG_AGO, 'started_at': LONG_AGO, 'ended_at': LONG_AGO, 'last_heartbeat': LONG_AGO},
    'worker': {'worker_name': 'w1'},
    'old_result': {'_result': 42},
    'no_description': {'description': None},
    'front': {'enqueue_at_front': True},
    'allow_failures': {'allow_dependency_failures': True},
    'group': {'group_id': 'crew'},
    'lost_group': {'group_id': 'nobody'},
    'no_origin': {'origin': ''},
    'other_origin': {'origin': 'elsewhere'},
    # Text that zlib makes little smaller.
    'long_data': {'args': [random.Random(1).randbytes(80_000).hex()]},
    'long_meta': {'meta': {'text': 'x' * 80_000}},
}
if HAS_RATE_LIMITS:
    ATTRIBUTES['rate_limit'] = {'rate_limit_key': 'site', 'rate_limit_concurrency': 1}
    ATTRIBUTES['wide_rate_limit'] = {'rate_limit_key': 'site', 'rate_limit_concurrency': 5}

if HAS_WEBHOOKS:
    ATTRIBUTES['webhooks'] = {
        'webhooks': [
            rq.Webhook('http://127.0.0.1:0/a?b=c', 'failed', method='POST', headers={'X-Token': 'a, b}', 'Y': '[]'}),
            rq.Webhook('https://127.0.0.1:0', 'finished', timeout=5),
        ]
    }

# Fields of the hash as another RQ, another program or an accident left them; None removes the field.
FIELDS: dict[str, dict[str, str | bytes | None]] = {
    'no_status': {'status': None},
    'unknown_status': {'status': 'lost'},
    'status_in_capitals': {'status': 'FAILED'},
    'undecodable_status': {'status': b'\xff'},
    'no_data': {'data': None},
    'empty_data': {'data': b''},
    'raw_data': {'data': b'\x80\x04K\x01.'},
    'long_raw_data': {'data': b'\x80\x04K\x01.' + bytes(70_000)},
    'long_exc_info': {'exc_info': 'Traceback: ' + 'x' * 70_000},
    'long_undecodable_description': {'description': b'caf\xe9' * 20_000},
    'no_created_at': {'created_at': None},
    'bad_created_at': {'created_at': 'yesterday'},
    'old_created_at': {'created_at': '2019-06-01T01:02:03Z'},
    'bad_enqueued_at': {'enqueued_at': '2019-13-01'},
    'timeout_with_unit': {'timeout': '2m'},
    'bad_timeout': {'timeout': 'soon'},
    'bad_ttl': {'ttl': 'x'},
    'bad_retries': {'retries_left': '1.5'},
    'bad_meta': {'meta': b'\xff\x00'},
    'undecodable_description': {'description': b'caf\xe9'},
    'undecodable_origin': {'origin': b'\xff'},
    'plain_exc_info': {'exc_info': 'Traceback: not compressed'},
    'old_dependency': {'dependency_id': 'b'},
    'bad_dependencies': {'dependency_ids': '['},
    'unknown_field': {'colour': b'\xff'},
}
if HAS_WEBHOOKS:
    # Nothing listens on port 0: the request is refused at once, and RQ logs it.
    FIELDS['webhook'] = {'webhooks': '[{"url": "http://127.0.0.1:0/", "job_status": "failed"}]'}
    FIELDS['bad_webhooks'] = {'webhooks': '[{"url": 1}]'}


def compressed_result(**payload: str | int) -> dict[Any, Any]:
    if 'exc_string' in payload:
        payload['exc_string'] = b64encode(zlib.compress(str(payload['exc_string']).encode())).decode()
    return dict(payload)


class Writer:
    """Writes a world through one pipeline."""

    def __init__(self, world: World, pipe: Any, now: int) -> None:
        self.world = world
        self.pipe = pipe
        self.now = now

    def write(self) -> None:
        for job in self.world.jobs:
            self.write_job(job)
        for entry in self.world.entries:
            self.add(entry.registry, entry.member, entry.score)
        # Last, as nothing can be added to a key of the wrong type.
        for job in self.world.jobs:
            if 'wrong_hash' in job.traits:
                self.put_wrong_type(Job.key_for(job.id), 'string')
            if 'wrong_executions' in job.traits:
                self.put_wrong_type(ExecutionRegistry.key_template.format(job.id), 'string')
        for registry, kind in self.world.spoiled.items():
            self.put_wrong_type(self.world.key(registry), kind)

    def put_wrong_type(self, key: str, kind: str) -> None:
        self.pipe.delete(key)
        if kind == 'string':
            self.pipe.set(key, 'x')
        elif kind == 'list':
            self.pipe.rpush(key, 'x')
        elif kind == 'set':
            self.pipe.sadd(key, 'x')
        else:
            self.pipe.hset(key, 'x', 'y')

    def add(self, registry: str, member: str | bytes, score: str) -> None:
        if registry == 'ExecutionRegistry' or hasattr(rq.registry, registry):
            self.pipe.zadd(self.world.key(registry), {member: SCORES[score](self.now)})

    def write_job(self, spec: AJob) -> None:
        if 'no_hash' not in spec.traits:
            self.write_hash(spec)
        registry = REGISTRY_OF_STATUS.get(spec.status)
        if registry is None:
            if spec.status == 'queued' and spec.score:
                self.pipe.rpush(Queue.redis_queue_namespace_prefix + self.world.queue, spec.id)
        elif registry == 'StartedJobRegistry':
            if spec.score:
                self.add_execution(spec.id, 'run', spec.score)
        elif spec.score:
            self.add(registry, spec.id, spec.score)
        for trait in spec.traits:
            if trait in AROUND:
                AROUND[trait](self, spec.id)

    def write_hash(self, spec: AJob) -> None:
        job = Job.create(
            'differential.functions.say',
            args=['hello'],
            connection=self.pipe,
            id=spec.id,
            origin=self.world.queue,
            serializer=resolve_serializer(self.world.serializer),
            timeout=180,
        )
        job.created_at = LONG_AGO
        job._status = spec.status  # type: ignore[assignment]
        for trait in spec.traits:
            for name, value in ATTRIBUTES.get(trait, {}).items():
                setattr(job, name, value)
        job.save(pipeline=self.pipe)
        for trait in spec.traits:
            for name, value in FIELDS.get(trait, {}).items():
                if value is None:
                    self.pipe.hdel(job.key, name)
                else:
                    self.pipe.hset(job.key, name, value)

    def add_execution(self, job_id: str, execution_id: str, score: str, *, with_hash: bool = True) -> None:
        """Write an execution as a worker does: in the started registry, in the job's index, and its hash."""
        composite = f'{job_id}:{execution_id}'
        prefix = Job.redis_job_namespace_prefix.removesuffix('job:')
        self.add('StartedJobRegistry', composite, score)
        self.pipe.zadd(ExecutionRegistry.key_template.format(job_id), {execution_id: SCORES[score](self.now)})
        if with_hash:
            heartbeat = LONG_AGO.timestamp()
            mapping = {
                'id': execution_id,
                'job_id': job_id,
                'created_at': heartbeat,
                'last_heartbeat': heartbeat,
                'worker_name': 'w1',
            }
            self.pipe.hset(f'{prefix}execution:{composite}', mapping=mapping)
            self.pipe.sadd(f'{prefix}worker:w1:executions', composite)


def _dependent(writer: Writer, job_id: str, dependent: str) -> None:
    writer.pipe.sadd(Job.dependents_key_for(job_id), dependent)
    writer.pipe.sadd(f'{Job.redis_job_namespace_prefix}:{dependent}:dependencies', job_id)


def _results(writer: Writer, job_id: str) -> None:
    key = f'{Job.redis_job_namespace_prefix.removesuffix("job:")}results:{job_id}'
    writer.pipe.xadd(key, compressed_result(type=2, worker_name='w1', exc_string='Traceback: first'), id='1-1')
    writer.pipe.xadd(key, compressed_result(type=1, worker_name='', return_value='gASMAWEu'), id='2-1')
    writer.pipe.expire(key, 5000)


def _rate_limit(writer: Writer, job_id: str, state: str) -> None:
    prefix = Job.redis_job_namespace_prefix.removesuffix('job:')
    writer.pipe.sadd(f'{prefix}rl-keys', 'site')
    writer.pipe.hset(f'{prefix}rl:site', 'concurrency', 1)
    writer.pipe.zadd(f'{prefix}rl:site:{state}', {job_id: writer.now - 500})


def _expire_hash(writer: Writer, job_id: str) -> None:
    writer.pipe.expire(Job.key_for(job_id), 5000)


def _copy_elsewhere(writer: Writer, job_id: str) -> None:
    writer.pipe.copy(Job.key_for(job_id), f'app:job:{job_id}')


def _queued(writer: Writer, job_id: str) -> None:
    writer.pipe.rpush(Queue.redis_queue_namespace_prefix + writer.world.queue, 'other', job_id, 'x', job_id)


# What surrounds the job in the database.
AROUND: dict[str, Callable[[Writer, str], None]] = {
    'running': lambda writer, job_id: writer.add_execution(job_id, 'live', 'future'),
    'abandoned': lambda writer, job_id: writer.add_execution(job_id, 'dead', 'expired'),
    'lost_execution': lambda writer, job_id: writer.add_execution(job_id, 'lost', 'later', with_hash=False),
    'results': _results,
    'in_queue': _queued,
    'in_group': lambda writer, job_id: writer.pipe.sadd(f'{Group.REDIS_GROUP_NAME_PREFIX}crew', job_id, 'other'),
    'a_depends_on_it': lambda writer, job_id: _dependent(writer, job_id, 'a'),
    'b_depends_on_it': lambda writer, job_id: _dependent(writer, job_id, 'b'),
    'ghost_depends_on_it': lambda writer, job_id: _dependent(writer, job_id, 'ghost'),
    'hash_expires': _expire_hash,
    'hash_elsewhere': _copy_elsewhere,
}
if HAS_RATE_LIMITS:
    AROUND['allowed'] = lambda writer, job_id: _rate_limit(writer, job_id, 'allowed')
    AROUND['waiting'] = lambda writer, job_id: _rate_limit(writer, job_id, 'rate_limited')

TRAITS = (*ATTRIBUTES, *FIELDS, *AROUND, 'no_hash', 'wrong_hash', 'wrong_executions')
