"""Clients that find their server by asking a real Redis Sentinel."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
import rq.registry
from private_redis import PrivateRedis, free_port
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

import rqreg_ext.registry
from rqreg_ext.registry import FailedJobRegistry

from .connections import beside, kill_all
from .outcomes import outcome_of
from .tour import assert_same_tour, assert_went_well

START_SECONDS = 20.0
NO_RETRY = Retry(NoBackoff(), 0)


class SentinelProcess:
    """A sentinel that watches one master, named `tests`."""

    def __init__(self, executable: str, folder: Path, master_port: int) -> None:
        self.port = free_port()
        configuration = folder / 'sentinel.conf'
        configuration.write_text(
            f'port {self.port}\nbind 127.0.0.1\ndir {folder}\nlogfile {folder / "sentinel.log"}\n'
            f'sentinel monitor tests 127.0.0.1 {master_port} 1\n',
            encoding='utf-8',
        )
        self.process = subprocess.Popen([executable, str(configuration), '--sentinel'], stdin=subprocess.DEVNULL)
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.sentinel().discover_master('tests'):
                    return
            except redis.RedisError:
                time.sleep(0.02)
        self.stop()
        raise RuntimeError('the sentinel did not start')

    def sentinel(self) -> Sentinel:
        """Return a client of the sentinel itself."""
        return Sentinel([('127.0.0.1', self.port)], socket_timeout=5)

    def stop(self) -> None:
        """End the sentinel."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def sentinel(own_server: PrivateRedis, tmp_path: Path) -> Iterator[SentinelProcess]:
    process = SentinelProcess(own_server.executable, tmp_path, own_server.port)
    yield process
    process.stop()


def test_master_of_sentinel_is_used_directly(own_server: PrivateRedis, sentinel: SentinelProcess) -> None:
    admin = own_server.client()
    assert_went_well(assert_same_tour(lambda: sentinel.sentinel().master_for('tests'), admin))
    assert len(beside(sentinel.sentinel().master_for('tests'), admin)) == 1


def test_client_of_replicas_uses_replica_or_else_master(own_server: PrivateRedis, sentinel: SentinelProcess) -> None:
    admin = own_server.client()
    assert_went_well(assert_same_tour(lambda: sentinel.sentinel().slave_for('tests'), admin))


def test_database_given_to_sentinel_is_used(own_server: PrivateRedis, sentinel: SentinelProcess) -> None:
    own_server.client(db=2).zadd('rq:failed:watched', {'a': 4_000_000_000})
    client = sentinel.sentinel().master_for('tests', db=2)
    assert FailedJobRegistry('watched', connection=client).get_job_ids() == ['a']


def test_connection_killed_between_calls_is_opened_anew(own_server: PrivateRedis, sentinel: SentinelProcess) -> None:
    admin = own_server.client()
    client = sentinel.sentinel().master_for('tests')
    registry = FailedJobRegistry('watched', connection=client)
    for _ in range(3):
        assert registry.count == 0
        kill_all(admin)


def test_new_connection_goes_to_new_master(own_server: PrivateRedis, sentinel: SentinelProcess) -> None:
    """A new connection goes to the master that the sentinel names then."""
    client = sentinel.sentinel().master_for('tests')
    registry = FailedJobRegistry('watched', connection=client)
    assert registry.count == 0
    with PrivateRedis() as other:
        other.client().zadd('rq:failed:watched', {'a': 4_000_000_000})
        commander = redis.Redis(host='127.0.0.1', port=sentinel.port)
        commander.execute_command('SENTINEL', 'REMOVE', 'tests')
        commander.execute_command('SENTINEL', 'MONITOR', 'tests', '127.0.0.1', other.port, 1)
        kill_all(own_server.client())
        assert registry.get_job_ids() == ['a']


Make = Callable[[SentinelProcess], redis.Redis]


@pytest.mark.parametrize(
    'make',
    [
        pytest.param(lambda sentinel: sentinel.sentinel().master_for('unknown', retry=NO_RETRY), id='unknown master'),
        pytest.param(
            lambda sentinel: Sentinel([('127.0.0.1', free_port())], retry=NO_RETRY).master_for('tests', retry=NO_RETRY),
            id='no sentinel',
        ),
    ],
)
def test_missing_master_raises_same_error_as_rq(sentinel: SentinelProcess, make: Make) -> None:
    outcomes = []
    for namespace in (rq.registry, rqreg_ext.registry):
        registry = namespace.FailedJobRegistry('watched', connection=make(sentinel))
        outcomes.append(outcome_of('ids', registry.get_job_ids))
    ours = outcomes[1]
    assert ours.error is outcomes[0].error
    assert ours.error is redis.sentinel.MasterNotFoundError
