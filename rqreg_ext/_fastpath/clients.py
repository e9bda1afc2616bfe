"""What the core must know of a redis-py (or valkey-py) client before it uses connections of its own.

Called by the core once for each kind of client and pool, and again when their classes change; never per call.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from errno import EMFILE, ENFILE
from functools import cache, lru_cache
from importlib import import_module
from inspect import Parameter, iscoroutinefunction, signature
from os import getpid
from typing import Any
from urllib.parse import urlsplit

from .. import _core
from . import tracers
from .originals import function_of, is_defined, is_original, undecorated

# What RQ calls for its registries and for what they hold: a client with a method of its own in the place of one is
# called by that method.
COMMANDS = (
    'delete',
    'eval',
    'evalsha',
    'exists',
    'expire',
    'hdel',
    'hexists',
    'hget',
    'hgetall',
    'hincrby',
    'hset',
    'info',
    'llen',
    'lpos',
    'lpush',
    'lrange',
    'lrem',
    'persist',
    'register_script',
    'rpush',
    'sadd',
    'scard',
    'smembers',
    'srem',
    'xadd',
    'xrevrange',
    'zadd',
    'zcard',
    'zrange',
    'zrangebyscore',
    'zrem',
    'zremrangebyscore',
    'zrevrange',
    'zscore',
)
# What a command goes through from there to the connection: what others wrap, and what lies below.
CLIENT_OUTER = ('execute_command', 'pipeline')
CLIENT_INNER = ('_execute_command', '_send_command_parse_response', 'parse_response')
PIPELINE_OUTER = ('execute', 'execute_command', 'immediate_execute_command')
PIPELINE_INNER = (
    '_execute_pipeline',
    '_execute_transaction',
    '_send_command_parse_response',
    'multi',
    'parse_response',
    'pipeline_execute_command',
    'watch',
)
# The same of a cluster's client, and how it finds the node of a key and makes that node's client.
CLUSTER_METHODS = (
    'execute_command',
    'pipeline',
    '_internal_execute_command',
    '_execute_command',
    '_determine_nodes',
    'determine_slot',
    'keyslot',
    'get_node_from_key',
    'get_redis_connection',
    'on_connect',
)
CLUSTER_PIPELINE_METHODS = ('execute', 'execute_command', 'pipeline_execute_command', 'send_cluster_commands')
NODES_METHODS = ('create_redis_connections', 'create_redis_node', 'get_node', 'get_node_from_slot', 'initialize')
# How a pool gives out a connection, and how a connection sends and reads.
POOLING = ('get_connection', 'make_connection', 'release')
WRITING = ('_construct_command_packer', 'pack_command', 'pack_commands', 'send_command', 'send_packed_command')
READING = ('can_read', 'check_health', 'connect', 'read_response')
WRITES = 'writes'
TRACED = 'traced'
# What of a client's Retry makes each call.
RETRYING = ('call_with_retry',)
PACKAGES = ('redis', 'valkey')
# What describes redis-py's own client of a cluster.
CLUSTER = 'cluster'

# What belongs to the running pool of redis-py 8, not to the way to connect (rq.connections says the same).
RUNTIME_ARGUMENTS = (
    'event_dispatcher',
    'himport_registry',
    'maint_notifications_config',
    'maint_notifications_pool_handler',
    'orig_host_address',
    'orig_socket_connect_timeout',
    'orig_socket_timeout',
)

# What a connection calls itself to the server.
DRIVER_ARGUMENTS = frozenset({'driver_info', 'lib_name', 'lib_version'})

_clients_by_url: dict[str, Any] = {}


# ---- What is redis-py's own


class Observations:
    """What the core has seen of the clients of one kind, whose commands go through wrappers (src/wrapped_call.c).

    arrived: names of commands that arrived as they were given. is_opaque: they are used by their methods from now on.
    stand_in_class: of the objects that stand in for them, once there is one.
    """

    __slots__ = ('arrived', 'is_opaque', 'stand_in_class')

    def __init__(self) -> None:
        self.arrived: set[str] = set()
        self.is_opaque = False
        self.stand_in_class: type | None = None


class ClientKind:
    """Clients whose commands reach redis-py's own methods in the end, even if these are wrapped or overridden.

    package: 'redis' or 'valkey'.
    is_wrapped: whether something does stand in front of execute_command(), or of what a pipeline is made and sent by.
    is_pipeline: whether it is no client, but a pipeline.
    is_trusted: whether nothing does but tracers that are known to pass on what they get (tracers.py).
    observations: what the core has seen of them; None where single calls are left to RQ's methods, which give options
    with some commands. Only of known tracers it is known that they look at names and keys alone.
    notes: what is known of them besides, by those who use them.
    """

    def __init__(self, package: str, is_wrapped: bool, is_pipeline: bool, is_trusted: bool) -> None:
        self.package = package
        self.is_wrapped = is_wrapped
        self.is_pipeline = is_pipeline
        self.is_trusted = is_trusted
        self.observations = Observations() if is_trusted and not is_pipeline else None
        self.notes: dict[str, Any] = {}


# (the answer; pairs of a function and its code; dicts, names and values, in turns): the answer holds while these, and
# the classes asked for beside, do not change.
Facts = tuple[Any, tuple[Any, ...], tuple[Any, ...]]


def classes_of_client(client: Any) -> tuple[type, ...]:
    """Return the classes on whose methods the answer of examine_client() depends."""
    package = _package_of_cluster(type(client))
    if package is not None:
        return (type(client), *_cluster_parts(client, package))
    found = _pipeline_of(type(client))
    return (type(client), found[2]) if found and isinstance(found[2], type) else (type(client),)


def examine_client(client: Any) -> Facts:
    """Tell how a client sends commands.

    True: as redis-py's own client class does. CLUSTER: as redis-py's own client of a cluster does. A ClientKind: that
    does it in the end. None: nobody knows how, since its class, or somebody who patches it, or the client itself, has
    something else in the way.
    """
    cluster_package = _package_of_cluster(type(client))
    if cluster_package is not None:
        return _examine_cluster(client, cluster_package)
    package, found = package_of_client(type(client)), _pipeline_of(type(client))
    if package is None or found is None:
        return None, (), ()
    pipeline_class = found[2]
    watched: dict[Any, Any] = {}
    if not isinstance(pipeline_class, type) or _looks_up_by_itself(type(client)):
        return None, (), found
    is_pipeline = issubclass(type(client), pipeline_class)
    inner, outer = (
        (COMMANDS + PIPELINE_INNER, PIPELINE_OUTER) if is_pipeline else (COMMANDS + CLIENT_INNER, CLIENT_OUTER)
    )
    is_known = not is_set_on(client, *inner, *outer)
    is_known &= are_original(type(client), package, inner, watched)
    is_known &= are_original(pipeline_class, package, COMMANDS + PIPELINE_INNER, watched)
    is_unwrapped = are_original(type(client), package, outer, watched)
    is_unwrapped &= are_original(pipeline_class, package, PIPELINE_OUTER, watched)
    is_measured, metrics = _metrics_of(package)
    answer: Any = None
    if is_known:
        is_trusted = _are_only_traced(type(client), package, outer, watched)
        is_trusted &= _are_only_traced(pipeline_class, package, PIPELINE_OUTER, watched)
        answer = (is_unwrapped and not is_pipeline and not is_measured) or ClientKind(
            package, not is_unwrapped, is_pipeline, is_trusted
        )
    return answer, tuple(watched.items()), (*found, *metrics)


def _examine_cluster(client: Any, package: str) -> Facts:
    """Tell whether a cluster's client sends commands as redis-py's own class does: CLUSTER, or None."""
    watched: dict[Any, Any] = {}
    parts = _cluster_parts(client, package)
    if len(parts) != 3 or any(map(_looks_up_by_itself, (type(client), *parts))):
        return None, (), ()
    pipeline, manager, plain = parts
    methods = (*COMMANDS, *_of_package(package, CLUSTER_METHODS))
    is_known = not is_set_on(client, *methods)
    is_known &= are_original(type(client), package, methods, watched)
    is_known &= are_original(pipeline, package, CLUSTER_PIPELINE_METHODS, watched)
    is_known &= are_original(manager, package, _of_package(package, NODES_METHODS), watched)
    is_known &= are_original(plain, package, ('parse_response',), watched)
    is_measured, metrics = _metrics_of(package)
    return CLUSTER if is_known and not is_measured else None, tuple(watched.items()), metrics


def _of_package(package: str, names: Iterable[str]) -> list[str]:
    """Return the package's names of what redis-py names after itself."""
    return [name.replace('redis', package) for name in names]


