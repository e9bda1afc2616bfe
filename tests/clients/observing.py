"""Observed clients: each records the commands that it is given, and passes them on unchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any
from unittest import mock

import redis
import rq
from redis.client import Pipeline

from rqreg_ext._fastpath.clients import core_stand_in, packages


def fill_failed(connection: redis.Redis, count: int = 3) -> None:
    """Put failed jobs into the queue q."""
    queue = rq.Queue('q', connection=connection)
    for number in range(count):
        job = queue.enqueue('os.getpid', job_id=f'job-{number}')
        queue.remove(job)
        connection.hset(job.key, 'status', 'failed')
        connection.zadd('rq:failed:q', {job.id: 4_000_000_000 + number})


class ObservedPipeline(Pipeline):
    def execute(self, raise_on_error: bool = True) -> Any:
        Observed.seen.append([args[0] for args, _ in self.command_stack])
        return super().execute(raise_on_error)


class Observed(redis.Redis):
    """Records the commands that it is given."""

    seen: list[Any] = []

    def execute_command(self, *args: Any, **options: Any) -> Any:
        Observed.seen.append(args[0])
        return super().execute_command(*args, **options)

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        return ObservedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


def _name(client: Any, args: Any) -> Any:
    return args[0]


def _names(pipeline: Any, args: Any) -> Any:
    return [command[0][0] for command in pipeline.command_stack]


# What tracing tools wrap, and what they note of a call.
_WRAPPED: tuple[tuple[Any, str, Callable[[Any, Any], Any]], ...] = (
    (redis.Redis, 'execute_command', _name),
    (Pipeline, 'execute', _names),
    (Pipeline, 'immediate_execute_command', _name),
)


@contextmanager
def traced() -> Iterator[None]:
    """Wrap redis-py's classes for a while, as tracing tools do, and record the commands in Observed.seen."""
    with ExitStack() as stack:
        for owner, name, note in _WRAPPED:
            stack.enter_context(mock.patch.object(owner, name, _wrapper(getattr(owner, name), note)))
        yield


def _wrapper(original: Any, note: Callable[[Any, Any], Any]) -> Any:
    @wraps(original)
    def wrapper(self: Any, *args: Any, **options: Any) -> Any:
        Observed.seen.append(note(self, args))
        return original(self, *args, **options)

    return wrapper


@contextmanager
def stood_in_for(are_taken_for_tracers: bool) -> Iterator[list[type]]:
    """Yield the classes of the clients that the core stands in for; have wrappers taken for known tracers' if asked."""
    classes: list[type] = []
    make = core_stand_in.make_stand_in_class

    def noting(client: Any, observations: Any) -> type | None:
        classes.append(type(client))
        return make(client, observations)

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(core_stand_in, 'make_stand_in_class', noting))
        if are_taken_for_tracers:
            stack.enter_context(mock.patch.object(packages, '_is_original_inside', return_value=True))
        _have_examined_anew()
        yield classes
    _have_examined_anew()


def _have_examined_anew() -> None:
    """Change the class, so that what is known of clients of it counts no more."""
    Observed.touched = object()  # type: ignore[attr-defined]
