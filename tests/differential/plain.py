"""Results and arguments as values that can be compared across the two sides, with their exact types."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import redis
from clients.prefixing import Wrapper
from redis.client import Pipeline
from rq.executions import Execution
from rq.job import Job
from rq.queue import Queue
from rq.registry import BaseRegistry
from rq.results import Result

from .masks import is_near_now, mask_bytes, mask_text

if TYPE_CHECKING:
    from .sides import Bench

REGISTRY_ATTRIBUTES = (
    'name',
    'job_id',
    'key',
    'key_template',
    'connection',
    'serializer',
    'job_class',
    'death_penalty_class',
)
WITH_ATTRIBUTES = (Job, Execution, Result, Queue)


def plain(value: Any, bench: Bench) -> Any:
    """Return the value as nested tuples of types and contents; what belongs to a side is named, not held."""
    if isinstance(value, str) and not isinstance(value, Enum):
        return (type(value), mask_text(value))
    if isinstance(value, bytes):
        return (type(value), mask_bytes(value))
    if isinstance(value, int | float | Enum) or value is None:
        return (type(value), repr(value))
    if isinstance(value, datetime):
        return (type(value), '<now>' if is_near_now(value) else value.isoformat(), repr(value.tzinfo))
    if isinstance(value, list | tuple):
        return (type(value), [plain(item, bench) for item in value])
    if isinstance(value, set | frozenset):
        return (type(value), sorted((plain(item, bench) for item in value), key=repr))
    if isinstance(value, dict):
        return (type(value), [(plain(key, bench), plain(item, bench)) for key, item in value.items()])
    return _plain_object(value, bench)


def _plain_object(value: Any, bench: Bench) -> Any:
    if isinstance(value, Wrapper):
        return (Wrapper, plain(value._client, bench))
    if isinstance(value, Pipeline):
        return (type(value), plain(_commands(value), bench))
    if isinstance(value, redis.Redis):
        return (type(value), _database_name(value, bench))
    if isinstance(value, BaseRegistry):
        # By name: whether it is RQ's class or ours is what the two sides differ in.
        return ('registry', type(value).__name__, _attributes(value, REGISTRY_ATTRIBUTES, bench))
    if isinstance(value, WITH_ATTRIBUTES):
        kind = type(value).__name__ if isinstance(value, Queue) else type(value)
        return (kind, _attributes(value, tuple(sorted(vars(value))), bench))
    if isinstance(value, BaseException):
        return (type(value), plain(value.args, bench))
    if isinstance(value, MethodType):
        return ('method', value.__name__)
    if isinstance(value, FunctionType):
        return ('function', value.__name__)
    # Anything else is equal only if it is the same object on both sides, or says so itself.
    return value


def _attributes(value: Any, names: tuple[str, ...], bench: Bench) -> list[tuple[str, Any]]:
    return [(name, plain(getattr(value, name), bench)) for name in names if hasattr(value, name)]


def _commands(pipeline: Any) -> list[Any]:
    """Return the commands that wait in the pipeline; the layout of the stack differs between redis-py's releases."""
    stack = pipeline.command_stack
    return [command.args if hasattr(command, 'args') else command[0] for command in stack]


def _database_name(client: Any, bench: Bench) -> str:
    number = client.connection_pool.connection_kwargs.get('db')
    return 'the database' if number == bench.side.database else f'database {number}'
