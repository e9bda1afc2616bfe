"""The connections of a server, by CLIENT LIST."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rqreg_ext.registry import FailedJobRegistry

if TYPE_CHECKING:
    import redis


def connection_ids(observer: redis.Redis) -> set[str]:
    """Return the ids of the server's connections."""
    return {entry['id'] for entry in observer.client_list()}


def opened_by(observer: redis.Redis, call: Callable[[], object]) -> list[dict[str, str]]:
    """Make the call, and return the entries of CLIENT LIST for new connections."""
    before = connection_ids(observer)
    call()
    return [entry for entry in observer.client_list() if entry['id'] not in before]


def beside(client: Any, observer: redis.Redis) -> list[dict[str, str]]:
    """Return the connections that a first call opens, where the client has one already.

    None: the fallback was used, on the connection that the client had.
    """
    client.ping()
    return opened_by(observer, lambda: FailedJobRegistry('beside', connection=client).count)


def kill_all(observer: redis.Redis) -> None:
    """Have the server close every connection but the observer's."""
    own = observer.client_id()
    for connection_id in connection_ids(observer):
        if int(connection_id) != own:
            observer.client_kill_filter(_id=connection_id)
