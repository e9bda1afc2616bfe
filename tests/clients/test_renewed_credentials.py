"""Credentials that a provider renews while connections are open: they reach ours as they reach the client's."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import redis
import redis.credentials
import rq.registry
from host.children import in_child
from redis.backoff import NoBackoff
from redis.retry import Retry

import rqreg_ext.registry
from rqreg_ext import _core
from rqreg_ext.registry import FailedJobRegistry

if TYPE_CHECKING:
    from types import ModuleType

    from private_redis import PrivateRedis

Streaming: Any = getattr(redis.credentials, 'StreamingCredentialProvider', None)
if Streaming is None:
    pytest.skip('this redis-py has no credentials that are renewed', allow_module_level=True)

USERS = ('first', 'second')
FORGOTTEN = 'forgotten'


class Token:
    """What redis-py asks a token for."""

    def __init__(self, user: str) -> None:
        self.user = user

    def try_get(self, key: str) -> str:
        """Return the name of the user, which redis-py calls `oid`."""
        assert key == 'oid'
        return self.user

    def get_value(self) -> str:
        """Return the password."""
        return self.user


class Provider(Streaming):  # type: ignore[misc]
    """Users whose password is their name, one after the other."""

    def __init__(self) -> None:
        self.user = USERS[0]
        self.callbacks: list[Callable[[Token], None]] = []

    def get_credentials(self) -> tuple[str, str]:
        """Return what a new connection is to use."""
        return self.user, self.user

    def on_next(self, callback: Callable[[Token], None]) -> None:
        """Keep what is to be called with each token."""
        self.callbacks.append(callback)

    def on_error(self, callback: Callable[[Exception], None]) -> None:
        """Not needed here."""

    def is_streaming(self) -> bool:
        """Say so."""
        return True

    def renew(self, user: str) -> None:
        """Use another user from now on."""
        self.user = user
        for callback in self.callbacks:
            callback(Token(user))


@pytest.fixture
def admin(connection: redis.Redis) -> Iterator[redis.Redis]:
    for user in USERS:
        connection.execute_command('ACL', 'SETUSER', user, 'on', f'>{user}', '~*', '+@all')
    connection.zadd('rq:failed:renewed', {'a': 4_000_000_000})
    yield connection
    for user in USERS:
        connection.execute_command('ACL', 'DELUSER', user)


class Client:
    """A client of the server, and what the server says of its connections."""

    def __init__(self, server: PrivateRedis, admin: redis.Redis, **arguments: Any) -> None:
        self.name = f'renewed-{uuid.uuid4()}'
        self.admin = admin
        self.provider = Provider()
        arguments = {'retry': Retry(NoBackoff(), 0), **arguments}
        self.client = server.client(client_name=self.name, credential_provider=self.provider, **arguments)

    def users(self) -> dict[str, str]:
        """Return the users of its connections, by id."""
        return {entry['id']: entry['user'] for entry in self.admin.client_list() if entry['name'] == self.name}


@pytest.mark.parametrize('namespace', [rq.registry, rqreg_ext.registry])
@pytest.mark.parametrize('protocol', [2, 3])
def test_idle_connections_are_renewed(
    redis_server: PrivateRedis, admin: redis.Redis, namespace: ModuleType, protocol: int
) -> None:
    on = Client(redis_server, admin, protocol=protocol)
    registry = namespace.FailedJobRegistry('renewed', connection=on.client)
    assert registry.get_job_count(cleanup=False) == 1
    before = on.users()
    assert set(before.values()) == {'first'}
    on.provider.renew('second')
    assert on.users() == dict.fromkeys(before, 'second')
    # The server ends all connections of a user that goes.
    admin.execute_command('ACL', 'DELUSER', 'first')
    assert registry.get_job_count(cleanup=False) == 1
    assert on.users() == dict.fromkeys(before, 'second')
    on.client.close()


@pytest.mark.parametrize('protocol', [2, 3])
@pytest.mark.parametrize('health_check_interval', [0, 1])
def test_connection_in_use_is_renewed_after_call(
    redis_server: PrivateRedis, admin: redis.Redis, protocol: int, health_check_interval: int
) -> None:
    on = Client(redis_server, admin, protocol=protocol, health_check_interval=health_check_interval)
    assert FailedJobRegistry('renewed', connection=on.client).count == 1
    seen: list[dict[str, str]] = []

    def renew(_: Any) -> str:
        on.provider.renew('second')
        seen.append(on.users())
        return 'renewed'

    replies: Any = _core.exchange(on.client, [(renew, 'PING'), (_core.INTEGER, 'CLIENT', 'ID')])
    assert replies == ['renewed', int(next(iter(seen[0])))]
    assert set(seen[0].values()) == {'first'}
    assert on.users() == dict.fromkeys(seen[0], 'second')
    assert FailedJobRegistry('renewed', connection=on.client).count == 1
    on.client.close()


def test_connection_with_refused_renewal_is_not_used_again(redis_server: PrivateRedis, admin: redis.Redis) -> None:
    on = Client(redis_server, admin)
    registry = FailedJobRegistry('renewed', connection=on.client)
    assert registry.count == 1
    before = on.users()
    with pytest.raises(redis.AuthenticationError):
        on.provider.renew(FORGOTTEN)
    on.provider.user = 'second'
    assert registry.count == 1
    after = on.users()
    assert set(after.values()) == {'second'}
    assert not set(after) & set(before)
    on.client.close()


def test_connections_are_renewed_repeatedly(redis_server: PrivateRedis, admin: redis.Redis) -> None:
    on = Client(redis_server, admin)
    registry = FailedJobRegistry('renewed', connection=on.client)
    assert registry.count == 1
    on.client.ping()
    before = on.users()
    assert len(before) == 2
    for number in range(6):
        on.provider.renew(USERS[number % 2])
        assert on.users() == dict.fromkeys(before, USERS[number % 2])
        assert registry.get_job_ids() == ['a']
        assert on.client.ping()
    on.client.close()


def test_renewal_in_forked_child_leaves_parent_connections(redis_server: PrivateRedis, admin: redis.Redis) -> None:
    on = Client(redis_server, admin)
    registry = FailedJobRegistry('renewed', connection=on.client)
    assert registry.count == 1
    before = on.users()

    def work() -> tuple[int, list[str]]:
        on.provider.renew('second')
        return registry.count, sorted(on.users().values())

    assert in_child(work) == (1, ['first', 'second'])
    assert registry.count == 1
    assert on.users() == before
    on.provider.renew('second')
    assert registry.count == 1
    assert on.users() == dict.fromkeys(before, 'second')
    on.client.close()
