"""Clients of each kind, with which all calls on registries must give the same results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import fakeredis
import pytest
import redis
from differential.sides import MODEL_DATABASE, OUR_DATABASE, RQ_DATABASE

if TYPE_CHECKING:
    from private_redis import PrivateRedis


class Instrumented(redis.Redis):
    """A client with an overridden method: our code must call it, and cannot use the client's socket."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return super().execute_command(*args, **options)


CLIENTS: dict[str, Any] = {
    'RESP2': lambda server: server.client(protocol=2),
    'RESP3': lambda server: server.client(protocol=3),
    'unix socket': lambda server: server.client(unix_socket_path=server.socket_path),
    'decodes': lambda server: server.client(decode_responses=True),
    'instrumented': lambda server: Instrumented(port=server.port),
    'instrumented, RESP3': lambda server: Instrumented(port=server.port, protocol=3),
    'fakeredis': lambda server: fakeredis.FakeRedis(),
}


# Returns a client whose user has no right to these commands.
ClientWithout = Callable[..., redis.Redis]


@pytest.fixture
def client_without(redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[ClientWithout]:
    def make(*commands: str) -> redis.Redis:
        denied = [f'-{command}' for command in commands]
        connection.execute_command('ACL', 'SETUSER', 'plain', 'reset', 'on', '>x', '~*', '&*', '+@all', *denied)
        return redis_server.client(username='plain', password='x')  # type: ignore[no-any-return]

    yield make
    connection.execute_command('ACL', 'DELUSER', 'plain')


@pytest.fixture
def job_client(any_client: Any) -> Any:
    """A client of an empty database with which RQ can read jobs."""
    if any_client.get_encoder().decode_responses:
        pytest.skip('RQ can read no job by a client that decodes responses')
    return any_client


@pytest.fixture
def storing_client(any_client: Any, connection: redis.Redis) -> Any:
    """A client with which RQ can store jobs in the database of `any_client`."""
    return any_client if isinstance(any_client, fakeredis.FakeRedis) else connection


@pytest.fixture(params=CLIENTS)
def any_client(request: pytest.FixtureRequest, redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[Any]:
    """A client of an empty database."""
    with CLIENTS[request.param](redis_server) as client:
        yield client


@pytest.fixture
def sides(redis_server: PrivateRedis) -> Iterator[tuple[Any, Any, Any]]:
    """Clients of three databases: the initial one, RQ's and ours."""
    clients = [redis_server.client(db=database) for database in (MODEL_DATABASE, RQ_DATABASE, OUR_DATABASE)]
    yield tuple(clients)
    for client in clients:
        client.close()
