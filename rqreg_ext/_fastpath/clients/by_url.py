"""The client that a `connection` argument names, which may be a URL."""

from __future__ import annotations

import re
from inspect import iscoroutinefunction
from typing import Any
from urllib.parse import urlsplit

_clients_by_url: dict[str, Any] = {}


def client_of(url: str) -> Any:
    """Return the redis-py client of a URL, the same one for the same URL in this process."""
    client = _clients_by_url.get(url)
    if client is None:
        import redis

        try:
            client = _cluster_of(url) if _CLUSTER_SCHEME in url else redis.Redis.from_url(url)
        except ValueError as error:
            raise ValueError(
                f'connection={url!r} is not a URL that redis-py takes ({error}); '
                'give one like redis://localhost:6379/0, redis+cluster://localhost:7000 for a cluster, or a client'
            ) from error
        client = _clients_by_url.setdefault(url, client)
    return client


_CLUSTER_SCHEME = '+cluster://'


def _cluster_of(url: str) -> Any:
    """Return a client of the cluster that redis+cluster://HOST:PORT,HOST:PORT or rediss+cluster://... names.

    redis-py takes a URL of one node, and further nodes in another argument.
    """
    from redis.cluster import ClusterNode, RedisCluster

    scheme, _, rest = url.partition(_CLUSTER_SCHEME)
    place = re.split('[/?#]', rest, maxsplit=1)[0]
    user, at, hosts = place.rpartition('@')
    first, *others = hosts.split(',')
    parsed = [urlsplit(f'//{host}') for host in others]
    nodes = [ClusterNode(node.hostname, node.port or 6379) for node in parsed]  # type: ignore[no-untyped-call]
    return RedisCluster.from_url(f'{scheme}://{user}{at}{first}{rest[len(place) :]}', startup_nodes=nodes)


def client_from(connection: Any) -> Any:
    """Return the client that a `connection` argument names: a client itself, or a URL."""
    if isinstance(connection, str):
        return client_of(connection)
    execute = getattr(connection, 'execute_command', None)
    if execute is None or iscoroutinefunction(execute):
        raise TypeError(
            f'connection={connection!r} is not a client: give one of redis-py (not of redis.asyncio), '
            'or a URL like redis://localhost:6379/0'
        )
    return connection