def node_client(client: Any, node: Any) -> Any:
    """Return the plain client of a node of a cluster."""
    get = getattr(client, 'get_redis_connection', None) or client.get_valkey_connection
    return get(node)


def _cluster_parts(client: Any, package: str) -> tuple[type, ...]:
    """Return the classes of its pipelines, of what knows its nodes, and of their clients; fewer if one is no class."""
    module, plain = vars(sys.modules[f'{package}.cluster']), vars(sys.modules[f'{package}.client'])
    found = (
        module.get('ClusterPipeline'),
        type(getattr(client, 'nodes_manager', None)),
        plain.get('Redis') or plain.get('Valkey'),
    )
    return tuple(part for part in found if isinstance(part, type))


def _package_of_cluster(client_class: type) -> str | None:
    """Return the client package whose class of a cluster's client this is, or is derived from; None for a pipeline."""
    names = {(base.__module__, base.__qualname__) for base in client_class.__mro__}
    for package, name in zip(PACKAGES, ('RedisCluster', 'ValkeyCluster'), strict=True):
        module = f'{package}.cluster'
        if (module, name) in names and (module, 'ClusterPipeline') not in names:
            return package
    return None


def _metrics_of(package: str) -> tuple[bool, tuple[Any, ...]]:
    """Tell whether the client package measures each command (redis.observability), and by which globals that is known.

    What sends commands through the package's own methods is measured.
    """
    recorder = sys.modules.get(f'{package}.observability.recorder')
    if recorder is None:
        return False, ()
    providers = import_module(f'{package}.observability.providers')
    owners = (
        (vars(recorder), '_metrics_collector'),
        (vars(providers.get_observability_instance()), '_provider_manager'),
        (vars(providers), '_observability_instance'),
    )
    values = [owner.get(name) for owner, name in owners]
    watched = tuple(part for (owner, name), value in zip(owners, values, strict=True) for part in (owner, name, value))
    return any(value is not None for value in values[:2]), watched


