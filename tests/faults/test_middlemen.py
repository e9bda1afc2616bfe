"""Between a client and its server: Sentinel, proxies with time limits, TLS, and passwords that change."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq.registry
from clients.connections import kill_all
from clients.test_sentinel import SentinelProcess
from depth import IS_DEEP
from host.patience import PATIENCE, eventually
from private_redis import PrivateRedis, free_port
from redis.backoff import ConstantBackoff, NoBackoff
from redis.credentials import CredentialProvider
from redis.retry import Retry
from rq.utils import get_version
from system_packages import ensure_programs
from tls_proxy import TlsProxy

import rqreg_ext.registry
from rqreg_ext.registry import FailedJobRegistry

from .calls import Database, Registries, assert_right, outcome
from .relay import Cut, End, Relay

if TYPE_CHECKING:
    from clients.certificates import Pair

NAMESPACES = (rq.registry, rqreg_ext.registry)
NEVER = 4_000_000_000
IDS = [f'job-{n}' for n in range(50)]


# ---- Sentinel ------------------------------------------------------------------------------------


class Watched:
    """A master with two replicas, and a sentinel that is quick to replace the master."""

    def __init__(self, folder: Path) -> None:
        self.servers = [PrivateRedis().start()]
        self.sentinel: SentinelProcess | None = None
        try:
            for _ in range(2):
                follow = {'replicaof': f'127.0.0.1 {self.servers[0].port}', 'repl-diskless-sync-delay': 0}
                self.servers.append(PrivateRedis(**follow).start())
            self.sentinel = SentinelProcess(self.servers[0].executable, folder, self.servers[0].port)
            commander = redis.Redis(port=self.sentinel.port)
            commander.execute_command('SENTINEL', 'SET', 'tests', 'down-after-milliseconds', 500)
            commander.execute_command('SENTINEL', 'SET', 'tests', 'failover-timeout', 3000)
            assert eventually(lambda: len(self.names.discover_slaves('tests')) == 2)
        except BaseException:
            self.stop()
            raise

    @property
    def names(self) -> Any:
        """A client of the sentinel itself."""
        assert self.sentinel is not None
        return self.sentinel.sentinel()

    def stop(self) -> None:
        """Stop all servers."""
        if self.sentinel is not None:
            self.sentinel.stop()
        for server in self.servers:
            server.stop()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path)
    yield watched
    watched.stop()


def kill_the_master(watched: Watched) -> None:
    watched.servers[0].kill()


def order_a_failover(watched: Watched) -> None:
    commander = redis.Redis(port=watched.sentinel.port if watched.sentinel else 0)
    assert eventually(lambda: is_done(lambda: commander.execute_command('SENTINEL', 'FAILOVER', 'tests')))


def has_another_master(watched: Watched, old: tuple[str, int]) -> bool:
    """Whether the sentinel names another master by now."""
    try:
        return bool(watched.names.discover_master('tests') != old)
    except redis.ConnectionError:
        return False


def is_done(call: Callable[[], Any]) -> bool:
    """Make the call; False where the server refuses it for now."""
    try:
        call()
    except redis.ResponseError:
        return False
    return True


FAILOVERS = [(kill_the_master, 3), (kill_the_master, 0), (order_a_failover, 3), (order_a_failover, 0)]


@pytest.mark.parametrize(('lose', 'retries'), FAILOVERS if IS_DEEP else FAILOVERS[:1])
def test_failover_during_calls_gives_no_wrong_answer(
    watched: Watched, lose: Callable[[Watched], None], retries: int
) -> None:
    """Calls fail for a while, or wait; none is answered wrongly, and then the new master answers."""
    admin = watched.servers[0].client()
    admin.zadd('rq:failed:watched', {job_id: NEVER + n for n, job_id in enumerate(IDS)})
    assert admin.wait(2, int(PATIENCE * 1000)) == 2
    retry = Retry(ConstantBackoff(0.2), retries)
    client = watched.names.master_for('tests', socket_timeout=2, retry=retry)
    registry = FailedJobRegistry('watched', connection=client)
    old = watched.names.discover_master('tests')
    is_over = threading.Event()

    def ask() -> int:
        answers = 0
        while not is_over.is_set():
            try:
                assert registry.get_job_ids() == IDS
                assert registry.count == len(IDS)
                assert registry.remove('nobody') == 0
                answers += 1
            except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.ReadOnlyError):
                time.sleep(0.01)
        return answers

    with ThreadPoolExecutor(3) as threads:
        asking = [threads.submit(ask) for _ in range(3)]
        try:
            assert registry.count == len(IDS)
            lose(watched)
            assert eventually(lambda: has_another_master(watched, old))
            host, port = watched.names.discover_master('tests')
            commands = redis.Redis(host=host, port=port)
            assert eventually(lambda: commands.info('commandstats').get('cmdstat_zrange', {'calls': 0})['calls'] > 50)
        finally:
            is_over.set()
        assert min(one.result() for one in asking) > 0
    assert registry.remove(IDS[0]) == 1
    assert commands.zcard(registry.key) == len(IDS) - 1


# ---- A proxy that drops idle connections -----------------------------------------------------------

HAPROXY = """\
global
    maxconn 100
defaults
    mode tcp
    timeout connect 5s
    timeout client {limit}ms
    timeout server {limit}ms
listen redis
    bind 127.0.0.1:{port}
    server redis 127.0.0.1:{server_port}
