"""How a client may be used, decided for every call of the package by what stands there at the time of the call.

Directly: the client, its pool and its connections are redis-py's own. Commands go over connections of ours. The core
decides that (client_check.c); what is here is for all other clients.

Observed: somebody wraps execute_command() or Pipeline.execute() and passes on what he is given, as tracing tools do.
Commands go through the client. That each arrives unchanged is seen in redis-py's own method that sends it, before it
is sent.

By methods: whatever else there is, like a client that puts a prefix before each key, a wrapper, or a mock. Only what RQ
sends is sent, by the methods that RQ calls, one by one. No scripts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import _core, _observed
from ._by_methods import NotSent, Words, answer_of, by_methods, refusal
from ._clients import ClientKind, are_of_one_database, is_set_on, makes_only_original_connections

__all__ = ['NotSent', 'is_cluster', 'require_unchanged', 'send', 'sends_unchanged', 'share_keys']


def send(client: Any, commands: Sequence[Words]) -> list[Any]:
    """Return the reply to each command, mostly as the server gave it; its error for one is an exception in its place.

    One round trip by a client that is not wrapped. By an observed one a second one, in which the first command goes by
    itself. One for each command on a cluster, and by methods.
    Raises NotSent for a command that RQ does not send, if the client is used by its methods.
    """
    if is_cluster(client):
        return [answer_of(client.execute_command, *words) for words in commands]
    kind = _kind_of(client)
    if kind is None:
        return by_methods(client, commands)
    return _observed.send(client, kind, commands)


def sends_unchanged(client: Any, probe: Words = _observed.PROBES[-1]) -> bool:
    """Tell whether all commands may be sent by this client, scripts above all, since it sends what it is given.

    probe: a command that changes nothing, by which an observed client is tried: two round trips, and eight more for the
    first one of its kind.
    """
    # What a connection turns out to be is seen when one is made.
    if _core.is_direct(client) and makes_only_original_connections(client.connection_pool):
        return True
    kind = None if is_cluster(client) else _kind_of(client)
    return kind is not None and _observed.is_transparent(client, kind, probe)


def require_unchanged(client: Any, call: str) -> None:
    """Raise NotImplementedError, before anything is changed, for a client by which a call cannot be made.

    A cluster is the caller's own matter.
    """
    if not is_cluster(client) and not sends_unchanged(client):
        raise refusal(client, call)


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


def _kind_of(client: Any) -> Any:
    """Return the kind of a client that goes through redis-py's methods in the end; True for a plain one, or None.

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
