"""How a client may be used, decided for every call of the package by the client's methods at the time of the call.

Directly: the client, its pool and its connections are redis-py's own. Commands go over connections of ours. The core
decides that (client_check.c); what is here is for all other clients.

Observed: execute_command() or Pipeline.execute() is wrapped, and the wrapper passes on its arguments, as tracers do.
Commands go through the client. That each arrives unchanged is seen in redis-py's own method that sends it, before it
is sent, over connections of ours (stand_in.c, wrapped.py). Where something else than a known tracer is in the way
(tracers.py), single calls are RQ's commands, one by one and as RQ's call gives them; and a script only after the
client was seen to pass on RQ's commands (wrapped.py).

By methods: all other clients, such as one that puts a prefix before each key, a wrapper object, or a mock. Only RQ's
commands are sent, one by one, by the methods that RQ calls. No scripts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ... import _core
from .. import cluster
from . import wrapped
from .by_methods import ClientRefusedError, Words, by_methods, call_or_error, client_refused
from .configuration import are_of_one_database
from .kinds import ClientKind
from .packages import is_set_on
from .pools import makes_only_original_connections

__all__ = [
    'ClientRefusedError',
    'answers_unchanged',
    'client_refused',
    'is_cluster',
    'kind_of',
    'send',
    'sends_directly',
    'sends_unchanged',
    'share_keys',
]


def send(client: Any, commands: Sequence[Words], on_resent: Callable[[], object] | None = None) -> list[Any]:
    """Return the reply to each command, mostly as the server gave it; its error for one is an exception in its place.

    One round trip by a client that is not wrapped. By an observed one a second one, in which the first command goes by
    itself. One for each command by a cluster's client, and by methods.
    on_resent: called if a wrapped client's Retry sent a command more than once.
    Raises ClientRefusedError for a command that RQ does not send, if the client is used by its methods.
    """
    if is_cluster(client):
        return [call_or_error(client.execute_command, *words) for words in commands]
    kind = kind_of(client)
    if kind is None:
        return by_methods(client, commands)
    return wrapped.send(client, kind, commands, on_resent)


def sends_directly(client: Any) -> bool:
    """Tell whether commands go over connections of ours. No round trip, and nothing is tried."""
    # Whether code of others has a say in a connection is seen only when one is made.
    return _core.is_direct(client) and makes_only_original_connections(client.connection_pool)


def sends_unchanged(client: Any, registry_key: Any = None) -> bool:
    """Tell whether all commands may be sent by this client, scripts above all, since it sends what it is given.

    registry_key: of the registry that the commands are to change. An observed client reads it, in one round trip.
    Otherwise there is none: such a client is tried, once, with commands that are not sent.
    """
    if sends_directly(client):
        return True
    if is_cluster(client):
        return cluster.runs_scripts(client, registry_key)
    kind = kind_of(client)
    return kind is not None and wrapped.is_transparent(client, kind, registry_key)


def answers_unchanged(client: Any, job_key: str) -> bool:
    """Tell whether the client returns a job's hash unchanged, before a script changes that job.

    One round trip by an observed client.
    """
    if _core.is_direct(client) or is_cluster(client):
        return True
    kind = kind_of(client)
    return kind is not None and wrapped.answers_unchanged(client, kind, ('HGETALL', job_key))


def share_keys(client: Any, other: Any) -> bool:
    """Tell whether two clients mean the same by a key: they talk to one database, and neither changes what is sent."""
    if client is other:
        return True
    return are_of_one_database(client, other) and all(map(_leaves_keys_alone, (client, other)))


def _leaves_keys_alone(client: Any) -> bool:
    return is_cluster(client) or sends_unchanged(client)


def is_cluster(client: Any) -> bool:
    """Tell whether the client keeps keys on several servers, whose pipelines and scripts take some commands only."""
    return hasattr(type(client), 'get_node_from_key') or is_set_on(client, 'get_node_from_key')


def kind_of(client: Any) -> Any:
    """Return the kind of a client whose commands reach redis-py's methods; True if it is redis-py's own, else None.

    None also for a client with a connection of its own, which may have another database: its pipelines have others.
    """
    if getattr(client, 'connection', None) is not None:
        return None
    try:
        kind = _core.check_client(client)
    except AttributeError:
        # It has no attributes at all.
        return None
    return None if isinstance(kind, ClientKind) and kind.is_pipeline else kind