def is_measured(client_class: type) -> bool:
    """Tell whether the client package measures each command of such a client."""
    package = package_of_client(client_class)
    return package is not None and _metrics_of(package)[0]


def replaced_methods(client: Any) -> list[str]:
    """Return the names of the client's methods that are not redis-py's own, the ones that send first."""
    cluster_package = _package_of_cluster(type(client))
    package = cluster_package or package_of_client(type(client))
    if package is None:
        return []
    senders = _of_package(package, CLUSTER_METHODS) if cluster_package else CLIENT_OUTER + CLIENT_INNER
    names = dict.fromkeys((*senders, *COMMANDS))
    return [
        f'{name}()' for name in names if is_set_on(client, name) or not are_original(type(client), package, [name], {})
    ]


def _pipeline_of(client_class: type) -> tuple[dict[str, Any], str, Any] | None:
    """Return (namespace of the module, name, class) of the pipelines that a client of redis-py makes."""
    package = package_of_client(client_class)
    if package is None:
        return None
    module = vars(sys.modules[f'{package}.client'])
    return module, 'Pipeline', module.get('Pipeline')


def classes_of_pool(pool: Any) -> tuple[type, ...]:
    """Return the classes on whose methods the answer of examine_pool() depends."""
    connection_class = pool.connection_class
    if not isinstance(connection_class, type):
        return ()
    package = package_of_connections(connection_class)
    # The core tells pools of one class by the last one.
    if package is None:
        return type(pool), connection_class
    return type(pool), *_writers_of(package), _retry_class(package), connection_class


def examine_pool(pool: Any) -> Facts:
    """Tell whether the pool hands out connections of redis-py's own.

    True: it does. TRACED: there are tracers around what they write by. WRITES: they write as redis-py's own, at least.
    None: nobody knows.
    """
    connection_class = pool.connection_class
    package = package_of_connections(connection_class) if isinstance(connection_class, type) else None
    if package is None or is_set_on(pool, *POOLING) or any(map(_looks_up_by_itself, (type(pool), connection_class))):
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
    elif is_reading_original and _are_only_traced(connection_class, package, WRITING, watched):
        answer = TRACED
    return answer, tuple(watched.items()), ()


# What a connection turns commands into bytes with, and the methods by which that is done.
_WRITERS = ('_command_packer', 'encoder')
_WRITER_METHODS = ('encode', 'pack')


