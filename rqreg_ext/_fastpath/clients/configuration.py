"""The configuration of a client: its database, and whether it decodes replies."""

from __future__ import annotations

from typing import Any


def decodes(client: Any) -> bool:
    """Tell whether the client decodes responses, job data included."""
    encoder = getattr(client, 'get_encoder', None)
    return encoder is not None and bool(encoder().decode_responses)


def are_of_one_database(client: Any, other: Any) -> bool:
    """Tell whether two clients talk to the same database, by what they are configured with."""
    database = _database_of(client)
    return client is other or (database is not None and database == _database_of(other))


def _database_of(client: Any) -> tuple[Any, ...] | None:
    pool = getattr(client, 'connection_pool', None)
    arguments = getattr(pool, 'connection_kwargs', None)
    if not isinstance(arguments, dict):
        return None
    path, host, port = (arguments.get(name) for name in ('path', 'host', 'port'))
    # A Sentinel's client has the name of a service instead of a host; a fake one may have a server of its own.
    service, server = getattr(pool, 'service_name', None), arguments.get('server')
    address = path or (host or 'localhost', int(port or 6379))
    return address, int(arguments.get('db') or 0), service, id(server) if server is not None else None
