"""Whether a client's pool hands out connections that are redis-py's own, and write as they do.

The core asks once for each kind of pool, and again when their classes change (src/client_check.c).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any

from ... import _core
from .packages import (
    Facts,
    are_only_traced,
    are_original,
    is_defined_by,
    is_set_on,
    overrides_getattribute,
    package_of_connections,
)

# How a pool gives out a connection, and how a connection sends and reads.
POOLING = ('get_connection', 'make_connection', 'release')
WRITING = ('_construct_command_packer', 'pack_command', 'pack_commands', 'send_command', 'send_packed_command')
READING = ('can_read', 'check_health', 'connect', 'read_response')
WRITES = 'writes'
TRACED = 'traced'
# The method of a client's Retry that makes each call.
RETRYING = ('call_with_retry',)


def classes_of_pool(pool: Any) -> tuple[type, ...]:
    """Return the classes on whose methods the answer of examine_pool() depends."""
    connection_class = pool.connection_class
    if not isinstance(connection_class, type):
        return ()
    package = package_of_connections(connection_class)
    # The core tells pools of one class apart by the last class.
    if package is None:
        return type(pool), connection_class
    return type(pool), *_writers_of(package), _retry_class(package), connection_class


def examine_pool(pool: Any) -> Facts:
    """Tell whether the pool hands out connections of redis-py's own.

    True: it does. TRACED: there are tracers around what they write by. WRITES: they write as redis-py's own, at least.
    None: not known.
    """
    connection_class = pool.connection_class
    package = package_of_connections(connection_class) if isinstance(connection_class, type) else None
    if package is None or is_set_on(pool, *POOLING) or any(map(overrides_getattribute, (type(pool), connection_class))):
        return None, (), ()
    watched: dict[Any, Any] = {}
    answer: Any = None
    writers_are = [_writes_originally(writer, package, watched) for writer in _writers_of(package)]
    has_own = any(not vars(base).keys().isdisjoint(_WRITERS) for base in connection_class.__mro__)
    are_known = are_original(type(pool), package, POOLING, watched)
    is_retry_original = are_original(_retry_class(package), package, RETRYING, watched)
    is_reading_original = are_original(connection_class, package, READING, watched) and is_retry_original
    if not (are_known and all(writers_are)) or has_own:
        answer = None
    elif are_original(connection_class, package, WRITING, watched):
        answer = is_reading_original or WRITES
    elif is_reading_original and are_only_traced(connection_class, package, WRITING, watched):
        answer = TRACED
    return answer, tuple(watched.items()), ()


# The attributes of a connection that turn commands into bytes, and the methods by which they do it.
_WRITERS = ('_command_packer', 'encoder')
_WRITER_METHODS = ('encode', 'pack')


def writes_as_redis_py(connection: Any) -> bool:
    """Tell whether a connection writes commands as redis-py's own; that may depend on the object, not on its class."""
    package = package_of_connections(type(connection))
    if package is None or overrides_getattribute(type(connection)):
        return False
    packer, encoder = (getattr(connection, name, None) for name in _WRITERS)
    return (
        are_only_traced(type(connection), package, WRITING, {})
        and not is_set_on(connection, *WRITING)
        and _is_original_writer(package, encoder, 'encode')
        and (packer is None or (_is_original_writer(package, packer, 'pack') and _encodes_by(packer, encoder)))
    )


def makes_only_original_connections(pool: Any, is_own_hook: Callable[[Any], bool] = lambda function: False) -> bool:
    """Tell whether the pool makes connections without calling code of others.

    is_own_hook: tells whether the pool's redis_connect_func is redis-py's own.
    """
    called = pool.connection_kwargs.get('redis_connect_func')
    return _init_guard(pool.connection_class).holds() and (called is None or is_own_hook(called))


@lru_cache(maxsize=8)
def _init_guard(connection_class: type) -> _core.Guard:
    """Return a Guard for whether the class makes connections as the client package does; bulk calls ask often."""

    def look() -> tuple[bool, tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]:
        package, watched = package_of_connections(connection_class), dict[Any, Any]()
        holds = package is not None and are_original(connection_class, package, ('__init__',), watched)
        return holds, (), (connection_class,), tuple(watched.items())

    return _core.Guard(look)


def _is_original_writer(package: str, writer: Any, method: str) -> bool:
    return (
        is_defined_by(package, type(writer))
        and _writes_originally(type(writer), package, {})
        and not is_set_on(writer, method)
    )


def _encodes_by(packer: Any, encoder: Any) -> bool:
    """Tell whether the packer encodes by the connection's encoder, if it was given a method to encode by."""
    encode = vars(packer).get('encode') if hasattr(packer, '__dict__') else None
    return encode is None or encode == encoder.encode


def _writes_originally(writer: type, package: str, watched: dict[Any, Any]) -> bool:
    return are_original(writer, package, [name for name in _WRITER_METHODS if hasattr(writer, name)], watched)


def _writers_of(package: str) -> tuple[type, ...]:
    """Return the classes by which the client package turns commands into bytes."""
    module = vars(sys.modules[f'{package}.connection'])
    found = (module.get(name) for name in ('Encoder', 'HiredisRespSerializer', 'PythonRespSerializer'))
    return tuple(writer for writer in found if isinstance(writer, type))


def _retry_class(package: str) -> type:
    retry_class: type = import_module(f'{package}.retry').Retry
    return retry_class