def writes_as_redis_py(connection: Any) -> bool:
    """Tell whether a connection writes commands as redis-py's own; that may depend on the object, not on its class."""
    package = package_of_connections(type(connection))
    if package is None or _looks_up_by_itself(type(connection)):
        return False
    packer, encoder = (getattr(connection, name, None) for name in _WRITERS)
    return (
        _are_only_traced(type(connection), package, WRITING, {})
        and not is_set_on(connection, *WRITING)
        and _is_original_writer(package, encoder, 'encode')
        and (packer is None or (_is_original_writer(package, packer, 'pack') and _encodes_by(packer, encoder)))
    )


def makes_only_original_connections(pool: Any, is_known: Callable[[Any], bool] = lambda function: False) -> bool:
    """Tell whether nobody has a say in what a connection is while the pool makes it.

    is_known: tells of the function that each connection calls then, if the pool has one, whether it is redis-py's own.
    """
    called = pool.connection_kwargs.get('redis_connect_func')
    return _init_guard(pool.connection_class).holds() and (called is None or is_known(called))


@lru_cache(maxsize=8)
def _init_guard(connection_class: type) -> _core.Guard:
    """Return what tells whether the class makes connections as the client package does; bulk calls ask often."""

    def look() -> tuple[bool, tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]:
        package, watched = package_of_connections(connection_class), dict[Any, Any]()
        holds = package is not None and are_original(connection_class, package, ('__init__',), watched)
        return holds, (), (connection_class,), tuple(watched.items())

    return _core.Guard(look)


def _is_original_writer(package: str, writer: Any, method: str) -> bool:
    return (
        _is_defined_by(package, type(writer))
        and _writes_originally(type(writer), package, {})
        and not is_set_on(writer, method)
    )


def _encodes_by(packer: Any, encoder: Any) -> bool:
    """Tell whether a packer that was given a method to encode by was given that of the connection's encoder."""
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


def _asks_before_commands(package: str, retry: Any) -> bool:
    """Tell whether a Retry has its own way to make calls, as a circuit breaker has; ours are told of failures only."""
    # A patch of the package's own class is for examine_pool() to see, which sees that it is gone, too.
    definer = next((base for base in type(retry).__mro__ if not vars(base).keys().isdisjoint(RETRYING)), None)
    return retry is not None and (
        definer is None or not definer.__module__.startswith(f'{package}.') or is_set_on(retry, *RETRYING)
    )


def _looks_up_by_itself(owner: Any) -> bool:
    """Tell whether a class has its own way to find attributes."""
    return owner.__getattribute__ is not object.__getattribute__


def is_set_on(found: Any, *names: str) -> bool:
    """Tell whether an object has an attribute of its own, beside its class's, under one of these names."""
    return not getattr(found, '__dict__', {}).keys().isdisjoint(names)


def package_of_client(client_class: type) -> str | None:
    """Return the client package whose client class this is, or is derived from."""
    for base in client_class.__mro__:
        package, _, rest = base.__module__.partition('.')
        if package in PACKAGES and rest == 'client' and base.__qualname__ in ('Redis', 'Valkey'):
            return package
    return None


def are_original(owner: type, package: str, names: Iterable[str], watched: dict[Any, Any]) -> bool:
    """Tell whether all of these methods of a class are as the client package defines them.

    A release that has no method of one of the names calls none. Adds to `watched` each function that was looked at,
    and its code.
    """
    originals = [_is_original(owner, package, name, watched, _found_on(owner, name)) for name in names]
    return all(originals)


def _are_only_traced(owner: type, package: str, names: Iterable[str], watched: dict[Any, Any]) -> bool:
    """Tell whether these methods are as the client package defines them, but for tracers around them."""
    return all(_is_original_inside(owner, package, name, watched) for name in names)


def _is_original_inside(owner: type, package: str, name: str, watched: dict[Any, Any]) -> bool:
    method = _found_on(owner, name)
    within = tracers.inside(method)
    while within is not None:
        method, within = within, tracers.inside(within)
    return _is_original(owner, package, name, watched, method)


def _found_on(owner: type, name: str) -> Any:
    return next((vars(base)[name] for base in owner.__mro__ if name in vars(base)), None)


