"""Passwords, ACL users and credential providers; and users who may not do everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq.registry
from redis.credentials import CredentialProvider, UsernamePasswordCredentialProvider
from rq import Queue

import rqreg_ext.registry
from rqreg_ext.registry import FailedJobRegistry

from .conftest import PASSWORD
from .connections import beside
from .outcomes import outcome_of
from .tour import NAMESPACES, assert_same_tour, assert_went_well, prepare, state, tour

if TYPE_CHECKING:
    from private_redis import PrivateRedis


@pytest.fixture
def admin(guarded_server: PrivateRedis) -> Iterator[redis.Redis]:
    """A client of the guarded server that may do everything, with an empty database and no other user."""
    client: redis.Redis = guarded_server.client(password=PASSWORD)
    client.flushall()
    yield client
    for user in client.acl_users():
        if user != 'default':
            client.acl_deluser(user)
    client.close()


def add_user(admin: redis.Redis, *rules: str) -> dict[str, str]:
    """Make the ACL user `worker` by these rules, and return the arguments for a client of it."""
    admin.execute_command('ACL', 'SETUSER', 'worker', 'reset', 'on', '>worker-secret', *rules)
    return {'username': 'worker', 'password': 'worker-secret'}


def test_client_with_password_uses_own_connection(guarded_server: PrivateRedis, admin: redis.Redis) -> None:
    assert_went_well(assert_same_tour(lambda: guarded_server.client(password=PASSWORD), admin))
    assert len(beside(guarded_server.client(password=PASSWORD), admin)) == 1


def test_url_with_password_is_used_for_own_connection(guarded_server: PrivateRedis, admin: redis.Redis) -> None:
    url = f'redis://:{PASSWORD}@127.0.0.1:{guarded_server.port}/0'
    assert_went_well(assert_same_tour(lambda: redis.Redis.from_url(url), admin))
    admin.zadd('rq:failed:guarded', {'a': 4_000_000_000})
    assert FailedJobRegistry('guarded', connection=url).get_job_ids() == ['a']


@pytest.mark.parametrize('protocol', [2, 3])
def test_client_of_acl_user_uses_own_connection(
    guarded_server: PrivateRedis, admin: redis.Redis, protocol: int
) -> None:
    user = add_user(admin, '~*', '&*', '+@all')
    assert_went_well(assert_same_tour(lambda: guarded_server.client(**user, protocol=protocol), admin))
    (ours,) = beside(guarded_server.client(**user, protocol=protocol), admin)
    assert ours['user'] == 'worker'


def test_client_with_credential_provider_uses_own_connection(guarded_server: PrivateRedis, admin: redis.Redis) -> None:
    provider = UsernamePasswordCredentialProvider(**add_user(admin, '~*', '&*', '+@all'))
    assert_went_well(assert_same_tour(lambda: guarded_server.client(credential_provider=provider), admin))
    (ours,) = beside(guarded_server.client(credential_provider=provider), admin)
    assert ours['user'] == 'worker'


def test_credential_provider_is_called_for_each_connection(guarded_server: PrivateRedis, admin: redis.Redis) -> None:
    """Each new connection uses the current secret."""

    class Changing(CredentialProvider):
        secret = PASSWORD

        def get_credentials(self) -> tuple[str]:
            return (self.secret,)

    provider = Changing()
    client = guarded_server.client(credential_provider=provider)
    registry = FailedJobRegistry('changing', connection=client)
    assert registry.count == 0
    client.connection_pool.disconnect()
    provider.secret = 'another'
    admin.config_set('requirepass', 'another')
    try:
        assert registry.count == 0
    finally:
        admin.config_set('requirepass', PASSWORD)


CALLS = {
    'count': lambda registry: registry.count,
    'get_job_ids': lambda registry: registry.get_job_ids(),
    'in': lambda registry: 'failed-1' in registry,
    'remove': lambda registry: registry.remove('failed-1'),
    'delete': lambda registry: registry.remove('failed-1', delete_job=True),
    'requeue': lambda registry: registry.requeue('failed-1'),
    'expired': lambda registry: registry.get_expired_job_ids(),
}


def assert_same_refusal(name: str, make: Any, admin: redis.Redis, error: type[Exception]) -> None:
    """Make one call with RQ's and with our registry, and get the same exception and database."""
    found = []
    for namespace in NAMESPACES:
        prepare(admin)
        registry = namespace.FailedJobRegistry('tour é', connection=make())
        found.append((outcome_of(name, lambda: CALLS[name](registry)), state(admin)))  # noqa: B023
    assert found[0] == found[1]
    assert found[1][0].error is not None
    assert issubclass(found[1][0].error, error)


