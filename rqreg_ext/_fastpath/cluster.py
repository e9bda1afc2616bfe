"""Redis Cluster: the node that a command goes to, and what to do if the key is no longer there.

The client, redis-py's RedisCluster or valkey-py's ValkeyCluster, knows which node has which slot. Each of its nodes
has a plain client, whose connections the core uses as it does those of any other client. Where all of RQ's keys share
a slot, because RQ_KEY_PREFIX has a hash tag, scripts run as on a single server.

    answer                        what is done                                          sent again
    MOVED                         the client's table of slots is corrected              at once
    ASK                           a command on one key goes to that node, with ASKING   at once
                                  a script waits until all keys are there               after a pause
    TRYAGAIN, a key elsewhere     nothing: the slot is moving                           after a pause
    CLUSTERDOWN                   the client's table is read anew                       after a pause
    none: the connection broke    the same                                              as the client's Retry says

None of that is a refusal of scripts: RQ's own methods, of several commands, would get half way.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

from .. import _core
from . import script_constants
from .clients.errors import is_broken_connection
from .clients.kinds import CLUSTER, node_client
from .clients.pools import makes_only_original_connections
from .server_errors import Meaning, meaning_of

__all__ = [
    'exchange',
    'follow',
    'has_one_slot',
    'is_original_client',
    'node_of_key',
    'note',
    'primaries',
    'runs_scripts',
]

# How often a redirect is followed, as in redis-py.
_MOST_REDIRECTS = 16
# The pauses before it, in seconds; each is twice as long as the previous. Together they are five seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.5
# After this number of MOVED in a row there is a pause.
_MOVED_AT_ONCE = 3

_KEYLESS = frozenset({'DBSIZE', 'SCAN', 'TIME', 'WAIT'})
_SCRIPTS = frozenset({'EVAL', 'EVALSHA'})
# Errors that another node would give too.
_CLIENT_SIDE_ERRORS = frozenset({'AuthenticationError', 'AuthorizationError', 'MaxConnectionsError'})

Commands = Sequence[tuple[Any, ...]]


# ---- The client


def is_original_client(client: Any) -> bool:
    """Tell whether a cluster's client and the classes of its pipelines and nodes are redis-py's own, and unpatched."""
    return bool(_core.check_client(client) == CLUSTER)


def runs_scripts(client: Any, registry_key: Any = None) -> bool:
    """Tell whether a script may change RQ's keys by this client: they share a slot, and all is sent as it is given."""
    key = registry_key or _job_prefix()
    if not is_original_client(client) or not has_one_slot(key):
        return False
    node = node_of_key(client, key)
    return (
        node is not None
        and _core.check_pool(node.connection_pool) is True
        and makes_only_original_connections(node.connection_pool, is_own_hook=_connects_by(client))
    )


def _job_prefix() -> str:
    return script_constants.key_prefixes['job_prefix'].decode()


def _connects_by(client: Any) -> Callable[[Any], bool]:
    """Return whether what a connection calls when it has connected is the client's own, and calls no other function."""
    return lambda function: (
        getattr(function, '__self__', None) is client and getattr(client, 'user_on_connect_func', None) is None
    )


def has_one_slot(key: str) -> bool:
    """Tell whether all keys of RQ have the hash tag of this key."""
    tag = _tag_of(key)
    return tag is not None and _tags_of_rq() == {tag}


@cache
def _tags_of_rq() -> frozenset[str | None]:
    return frozenset(_tag_of(prefix.decode()) for prefix in script_constants.key_prefixes.values() if prefix)


def _tag_of(key: str) -> str | None:
    """Return the hash tag of a key; None if it has none."""
    start = key.find('{')
    end = key.find('}', start + 1) if start >= 0 else -1
    return key[start + 1 : end] if end > start + 1 else None


# ---- The nodes


def node_of_key(client: Any, key: Any) -> Any:
    """Return the plain client of the node that has a key; None if the client knows none."""
    try:
        return node_client(client, client.get_node_from_key(key))
    except Exception as error:
        if type(error).__name__ == 'SlotNotCoveredError':
            return None
        raise


def primaries(client: Any) -> list[Any]:
    """Return the plain clients of all primaries."""
    return [node_client(client, node) for node in client.get_primaries()]


def _node_asked(client: Any, error: Any) -> Any:
    """Return the plain client of the node that an ASK names."""
    return node_client(client, _node_named_by(client, error))


