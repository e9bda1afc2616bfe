"""The data that the memory checks work on, and what they need to make calls on it again and again."""

from __future__ import annotations

import pickle
from types import FunctionType
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue as RQQueue
from rq.executions import ExecutionRegistry as RQExecutionRegistry
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry as RQFailedJobRegistry

import rqreg_ext
from rqreg_ext import _core
from rqreg_ext._fastpath.clients.tracers import TRACERS
from rqreg_ext.executions import ExecutionRegistry
from rqreg_ext.registry import (
    CanceledJobRegistry,
    DeferredJobRegistry,
    FailedJobRegistry,
    FinishedJobRegistry,
    ScheduledJobRegistry,
    StartedJobRegistry,
)

NAME = 'memory'
LONG_PAST = 1
NEVER = 4_000_000_000
# More than one block of the transport.
MANY = 600
WRONG, ODD, LONG, SICK, COLONS = 'wrong', 'odd', 'long', 'sick', 'colons'
# At once: a call that failed while it read may have left its script running, on the other side of a TLS proxy.
READ_ALL = """
local read = {
    zset = function(key) return {redis.call('ZRANGE', key, 0, -1)} end,
    list = function(key) return {redis.call('LRANGE', key, 0, -1)} end,
    set = function(key) return {redis.call('SMEMBERS', key)} end,
    hash = function(key) return {redis.call('HKEYS', key), redis.call('HGET', key, 'status')} end,
    string = function(key) return {redis.call('GET', key)} end,
    stream = function(key) return {redis.call('XLEN', key)} end,
}
local held = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
    local kind = redis.call('TYPE', key).ok
    table.insert(held, {key, kind, unpack(read[kind](key))})
end
return held
"""


def fill(admin: redis.Redis) -> None:
    """Empty the server and write jobs and entries of every kind."""
    admin.flushall()
    queue = RQQueue(NAME, connection=admin)
    for number in range(4):
        job = queue.enqueue('os.getpid', job_id=f'failed-{number}')
        queue.remove(job)
        job.set_status(JobStatus.FAILED)
        RQFailedJobRegistry(queue=queue).add(job, ttl=3600, exc_string='an error')
        admin.zadd(queue.failed_job_registry.key, {job.id: NEVER + number})
    # RQ's own to requeue.
    admin.hset(Job.key_for('failed-2'), 'result', pickle.dumps('from a time before'))
    with_meta = Job.fetch('failed-3', connection=admin)
    with_meta.meta = {'note': 'pickled'}
    with_meta.save()
    admin.zadd(queue.failed_job_registry.key, {'expired': LONG_PAST})
    admin.zadd(queue.finished_job_registry.key, {'done-1': NEVER, 'done-2': NEVER})
    admin.zadd(queue.deferred_job_registry.key, {'waiting': NEVER})
    admin.zadd(queue.canceled_job_registry.key, {'canceled': NEVER})
    admin.zadd(queue.scheduled_job_registry.key, {'due': LONG_PAST, 'later': NEVER})
    admin.zadd(queue.started_job_registry.key, {'running:one': NEVER, 'lone': NEVER + 1})
    admin.zadd(RQExecutionRegistry('running', connection=admin).key, {'one': NEVER})
    # Started entries of another form than job_id:execution_id in ASCII: RQ's own function is asked.
    admin.zadd(StartedJobRegistry.key_template.format(ODD), {'é:one': NEVER, 'plain:two': NEVER + 1})
    admin.zadd(StartedJobRegistry.key_template.format(COLONS), {'a:b:c': NEVER})
    # Abandoned: RQ's cleanup has work to do.
    admin.zadd(StartedJobRegistry.key_template.format(SICK), {'failed-0:one': LONG_PAST})
    admin.set(FailedJobRegistry.key_template.format(WRONG), 'no sorted set')
    admin.zadd(FailedJobRegistry.key_template.format(SICK), {'good': NEVER, b'\xff': NEVER + 1})
    long_ids = {f'job-{number:032d}': NEVER + number for number in range(MANY)}
    admin.zadd(FailedJobRegistry.key_template.format(LONG), long_ids)
    admin.zadd(StartedJobRegistry.key_template.format(LONG), {f'{key}:one': at for key, at in long_ids.items()})


def traced(old_execute_command: Any) -> Any:
    """Wrap a method as Sentry does, with a function that is of one of its modules."""

    def execute_command(self: Any, *args: Any, **options: Any) -> Any:
        return old_execute_command(self, *args, **options)

    of_tracer = {**globals(), '__name__': TRACERS[-1]}
    return FunctionType(execute_command.__code__, of_tracer, closure=execute_command.__closure__)