@pytest.mark.parametrize('name', CALLS)
def test_missing_password_raises_same_error_as_rq(guarded_server: PrivateRedis, admin: redis.Redis, name: str) -> None:
    assert_same_refusal(name, lambda: guarded_server.client(retry=None), admin, redis.AuthenticationError)


def test_missing_password_raises_same_error_with_default_retries(
    guarded_server: PrivateRedis, admin: redis.Redis
) -> None:
    assert_same_refusal('count', guarded_server.client, admin, redis.AuthenticationError)


@pytest.mark.parametrize('name', CALLS)
def test_wrong_password_raises_same_error_as_rq(guarded_server: PrivateRedis, admin: redis.Redis, name: str) -> None:
    def make() -> Any:
        return guarded_server.client(password='wrong', retry=None)

    assert_same_refusal(name, make, admin, redis.AuthenticationError)


@pytest.mark.parametrize('name', CALLS)
def test_user_without_any_rights_is_refused_as_by_rq(
    guarded_server: PrivateRedis, admin: redis.Redis, name: str
) -> None:
    user = add_user(admin, '~*', '&*', '-@all', '+@connection')
    assert_same_refusal(name, lambda: guarded_server.client(**user), admin, redis.exceptions.NoPermissionError)


@pytest.mark.parametrize('name', CALLS)
def test_user_without_rights_to_keys_is_refused_as_by_rq(
    guarded_server: PrivateRedis, admin: redis.Redis, name: str
) -> None:
    user = add_user(admin, '~other:*', '&*', '+@all')
    assert_same_refusal(name, lambda: guarded_server.client(**user), admin, redis.exceptions.NoPermissionError)


def test_read_raises_if_user_has_no_right_to_clean_up(guarded_server: PrivateRedis, admin: redis.Redis) -> None:
    """If the cleanup is refused, the result of the read after it is not returned."""
    user = add_user(admin, '~*', '&*', '+@all', '-zremrangebyscore')
    theirs, ours = (tour(namespace, guarded_server.client(**user), admin) for namespace in NAMESPACES)
    by_call = {outcome.call: outcome for outcome in ours}
    assert by_call['count'].error is redis.exceptions.NoPermissionError
    assert by_call['ids'].error is redis.exceptions.NoPermissionError
    assert by_call['count without cleanup'].value == (int, 10)
    # RQ's deletion of a job stops half-way, at a cleanup of the job's executions that a script has no need of.
    different = [(one.call, other.call) for one, other in zip(theirs, ours, strict=True) if one != other]
    assert different == [('delete id', 'delete id'), ('state', 'state')]


SCRIPTLESS = {
    'no scripts': ('~*', '&*', '+@all', '-@scripting'),
    'no eval': ('~*', '&*', '+@all', '-eval'),
    'no evalsha': ('~*', '&*', '+@all', '-evalsha'),
}


@pytest.mark.parametrize('rules', SCRIPTLESS)
def test_user_without_right_to_scripts_has_same_outcome_as_rq(
    guarded_server: PrivateRedis, admin: redis.Redis, rules: str
) -> None:
    user = add_user(admin, *SCRIPTLESS[rules])
    admin.script_flush()
    assert_went_well(assert_same_tour(lambda: guarded_server.client(**user), admin))


def test_outcome_is_that_of_rq_while_right_to_scripts_comes_and_goes(
    guarded_server: PrivateRedis, admin: redis.Redis
) -> None:
    user = add_user(admin, '~*', '&*', '+@all')
    client = guarded_server.client(**user)
    for rule in ('-@scripting', '+@scripting', '-@scripting'):
        admin.execute_command('ACL', 'SETUSER', 'worker', rule)
        assert tour(rqreg_ext.registry, client, admin) == tour(rq.registry, client, admin)


def test_remove_fails_half_way_as_rq_without_right_to_job(guarded_server: PrivateRedis, admin: redis.Redis) -> None:
    """The user may not delete job hashes: RQ's remove() does its ZREM and then fails, and so does ours."""
    if int(admin.info('server')['redis_version'].split('.')[0]) < 7:
        pytest.skip('permission to read only is of Redis 7')
    user = add_user(admin, '~rq:failed:*', '~rq:queue*', '%R~*', '&*', '+@all')
    try:
        assert_same_refusal('delete', lambda: guarded_server.client(**user), admin, redis.exceptions.NoPermissionError)
    finally:
        assert Queue('tour é', connection=admin).failed_job_registry.count > 0