def _node_named_by(client: Any, error: Any) -> Any:
    """Return the node that a redirect names. redis-py has no node for an ASK to one that it has not heard of."""
    manager = client.nodes_manager
    node = manager.get_node(host=error.host, port=error.port)
    if node is None:
        node_class = sys.modules[type(manager).__module__].ClusterNode
        node = node_class(error.host, error.port, 'primary')
        with manager._lock:
            node = manager.nodes_cache.setdefault(node.name, node)
    return node


# ---- After an error


def follow(client: Any, error: Any, attempt: int) -> bool:
    """Tell whether the same may be sent again after this error; waits, and has the client know what it says.

    attempt: which one failed, counted from 1.
    """
    if _is_lost(error):
        if attempt > _retries_of(client):
            return False
        _read_slots(client)
        _wait_as_retry_does(client, attempt)
        return True
    if meaning_of(error) is not Meaning.REDIRECT or attempt >= _MOST_REDIRECTS:
        return False
    note(client, error)
    if type(error).__name__ != 'MovedError' or attempt > _MOVED_AT_ONCE:
        time.sleep(min(_FIRST_PAUSE * 2 ** (attempt - 1), _LONGEST_PAUSE))
    if type(error).__name__ == 'ClusterDownError':
        _read_slots(client)
    return True


def note(client: Any, error: Any) -> bool:
    """Have the client know what an error says of its nodes; tell whether it is one that its own methods follow."""
    if _is_lost(error):
        return True
    if meaning_of(error) is not Meaning.REDIRECT:
        return False
    name = type(error).__name__
    if name == 'MovedError':
        _move_slot(client, error)
    elif name == 'AskError':
        _node_named_by(client, error)
    return True


def _is_lost(error: Any) -> bool:
    """Tell whether the connection to the node broke, or could not be made."""
    return is_broken_connection(error) and not any(
        owner.__name__ in _CLIENT_SIDE_ERRORS for owner in type(error).__mro__
    )


def _retries_of(client: Any) -> int:
    """Return how often the client sends a command again that was not answered."""
    # redis-py 5 has a number of its own for that.
    count: Any = getattr(client, 'cluster_error_retry_attempts', None)
    if count is None:
        count = getattr(getattr(client, 'retry', None), '_retries', 0)
    # A negative number means for ever.
    return _MOST_REDIRECTS if count < 0 else int(count)


def _wait_as_retry_does(client: Any, failures: int) -> None:
    backoff = getattr(getattr(client, 'retry', None), '_backoff', None)
    seconds = backoff.compute(failures) if backoff is not None else min(_FIRST_PAUSE * 2**failures, _LONGEST_PAUSE)
    if seconds > 0:
        time.sleep(seconds)


def _read_slots(client: Any) -> None:
    """Have the client read its table of slots anew, from any node that answers."""
    try:
        client.nodes_manager.initialize()
    except Exception as error:
        # No node answers, or some slots have no node: the call is tried with the table as it is.
        if not any(owner.__name__ == 'RedisError' for owner in type(error).__mro__) and not is_broken_connection(error):
            raise


def _move_slot(client: Any, error: Any) -> None:
    client.reinitialize_counter += 1
    steps = client.reinitialize_steps
    manager = client.nodes_manager
    if steps and client.reinitialize_counter % steps == 0:
        client.reinitialize_counter = 0
        _read_slots(client)
    elif hasattr(manager, 'move_slot'):
        manager.move_slot(error)
    else:
        # redis-py before 7 corrects its table when the next command asks for the slot.
        manager.update_moved_exception(error)
        manager.get_node_from_slot(error.slot_id)


# ---- Exchange


def exchange(
    client: Any,
    commands: Commands,
    on_resent: Callable[[], object] | None,
    by_client: Callable[[Any, Commands, Callable[[], object] | None], list[Any]],
) -> list[Any]:
    """Return the reply to each command: one round trip for each node, and more after a redirect.

    Commands without a key go where the first one with a key goes. by_client: sends commands by the client itself.
    Raises redis.exceptions.RedisError if a node is lost, after what the client's Retry says.
    """
    return _Exchange(client, commands, on_resent, by_client).run()