"""


@pytest.fixture
def impatient_port(redis_server: PrivateRedis, tmp_path: Path) -> Iterator[int]:
    """The port of an haproxy before the server that drops connections on which nothing moves for 300 ms."""
    if ensure_programs(['haproxy'], print):
        pytest.skip('haproxy is not installed, and may not be installed by this user')
    port = free_port()
    configuration = tmp_path / 'haproxy.cfg'
    configuration.write_text(HAPROXY.format(limit=300, port=port, server_port=redis_server.port), encoding='ascii')
    command = [shutil.which('haproxy') or 'haproxy', '-db', '-f', str(configuration)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert eventually(lambda: is_up(port))
        yield port
    finally:
        process.kill()
        process.wait()


def is_up(port: int) -> bool:
    """Whether a Redis answers there."""
    try:
        return bool(redis.Redis(port=port, retry=None).ping())
    except redis.ConnectionError:
        return False


@pytest.mark.parametrize('health_check_interval', [0, 1])
@pytest.mark.parametrize('retries', [None, 1])
def test_proxy_that_closes_idle_connections_fails_no_call(
    impatient_port: int, connection: redis.Redis, health_check_interval: int, retries: int | None
) -> None:
    """The next call sees that the connection is closed before it sends anything, and no call fails."""
    database = Database(connection)
    retry = None if retries is None else Retry(NoBackoff(), retries)
    client = redis.Redis(port=impatient_port, retry=retry, health_check_interval=health_check_interval)
    on = Registries(rqreg_ext.registry, client)
    get_version(client)
    for name, pause in [('count', 0.5), ('ids', 1.2), ('delete', 0.5), ('requeue', 0.5), ('remove', 0.0)]:
        assert outcome(name, on).error is None
        assert_right(on, database.admin)
        time.sleep(pause)


def test_proxy_that_closes_during_long_call_raises_same_error_as_rq(
    impatient_port: int, connection: redis.Redis
) -> None:
    """The reply is cut off: the error and its message are RQ's."""
    found = []
    for namespace in NAMESPACES:
        database = Database(connection)
        on = Registries(namespace, redis.Redis(port=impatient_port, retry=None))
        get_version(on.failed.connection)
        assert 'failed-0' in on.failed
        connection.execute_command('CLIENT', 'PAUSE', 1000)
        found.append(outcome('count', on))
        connection.execute_command('CLIENT', 'UNPAUSE')
        assert_right(on, database.admin)
    assert found[1] == found[0]
    assert found[1].error is redis.ConnectionError


# ---- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Pair]:
    """The file of an authority, and a server's certificate of it."""
    pytest.importorskip('cryptography', reason='the TLS tests make their certificates with it')
    from clients.certificates import Authority

    authority = Authority(tmp_path_factory.mktemp('certificates'), 'authority')
    return authority.file, authority.issue('server')


@pytest.mark.parametrize('end', [End.CLOSE, End.HALF, End.SILENCE])
def test_tls_closed_within_reply_raises_same_error_as_rq(
    redis_server: PrivateRedis, connection: redis.Redis, certificate: tuple[str, Pair], end: End
) -> None:
    """Cut inside a record, without close_notify."""
    database = Database(connection)
    authority, pair = certificate
    with TlsProxy(redis_server.port, pair.certificate, pair.key) as proxy, Relay(proxy.port) as relay:
        for name in ('count', 'ids', 'started pairs', 'delete', 'requeue') if IS_DEEP else ('count', 'requeue'):
            for after in range(0, 20 if end is End.SILENCE else 60, 7 if IS_DEEP else 29):
                found = []
                for namespace in NAMESPACES:
                    client = redis.Redis(
                        host='localhost',
                        port=relay.port,
                        ssl=True,
                        ssl_ca_certs=authority,
                        retry=None,
                        socket_timeout=1,
                    )
                    get_version(client)
                    on = Registries(namespace, client)
                    on.failed.remove('failed-6')
                    database.restore()
                    relay.arm(Cut(after if namespace is rqreg_ext.registry else 0, end))
                    found.append(outcome(name, on))
                    relay.arm(None)
                    assert_right(on, database.admin)
                    client.close()
                # If a complete record comes first, RQ may already have the reply, where it is one of several.
                if found[1].error is not None or after < 20:
                    assert found[1] == found[0], after
                assert found[0].error is (redis.TimeoutError if end is End.SILENCE else redis.ConnectionError)


# ---- Passwords that change -------------------------------------------------------------------------


class Rotating(CredentialProvider):
    """A credential provider with a password that changes."""

    def __init__(self) -> None:
        self.password = 'day-0'
        self.asked = 0

    def get_credentials(self) -> tuple[str, str]:
        """Return the user and the password."""
        self.asked += 1
        return 'rotating', self.password


@pytest.mark.parametrize('protocol', [2, 3])
def test_changed_password_is_used_by_new_connections_only(own_server: PrivateRedis, protocol: int) -> None:
    """Open connections stay, new ones get the new password, and the old password raises RQ's error."""
    admin = own_server.client()
    found = []
    for namespace in NAMESPACES:
        database = Database(admin)
        provider = Rotating()
        client = own_server.client(credential_provider=provider, protocol=protocol, retry=None)
        on = Registries(namespace, client)
        outcomes = []
        for day in range(3):
            admin.acl_setuser(
                'rotating', enabled=True, reset=True, passwords=[f'+day-{day}'], commands=['+@all'], keys=['*']
            )
            # A client that is connected when its user changes stays connected, until the server closes it.
            kill_all(admin)
            outcomes.append(outcome('count', on))
            provider.password = f'day-{day}'
            outcomes.append(outcome('count', on))
            assert_right(on, database.admin)
            asked = provider.asked
            outcomes.append(outcome('ids', on))
            assert provider.asked == asked
        found.append(outcomes)
    assert found[1] == found[0]
    assert [one.error is None for one in found[1]] == [True, True, True] + [False, True, True] * 2