def _is_original(owner: type, package: str, name: str, watched: dict[Any, Any], method: Any) -> bool:
    if method is None:
        return name.startswith('_')
    function = function_of(method)
    if function is None:
        return False
    watched[function] = function.__code__
    # Where the package defines it: what was patched may have been put back into a class that inherited it before.
    definers = ((base.__module__, f'{base.__qualname__}.{name}') for base in owner.__mro__)
    module, qualname = next(
        (each for each in definers if each[0].startswith(f'{package}.') and is_defined(*each)), ('', '')
    )
    if is_original(method, module, qualname):
        return True
    inside = undecorated(method, f'{package}.utils', 'deprecated_args.decorator.wrapper')
    if inside is None:
        return False
    watched[inside] = inside.__code__
    return is_original(inside, module, qualname)


def package_of_connections(connection_class: type) -> str | None:
    """Return the client package that a connection class comes from, by the base that all of them share."""
    packages = [c.__module__.partition('.')[0] for c in connection_class.__mro__ if c.__name__ == 'AbstractConnection']
    return packages[0] if packages and packages[0] in PACKAGES else None


def describe_pool(pool: Any) -> tuple[str, bool, str] | None:
    """Return how the core must open connections beside this pool; None if it cannot.

    The answer is the name of the pool's exceptions module; whether it decodes replies; and the name of its attribute
    with the connections in use. After reset() that holds another object, and connections made before are forgotten.
    """
    package = package_of_connections(pool.connection_class)
    if package is None:
        return None
    # Those of redis.asyncio.
    if iscoroutinefunction(pool.connection_class.connect):
        return None
    arguments = pool.connection_kwargs
    encoding = str(arguments.get('encoding') or 'utf-8').lower().replace('_', '-')
    if encoding not in ('utf-8', 'utf8') or (arguments.get('encoding_errors') or 'strict') != 'strict':
        return None
    # A connection that the pool does not know would not be closed with it.
    if not callable(getattr(pool, '_checkpid', None)) or _connections_in_use(pool) is None:
        return None
    # Client-side caching answers from memory what we would ask the server.
    if getattr(pool, 'cache', None) is not None:
        return None
    if arguments.get('socket_timeout') == 0:
        return None
    if not _is_defined_by(package, arguments.get('parser_class')) or arguments.get('command_packer') is not None:
        return None
    if _asks_before_commands(package, arguments.get('retry')):
        return None
    # The client wants answers of the server retried, not only broken connections.
    exceptions = import_module(f'{package}.exceptions')
    broken = (exceptions.ConnectionError, exceptions.TimeoutError, OSError)
    retried = arguments.get('retry_on_error') or ()
    if not isinstance(retried, Iterable):
        return None
    if not all(isinstance(error, type) and issubclass(error, broken) for error in retried):
        return None
    return f'{package}.exceptions', bool(arguments.get('decode_responses')), _attribute_of_connections_in_use(pool)


def _is_defined_by(package: str, given: Any) -> bool:
    """Tell whether this is a class of the client package, or none at all; redis-py 8 marks that by an object()."""
    if given is None or type(given) is object:
        return True
    module = sys.modules.get(getattr(given, '__module__', ''))
    name = getattr(given, '__qualname__', '')
    return module is not None and module.__name__.partition('.')[0] == package and vars(module).get(name) is given


def connection_arguments(pool: Any) -> tuple[type, dict[str, Any]]:
    """Return the class and the keyword arguments by which the pool makes its connections."""
    arguments = {
        name: value
        for name, value in pool.connection_kwargs.items()
        # redis-py 8 marks what was not given with an object() of its own, known by its identity.
        if name not in RUNTIME_ARGUMENTS and type(value) is not object
    }
    if DRIVER_ARGUMENTS.isdisjoint(arguments):
        arguments |= _driver_of(pool.connection_class)
    return pool.connection_class, arguments


def _driver_of(connection_class: type) -> dict[str, Any]:
    """Return the `driver_info` that the connection would build itself, as a keyword argument.

    Without it redis-py 7 and newer read their version from the package's metadata once more for each connection, which
    takes longer than all the rest of connecting.
    """
    package = package_of_connections(connection_class)
    if package is None or not are_original(connection_class, package, ('__init__',), {}):
        return {}
    driver = _own_driver(package)
    return {} if driver is None else {'driver_info': driver}


@cache
def _own_driver(package: str) -> Any:
    """Return the client package's DriverInfo of itself; None where it has no such thing."""
    try:
        return import_module(f'{package}.driver_info').DriverInfo()
    except (ImportError, AttributeError):
        return None


def _connections_in_use(pool: Any) -> set[Any] | list[Any] | None:
    """Return where the pool keeps the connections that it has handed out: a set, or a blocking pool's list.

    None for a pool of somebody's own, which may have no such place.
    """
    in_use = getattr(pool, _attribute_of_connections_in_use(pool), None)
    return in_use if isinstance(in_use, set | list) else None