class _Exchange:
    def __init__(self, client: Any, commands: Commands, on_resent: Any, by_client: Any) -> None:
        self._client = client
        self._commands = commands
        self._on_resent = on_resent
        self._by_client = by_client
        self._replies: list[Any] = [None] * len(commands)
        self._losses = 0
        self._redirects = 0

    def run(self) -> list[Any]:
        unsent: Sequence[int] = range(len(self._commands))
        # Mostly one node has all keys.
        found = self._unless_lost(lambda: _core.exchange_with_node(self._client, self._commands, self._on_resent))
        if found is _LOST:
            found = None
        if found is not None:
            self._replies, errors = found
            waits = [index for index in unsent if self._commands[index][1] == 'WAIT'] if errors else []
            indices = sorted({*errors, *waits})
            unsent = self._take([(indices, [self._replies[index] for index in indices])])
        while unsent:
            unsent = self._send(unsent)
        return self._replies

    def _send(self, indices: Sequence[int]) -> list[int]:
        """Send these commands, each to the node that has its key; return those that are to be sent again."""
        return self._take([(of_node, self._replies_of(node, of_node)) for node, of_node in self._by_node(indices)])

    def _take(self, answered: Iterable[tuple[Sequence[int], Sequence[Any]]]) -> list[int]:
        """Keep the replies to the commands of these indices; return those of the commands to be sent again."""
        again: list[int] = []
        redirects: dict[str, Exception] = {}
        waits: list[int] = []
        for indices, replies in answered:
            for index, answer in zip(indices, replies, strict=True):
                if self._commands[index][1] == 'WAIT':
                    waits.append(index)
                reply = self._replies[index] = self._asked(index, answer) if isinstance(answer, Exception) else answer
                if reply is _LOST:
                    again.append(index)
                elif isinstance(reply, Exception) and meaning_of(reply) is Meaning.REDIRECT:
                    again.append(index)
                    redirects.setdefault(str(reply), reply)
        if redirects and not self._follow(list(redirects.values())):
            # These stay in place of the replies.
            again = [index for index in again if self._replies[index] is _LOST]
        # WAIT is about what its connection has written before.
        return sorted({*again, *waits}) if again else []

    def _follow(self, redirects: Sequence[Exception]) -> bool:
        """Note all of them, and wait for one; tell whether to send again."""
        self._redirects += 1
        *others, last = redirects
        for error in others:
            note(self._client, error)
        return follow(self._client, last, self._redirects)

    def _by_node(self, indices: Iterable[int]) -> list[tuple[Any, list[int]]]:
        nodes: dict[Any, Any] = {}
        groups: dict[int, tuple[Any, list[int]]] = {}
        keyless: list[int] = []
        for index in indices:
            key = _key_of(self._commands[index])
            if key is None:
                keyless.append(index)
                continue
            tag = key if isinstance(key, bytes) else _tag_of(key) or key
            if tag not in nodes:
                nodes[tag] = node_of_key(self._client, key)
            groups.setdefault(id(nodes[tag]), (nodes[tag], []))[1].append(index)
        if keyless:
            node, of_node = next(iter(groups.values())) if groups else (self._any_node(), [])
            groups[id(node)] = (node, sorted([*of_node, *keyless]))
        return list(groups.values())

    def _any_node(self) -> Any:
        return node_of_key(self._client, _job_prefix())

    def _replies_of(self, node: Any, indices: Sequence[int]) -> list[Any]:
        """Return the replies, _LOST for each if the node was lost and they may be sent again."""
        commands = [self._commands[index] for index in indices]
        replies: Any = None
        if node is not None:
            replies = self._unless_lost(lambda: _core.exchange(node, commands, self._on_resent, True))
        if replies is _LOST:
            return [_LOST] * len(indices)
        if replies is None:
            replies = self._by_client(self._client, commands, self._on_resent)
        return list(replies)

    def _unless_lost(self, send: Callable[[], Any]) -> Any:
        """Return what is sent for, or _LOST if the node was lost and it may be sent again."""
        try:
            return send()
        except Exception as error:
            if not _is_lost(error):
                raise
            self._losses += 1
            if not follow(self._client, error, self._losses):
                raise
            if self._on_resent is not None:
                self._on_resent()
            return _LOST

    def _asked(self, index: int, reply: Any) -> Any:
        """Return the reply to a command on one key of the node that an ASK names, or what the reply is."""
        command = self._commands[index]
        if type(reply).__name__ != 'AskError' or command[1] in _SCRIPTS:
            return reply
        asking = [(_core.NOTHING, 'ASKING'), command]
        node = _node_asked(self._client, reply)
        replies = self._unless_lost(lambda: _core.exchange(node, asking, self._on_resent, True))
        if replies is _LOST:
            return _LOST
        return reply if replies is None else replies[1]


class _Lost(Exception):
    """In place of a reply that is lost."""


_LOST = _Lost('the connection to the node was lost')


def _key_of(command: Sequence[Any]) -> Any:
    name = command[1]
    if name in _SCRIPTS:
        return command[4] if command[3] else None
    return None if name in _KEYLESS else command[2]