class Wrapped(redis.Redis):
    """A client that a known tracer wraps."""

    execute_command = traced(redis.Redis.execute_command)


class WrappedByUnknown(redis.Redis):
    """A client with an unknown wrapper."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return super().execute_command(*args, **options)


class World:
    """The servers' data, a client that is taken over, and a registry of each class on it."""

    def __init__(self, port: int, /, **arguments: Any) -> None:
        self.port = port
        self.arguments = arguments
        self.admin = admin = redis.Redis(port=port)
        fill(admin)
        self._dumps = {key: admin.dump(key) for key in admin.keys('*')}
        self.use_new_client()
        self.job = Job.fetch('failed-1', connection=self.client)
        self.hasty = FailedJobRegistry(NAME, connection=self._new_client(socket_timeout=0.005))
        # No server listens on the port of tcpmux.
        self.nowhere = FailedJobRegistry(NAME, connection=self._new_client(host='127.0.0.1', port=1, ssl=False))

    def _new_client(self, **arguments: Any) -> redis.Redis:
        """Return a client that tries a broken connection once more, at once."""
        return redis.Redis(**{'port': self.port, 'retry': Retry(NoBackoff(), 1), **self.arguments, **arguments})

    def use_new_client(self) -> None:
        """Make the registries anew on a client that was not used yet."""
        self.client = client = self._new_client()
        self.queue = rqreg_ext.Queue(NAME, connection=client)
        self.failed = FailedJobRegistry(NAME, connection=client)
        self.finished = FinishedJobRegistry(NAME, connection=client)
        self.deferred = DeferredJobRegistry(NAME, connection=client)
        self.canceled = CanceledJobRegistry(NAME, connection=client)
        self.scheduled = ScheduledJobRegistry(NAME, connection=client)
        self.started = StartedJobRegistry(NAME, connection=client)
        self.ready = getattr(self.queue, 'ready_job_registry', None)
        self.executions = ExecutionRegistry('running', connection=client)
        self.wrong = FailedJobRegistry(WRONG, connection=client)
        self.odd = StartedJobRegistry(ODD, connection=client)
        self.colons = StartedJobRegistry(COLONS, connection=client)
        self.sick = FailedJobRegistry(SICK, connection=client)
        self.abandoned = StartedJobRegistry(SICK, connection=client)
        self.long = FailedJobRegistry(LONG, connection=client)
        self.long_started = StartedJobRegistry(LONG, connection=client)
        self.wrapped_client = Wrapped(**{'port': self.port, 'retry': Retry(NoBackoff(), 1), **self.arguments})
        self.wrapped = FailedJobRegistry(NAME, connection=self.wrapped_client)
        self.wrapped_finished = FinishedJobRegistry(NAME, connection=self.wrapped_client)
        self.wrapped_started = StartedJobRegistry(ODD, connection=self.wrapped_client)
        unknown = WrappedByUnknown(**{'port': self.port, 'retry': Retry(NoBackoff(), 1), **self.arguments})
        self.by_unknown = FailedJobRegistry(NAME, connection=unknown)
        self.by_unknown_finished = FinishedJobRegistry(NAME, connection=unknown)
        self.by_unknown_started = StartedJobRegistry(ODD, connection=unknown)
        # Or RQ's methods would do the calls.
        assert _core.check_client(self.wrapped_client).observations is not None
        assert _core.check_client(unknown).observations is not None

    def put_back(self) -> None:
        """Make the data what it was in the beginning."""
        pipeline = self.admin.pipeline(transaction=False)
        pipeline.flushdb()
        for key, dump in self._dumps.items():
            pipeline.restore(key, 0, dump)
        pipeline.execute()

    def state(self) -> dict[bytes, Any]:
        """Return what the database holds, of hashes the status and the names of the fields: no times of day."""
        held: list[Any] = self.admin.eval(READ_ALL, 0)
        return {key: (sorted(value), *more) if kind in (b'hash', b'set') else value for key, kind, value, *more in held}

    def kill_connections(self) -> None:
        """Have the server end every connection but the admin's."""
        self.admin.execute_command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')

    def pause_writes(self) -> None:
        """Have the server keep commands that write waiting, beyond what the hasty client waits in two attempts."""
        self.admin.execute_command('CLIENT', 'PAUSE', '10000', 'WRITE')

    def go_on(self) -> None:
        """End the pause."""
        self.admin.execute_command('CLIENT', 'UNPAUSE')

    def limit_replies(self) -> None:
        """Have the server end a connection in the middle of a long reply."""
        self.admin.config_set('client-output-buffer-limit', 'normal 1024 0 0')

    def lift_limit(self) -> None:
        """Let replies be of any length again."""
        self.admin.config_set('client-output-buffer-limit', 'normal 0 0 0')