def _attribute_of_connections_in_use(pool: Any) -> str:
    return '_connections' if getattr(pool, '_in_use_connections', None) is None else '_in_use_connections'


def _lock_of(pool: Any) -> AbstractContextManager[Any]:
    # The blocking pool of redis-py 5 has none.
    return getattr(pool, '_lock', None) or nullcontext()


def register(pool: Any, connection: Any) -> set[Any] | list[Any] | None:
    """Enter our connection among those in use, so that closing the client, or its pool, closes it too.

    Returns these, None where the pool keeps no such connections. It takes no slot of the pool: its cap counts what it
    made itself.
    """
    # In a forked child the pool's lock may be held by a thread that is not there: the pool makes itself anew.
    check_process = getattr(pool, '_checkpid', None)
    if check_process is None:
        return None
    check_process()
    with _lock_of(pool):
        in_use = _connections_in_use(pool)
        if isinstance(in_use, set):
            in_use.add(connection)
        elif in_use is not None:
            in_use.append(connection)
    return in_use


def unregister(pool: Any, connection: Any) -> None:
    """Take our connection out again, unless the pool has forgotten it already."""
    with _lock_of(pool):
        in_use = _connections_in_use(pool)
        if in_use is not None and connection in in_use:
            in_use.remove(connection)


# The fields of CLIENT INFO on which the effect of a command depends.
_SESSION_FIELDS = (b'db', b'flags', b'resp', b'user')


def is_same_session(pool: Any, ours: Any) -> bool:
    """Return whether the server treats the pool's idle connection as ours: by database, user and modes.

    Somebody may have sent SELECT or AUTH over it. The answer is kept with the connection, and asked for once. One round
    trip.

    Args:
        ours: The reply to CLIENT INFO on our connection, or the server's error. The same error on both counts as the
            same: the server is too old, or the user has no right to ask.
    """
    if pool.pid != getpid():
        # The parent's connections, which redis-py drops when it next uses the pool.
        return True
    try:
        connection, theirs = _ask_idle(pool)
    except Exception as error:
        if not is_broken_connection(error):
            raise
        # It is closed, and connects with the pool's arguments when it is used again.
        return True
    is_same: bool = _session_of(theirs) == _session_of(ours)
    connection._rqreg_ext_is_same = is_same
    return is_same


def get_connection(pool: Any, name: str) -> Any:
    """Return a connection of the pool for the command of this name."""
    # redis-py 5 wants the name; newer releases warn about one.
    wants_name = next(iter(signature(pool.get_connection).parameters.values())).default is Parameter.empty
    return pool.get_connection(name) if wants_name else pool.get_connection()


def _ask_idle(pool: Any) -> tuple[Any, Any]:
    """Return the connection that the pool uses next, and its reply to CLIENT INFO, or the server's error."""
    connection = get_connection(pool, 'CLIENT')
    try:
        connection.send_command('CLIENT', 'INFO')
        try:
            return connection, connection.read_response(disable_decoding=True)
        except Exception as error:
            if is_broken_connection(error) or not _is_from_server(error):
                raise
            return connection, error
    except BaseException:
        connection.disconnect()
        raise
    finally:
        pool.release(connection)


def _is_from_server(error: Exception) -> bool:
    return any(owner.__name__ == 'ResponseError' for owner in type(error).__mro__)


def _session_of(description: Any) -> Any:
    if isinstance(description, Exception):
        return str(description)
    text = description if isinstance(description, bytes) else str(description).encode()
    fields = (field.partition(b'=')[::2] for field in text.split())
    return sorted(field for field in fields if field[0] in _SESSION_FIELDS)


def is_out_of_descriptors(error: BaseException) -> bool:
    """Tell whether connecting failed because this process, or the system, has no descriptor left."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (EMFILE, ENFILE):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def retry_of(connection: Any) -> tuple[Any, Callable[[Exception], None]]:
    """Return the Retry of a connection that failed, and what it is to call on each failure.

    redis-py 5 (and valkey-py) tries again only what `retry_on_error` names; redis-py 6 whatever its Retry takes.
    """
    package = import_module(package_of_connections(type(connection)) or PACKAGES[0])
    client_class = getattr(package, 'Valkey', None) or package.Redis
    named = tuple(connection.retry_on_error or ()) if hasattr(client_class, '_disconnect_raise') else (Exception,)

    def on_failure(error: Exception) -> None:
        if not isinstance(error, named):
            raise error

    return connection.retry, on_failure


def reading_error(connection: Any, arguments: Any) -> str:
    """Return the client's words for an OSError of these arguments while reading; its parser has a say in them."""
    if type(connection._parser).__module__.endswith('.hiredis'):
        return f'Error while reading from socket: {arguments}'
    return f'Error while reading from {connection._host_error()} : {arguments}'


