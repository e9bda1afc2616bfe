"""Derived, wrapped and patched clients of a cluster; run in the child."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from redis.cluster import ClusterNode, NodesManager, RedisCluster

from .calls import BULK, CALLS, Place, answer, by_ours, client_of, counted
from .state import fill, flush

Heard = list[str]


class Derived(RedisCluster):
    """A class that changes nothing."""


def _derived(place: Place, heard: Heard) -> Any:
    return Derived(startup_nodes=[ClusterNode(*address) for address in place.masters])


def _overriding(place: Place, heard: Heard) -> Any:
    class Overriding(RedisCluster):
        def execute_command(self, *args: Any, **kwargs: Any) -> Any:
            heard.append(args[0])
            return super().execute_command(*args, **kwargs)

    return Overriding(startup_nodes=[ClusterNode(*address) for address in place.masters])


def _with_own_execute_command(place: Place, heard: Heard) -> Any:
    client = _derived(place, heard)
    send = client.execute_command

    def execute_command(*args: Any, **kwargs: Any) -> Any:
        heard.append(args[0])
        return send(*args, **kwargs)

    client.execute_command = execute_command
    return client


def _with_connect_function(place: Place, heard: Heard) -> Any:
    return RedisCluster(
        startup_nodes=[ClusterNode(*address) for address in place.masters],
        redis_connect_func=lambda connection: heard.append('connected'),
    )


MAKERS: dict[str, Callable[[Place, Heard], Any]] = {
    'derived': _derived,
    'overriding': _overriding,
    'with its own execute_command': _with_own_execute_command,
    'with a connect function': _with_connect_function,
}


def heard_of(_: object, kind: str, name: str, place: Place) -> tuple[Any, Heard]:
    """Return what a call of ours answers by such a client, and what the client heard of it."""
    heard: Heard = []
    flush(place.masters)
    fill(client_of('RedisCluster', place))
    with MAKERS[kind](place, heard) as client:
        on = by_ours(client)
        heard.clear()
        return answer(CALLS[name].ours, on), heard


def jobs_left_to_rq(_: object, kind: str, name: str, place: Place) -> tuple[int, int]:
    """Return how many of ten jobs a bulk call did by such a client, and how many of these by RQ's methods."""
    flush(place.masters)
    fill(client_of('RedisCluster', place))
    with MAKERS[kind](place, []) as client:
        result = BULK[name](by_ours(client).failed)
    return result.done, result.by_rq


@contextmanager
def _patched(owner: type, name: str, heard: Heard) -> Iterator[None]:
    original = vars(owner)[name]

    def patch(self: Any, *args: Any, **kwargs: Any) -> Any:
        heard.append(name)
        return original(self, *args, **kwargs)

    setattr(owner, name, patch)
    try:
        yield
    finally:
        setattr(owner, name, original)


PATCHES: dict[str, tuple[type, str]] = {
    'execute_command': (RedisCluster, 'execute_command'),
    'get_node_from_slot': (NodesManager, 'get_node_from_slot'),
}


def heard_while_patched(_: object, patch: str, place: Place) -> tuple[list[int], list[bool]]:
    """Return what count is before, under and after a patch, and whether the client's own methods were called for it."""
    flush(place.masters)
    client = client_of('RedisCluster', place)
    fill(client)
    registry = by_ours(client).failed
    counts, used = [], []

    def count() -> None:
        read: list[object] = []
        with counted(read):
            counts.append(registry.count)
        used.append(bool(read))

    heard: Heard = []
    registry.count  # noqa: B018
    count()
    with _patched(*PATCHES[patch], heard):
        count()
    used[-1] &= bool(heard)
    count()
    return counts, used
