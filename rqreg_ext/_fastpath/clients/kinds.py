"""How a client sends commands: as redis-py's (or valkey-py's) own does, through wrappers, or in an unknown way.

The core asks once for each kind of client, and again when their classes change (src/client_check.c); never per call.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from .packages import (
    Facts,
    are_only_traced,
    are_original,
    is_defined_by,
    is_set_on,
    overrides_getattribute,
    package_of_client,
    package_of_cluster,
)

# The methods of a client that RQ calls for registries and their jobs. A client that overrides one of them is called by
# its own method.
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
# The methods below these, down to the connection. Others wrap the outer ones.
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
# The same for a cluster's client, and the methods by which it finds the node of a key and makes that node's client.
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
# The answer of examine_client() for redis-py's own client of a cluster.
CLUSTER = 'cluster'


class Observations:
    """The core's observations of clients of one kind, whose commands go through wrappers (src/wrapped_call.c).

    is_as_rq: whether the wrappers must get what RQ's call gives them, command by command, with the options that
    redis-py's method gives; False for known tracers, which read names and keys only.
    arrived: names of commands that arrived as they were given. is_opaque: they are used by their methods from now on.
    passed_keys: if is_as_rq, the keys of the registries on which a script may take the place of RQ's commands, since
    the wrappers pass these on; None if their pipelines, which RQ's calls use, are of another's class, and once they
    have changed or refused something.
    stand_in_class: of the objects that stand in for them, once there is one.
    """

    __slots__ = ('arrived', 'is_as_rq', 'is_opaque', 'passed_keys', 'stand_in_class')

    def __init__(self, is_as_rq: bool, has_own_pipelines: bool) -> None:
        self.is_as_rq = is_as_rq
        self.arrived: set[str] = set()
        self.is_opaque = False
        self.passed_keys: set[str] | None = None if has_own_pipelines else set()
        self.stand_in_class: type | None = None


class ClientKind:
    """Clients whose commands reach redis-py's own methods in the end, even if these are wrapped or overridden.

    package: 'redis' or 'valkey'.
    is_wrapped: whether something does stand in front of execute_command(), or of what a pipeline is made and sent by.
    is_pipeline: whether it is not a client, but a pipeline.
    is_trusted: whether nothing does but tracers that are known to pass on what they get (tracers.py).
    has_own_pipelines: whether their pipelines are of a class that is not the package's.
    observations: what the core has seen of them; None where single calls are left to RQ's methods.
    notes: what wrapped.py has found out about them, by the key under which it keeps it.
    """

    def __init__(
        self,
        package: str,
        *,
        is_wrapped: bool,
        is_pipeline: bool,
        is_trusted: bool,
        is_measured: bool,
        has_own_pipelines: bool,
    ) -> None:
        self.package = package
        self.is_wrapped = is_wrapped
        self.is_pipeline = is_pipeline
        self.is_trusted = is_trusted
        # Commands that are measured are sent by redis-py's own method, which does not show their options.
        is_left_to_rq = is_pipeline or (is_measured and not is_trusted)
        self.observations = None if is_left_to_rq else Observations(not is_trusted, has_own_pipelines)
        self.notes: dict[str, Any] = {}


def classes_of_client(client: Any) -> tuple[type, ...]:
    """Return the classes on whose methods the answer of examine_client() depends."""
    package = package_of_cluster(type(client))
    if package is not None:
        return (type(client), *_cluster_parts(client, package))
    found = _pipeline_of(type(client))
    return (type(client), found[2]) if found and isinstance(found[2], type) else (type(client),)


def examine_client(client: Any) -> Facts:
    """Tell how a client sends commands.

    True: as redis-py's own client class does. CLUSTER: as redis-py's own client of a cluster does. A ClientKind: its
    commands reach redis-py's own methods in the end. None: not known, since its class, a patch or the client itself
    replaces what sends commands.
    """
    cluster_package = package_of_cluster(type(client))
    if cluster_package is not None:
        return _examine_cluster(client, cluster_package)
    package, found = package_of_client(type(client)), _pipeline_of(type(client))
    if package is None or found is None:
        return None, (), ()
    pipeline_class = found[2]
    watched: dict[Any, Any] = {}
    if not isinstance(pipeline_class, type) or overrides_getattribute(type(client)):
        return None, (), found
    is_pipeline = issubclass(type(client), pipeline_class)
    inner, outer = (
        (COMMANDS + PIPELINE_INNER, PIPELINE_OUTER) if is_pipeline else (COMMANDS + CLIENT_INNER, CLIENT_OUTER)
    )
    is_original = not is_set_on(client, *inner, *outer)
    is_original &= are_original(type(client), package, inner, watched)
    is_original &= are_original(pipeline_class, package, COMMANDS + PIPELINE_INNER, watched)
    is_unwrapped = are_original(type(client), package, outer, watched)
    is_unwrapped &= are_original(pipeline_class, package, PIPELINE_OUTER, watched)
    is_measured, metrics = _metrics_of(package)
    answer: Any = None
    if is_original:
        is_trusted = are_only_traced(type(client), package, outer, watched)
        is_trusted &= are_only_traced(pipeline_class, package, PIPELINE_OUTER, watched)
        answer = (is_unwrapped and not is_pipeline and not is_measured) or ClientKind(
            package,
            is_wrapped=not is_unwrapped,
            is_pipeline=is_pipeline,
            is_trusted=is_trusted,
            is_measured=is_measured,
            has_own_pipelines=not is_defined_by(package, pipeline_class),
        )
    return answer, tuple(watched.items()), (*found, *metrics)


def _examine_cluster(client: Any, package: str) -> Facts:
    """Tell whether a cluster's client sends commands as redis-py's own class does: CLUSTER, or None."""
    watched: dict[Any, Any] = {}
    parts = _cluster_parts(client, package)
    if len(parts) != 3 or any(map(overrides_getattribute, (type(client), *parts))):
        return None, (), ()
    pipeline, manager, plain = parts
    methods = (*COMMANDS, *_of_package(package, CLUSTER_METHODS))
    is_original = not is_set_on(client, *methods)
    is_original &= are_original(type(client), package, methods, watched)
    is_original &= are_original(pipeline, package, CLUSTER_PIPELINE_METHODS, watched)
    is_original &= are_original(manager, package, _of_package(package, NODES_METHODS), watched)
    is_original &= are_original(plain, package, ('parse_response',), watched)
    is_measured, metrics = _metrics_of(package)
    return CLUSTER if is_original and not is_measured else None, tuple(watched.items()), metrics


def _of_package(package: str, names: Iterable[str]) -> list[str]:
    """Return the names with the package's own name in place of redis."""
    return [name.replace('redis', package) for name in names]


def node_client(client: Any, node: Any) -> Any:
    """Return the plain client of a node of a cluster."""
    get = getattr(client, 'get_redis_connection', None) or client.get_valkey_connection
    return get(node)


def _cluster_parts(client: Any, package: str) -> tuple[type, ...]:
    """Return the classes of its pipelines, nodes manager and nodes' clients, without those that are not classes."""
    module, plain = vars(sys.modules[f'{package}.cluster']), vars(sys.modules[f'{package}.client'])
    found = (
        module.get('ClusterPipeline'),
        type(getattr(client, 'nodes_manager', None)),
        plain.get('Redis') or plain.get('Valkey'),
    )
    return tuple(part for part in found if isinstance(part, type))


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
    cluster_package = package_of_cluster(type(client))
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