def is_demoted(connection: Any, error: Exception) -> bool:
    """Tell whether a read-only answer says that the server of this connection is no longer the Sentinel's master."""
    pool = getattr(connection, 'connection_pool', None)
    return type(error).__name__ == 'ReadOnlyError' and getattr(pool, 'is_master', False) is True


def client_of(url: str) -> Any:
    """Return the redis-py client of a URL, the same one for the same URL in this process."""
    client = _clients_by_url.get(url)
    if client is None:
        import redis

        try:
            client = _cluster_of(url) if _CLUSTER_SCHEME in url else redis.Redis.from_url(url)
        except ValueError as error:
            raise ValueError(
                f'connection={url!r} is no URL that redis-py takes ({error}); '
                'give one like redis://localhost:6379/0, redis+cluster://localhost:7000 for a cluster, or a client'
            ) from error
        client = _clients_by_url.setdefault(url, client)
    return client


_CLUSTER_SCHEME = '+cluster://'


def _cluster_of(url: str) -> Any:
    """Return a client of the cluster that redis+cluster://HOST:PORT,HOST:PORT or rediss+cluster://... names.

    redis-py takes a URL of one node, and further nodes beside it.
    """
    from redis.cluster import ClusterNode, RedisCluster

    scheme, _, rest = url.partition(_CLUSTER_SCHEME)
    place = re.split('[/?#]', rest, maxsplit=1)[0]
    user, at, hosts = place.rpartition('@')
    first, *others = hosts.split(',')
    parsed = [urlsplit(f'//{host}') for host in others]
    nodes = [ClusterNode(node.hostname, node.port or 6379) for node in parsed]  # type: ignore[no-untyped-call]
    return RedisCluster.from_url(f'{scheme}://{user}{at}{first}{rest[len(place) :]}', startup_nodes=nodes)


def is_broken_connection(error: Exception) -> bool:
    """Tell whether this is a client's error of its connection, not the server's answer to one command."""
    return any(
        owner.__name__ in ('ConnectionError', 'TimeoutError') and owner.__module__.partition('.')[0] in PACKAGES
        for owner in type(error).__mro__
    )


def client_from(connection: Any) -> Any:
    """Return the client that a `connection` argument names: a client itself, or a URL."""
    if isinstance(connection, str):
        return client_of(connection)
    execute = getattr(connection, 'execute_command', None)
    if execute is None or iscoroutinefunction(execute):
        raise TypeError(
            f'connection={connection!r} is no client to ask: give one of redis-py (not of redis.asyncio), '
            'or a URL like redis://localhost:6379/0'
        )
    return connection


def decodes(client: Any) -> bool:
    """Tell whether the client decodes responses, job data included."""
    encoder = getattr(client, 'get_encoder', None)
    return encoder is not None and bool(encoder().decode_responses)


def are_of_one_database(client: Any, other: Any) -> bool:
    """Tell whether two clients talk to the same database, by what they are configured with."""
    place = _place_of(client)
    return client is other or (place is not None and place == _place_of(other))


def _place_of(client: Any) -> tuple[Any, ...] | None:
    pool = getattr(client, 'connection_pool', None)
    arguments = getattr(pool, 'connection_kwargs', None)
    if not isinstance(arguments, dict):
        return None
    path, host, port = (arguments.get(name) for name in ('path', 'host', 'port'))
    # A Sentinel's client has the name of a service instead of a host; a fake one may have a server of its own.
    service, server = getattr(pool, 'service_name', None), arguments.get('server')
    address = path or (host or 'localhost', int(port or 6379))
    return address, int(arguments.get('db') or 0), service, id(server) if server is not None else None


def is_of_timer(error: Exception) -> bool:
    """Tell whether an error is raised by RQ's timer, in whatever happens to run."""
    return any(owner.__name__ == 'BaseTimeoutException' for owner in type(error).__mro__)
