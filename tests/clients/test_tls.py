"""TLS, verified: the same answers as RQ's, and invalid certificates are refused with the same errors."""

from __future__ import annotations

import datetime
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq.registry
from redis.backoff import NoBackoff
from redis.retry import Retry
from tls_proxy import TlsProxy

import rqreg_ext.registry
from rqreg_ext.registry import FailedJobRegistry, StartedJobRegistry

from .connections import beside, kill_all
from .outcomes import outcome_of
from .tour import assert_same_tour, assert_went_well

pytest.importorskip('cryptography', reason='the TLS tests make their certificates with it')

from .certificates import Authority, Pair

if TYPE_CHECKING:
    from private_redis import PrivateRedis

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Issued:
    """What the tests have of certificates."""

    authority: Authority
    other_authority: Authority
    server: Pair
    client: Pair
    expired: Pair
    elsewhere: Pair


@pytest.fixture(scope='module')
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    folder = tmp_path_factory.mktemp('certificates')
    authority, other = Authority(folder, 'authority'), Authority(folder, 'other-authority')
    return Issued(
        authority=authority,
        other_authority=other,
        server=authority.issue('server'),
        client=authority.issue('client'),
        expired=authority.issue('expired', valid=-DAY),
        elsewhere=authority.issue('elsewhere', host='elsewhere.invalid'),
    )


@pytest.fixture
def proxy(redis_server: PrivateRedis, issued: Issued) -> Iterator[TlsProxy]:
    with TlsProxy(redis_server.port, issued.server.certificate, issued.server.key) as proxy:
        yield proxy


def tls_client(proxy: TlsProxy, issued: Issued, **arguments: Any) -> redis.Redis:
    """Return a client that verifies the server by our authority."""
    return redis.Redis(
        **{'host': 'localhost', 'port': proxy.port, 'ssl': True, 'ssl_ca_certs': issued.authority.file, **arguments}
    )


@pytest.mark.parametrize('protocol', [2, 3])
def test_verified_tls_client_uses_own_connection(
    connection: redis.Redis, proxy: TlsProxy, issued: Issued, protocol: int
) -> None:
    assert_went_well(assert_same_tour(lambda: tls_client(proxy, issued, protocol=protocol), connection))
    assert len(beside(tls_client(proxy, issued), connection)) == 1


def test_tls_url_reaches_server(connection: redis.Redis, proxy: TlsProxy, issued: Issued) -> None:
    connection.zadd('rq:failed:tls', {'a': 4_000_000_000})
    url = f'rediss://localhost:{proxy.port}/0?ssl_ca_certs={issued.authority.file}'
    assert FailedJobRegistry('tls', connection=url).get_job_ids() == ['a']


def test_large_commands_and_replies_pass_through_tls(connection: redis.Redis, proxy: TlsProxy, issued: Issued) -> None:
    ids = [f'{number:06d}-{"x" * random.randrange(200)}' for number in range(20_000)]
    connection.zadd('rq:failed:tls', {job_id: 4_000_000_000 + number for number, job_id in enumerate(ids)})
    connection.zadd('rq:wip:tls', {f'{job_id}:one': 4_000_000_000 + number for number, job_id in enumerate(ids)})
    client = tls_client(proxy, issued)
    registry = FailedJobRegistry('tls', connection=client)
    started = StartedJobRegistry('tls', connection=client)
    for _ in range(3):
        assert registry.get_job_ids() == ids
        assert registry.get_job_ids(10, 12) == ids[10:13]
        assert started.get_job_ids() == ids
        assert ids[-1] in started
        assert 'nobody' not in started
        assert 'y' * 5_000_000 not in registry
        assert registry.count == len(ids)


def test_client_certificate_is_sent_and_required(
    redis_server: PrivateRedis, connection: redis.Redis, issued: Issued
) -> None:
    with TlsProxy(
        redis_server.port, issued.server.certificate, issued.server.key, clients_authority=issued.authority.file
    ) as proxy:
        certificate = {'ssl_certfile': issued.client.certificate, 'ssl_keyfile': issued.client.key}
        assert_went_well(assert_same_tour(lambda: tls_client(proxy, issued, **certificate), connection))
        with pytest.raises(redis.ConnectionError):
            FailedJobRegistry('tls', connection=tls_client(proxy, issued, retry=None)).get_job_count()


def assert_refused(proxy: TlsProxy, issued: Issued, **arguments: Any) -> None:
    """Check that RQ's and our calls fail to connect, with the same exception."""
    outcomes = []
    for namespace in (rq.registry, rqreg_ext.registry):
        client = tls_client(proxy, issued, retry=None, **arguments)
        registry = namespace.FailedJobRegistry('tls', connection=client)
        outcomes.append(outcome_of('ids', registry.get_job_ids))
    assert outcomes[0] == outcomes[1]
    assert outcomes[1].error is redis.ConnectionError
    assert 'CERTIFICATE_VERIFY_FAILED' in str(outcomes[1].value)


def test_unknown_authority_is_refused(proxy: TlsProxy, issued: Issued) -> None:
    assert_refused(proxy, issued, ssl_ca_certs=issued.other_authority.file)


@pytest.mark.parametrize('kind', ['expired', 'elsewhere'])
def test_bad_certificate_is_refused(redis_server: PrivateRedis, issued: Issued, kind: str) -> None:
    pair: Pair = getattr(issued, kind)
    with TlsProxy(redis_server.port, pair.certificate, pair.key) as proxy:
        assert_refused(proxy, issued, ssl_check_hostname=True)


def test_connection_killed_between_calls_is_opened_anew(
    connection: redis.Redis, proxy: TlsProxy, issued: Issued
) -> None:
    # The proxy passes the end on a moment later, perhaps in the middle of the next call: the client's Retry covers it.
    registry = FailedJobRegistry('tls', connection=tls_client(proxy, issued, retry=Retry(NoBackoff(), 1)))
    for _ in range(5):
        assert registry.count == 0
        kill_all(connection)


def test_changed_pool_connects_without_tls_after_proxy_vanishes(
    redis_server: PrivateRedis, connection: redis.Redis, issued: Issued
) -> None:
    connection.zadd('rq:failed:tls', {'a': 4_000_000_000})
    with TlsProxy(redis_server.port, issued.server.certificate, issued.server.key) as proxy:
        client = tls_client(proxy, issued, retry=None)
        registry = FailedJobRegistry('tls', connection=client)
        assert registry.count == 1
    with pytest.raises(redis.ConnectionError):
        registry.get_job_count()
    client.connection_pool.connection_kwargs['port'] = redis_server.port
    client.connection_pool.connection_class = redis.Connection
    for name in [name for name in client.connection_pool.connection_kwargs if name.startswith('ssl_')]:
        del client.connection_pool.connection_kwargs[name]
    client.connection_pool.reset()
    # The pool says now: no TLS, another port. The next connection is made so.
    assert registry.count == 1
