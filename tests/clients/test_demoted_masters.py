"""A master that Sentinel has made a replica while connections to it are open: redis-py notices by READONLY."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import rq.registry
from private_redis import PrivateRedis
from redis.backoff import NoBackoff
from redis.retry import Retry

import rqreg_ext.registry

from .outcomes import Outcome, outcome_of
from .test_sentinel import SentinelProcess

NEVER = 4_000_000_000

CALLS: dict[str, Callable[[Any], Any]] = {
    'count': lambda registry: registry.count,
    'remove': lambda registry: registry.remove('a'),
}


@contextmanager
def watched(server: PrivateRedis, folder: Path) -> Iterator[SentinelProcess]:
    """Have a sentinel watch the server as the master `tests`."""
    process = SentinelProcess(server.executable, folder, server.port)
    try:
        yield process
    finally:
        process.stop()


def demote(server: PrivateRedis, other: PrivateRedis, sentinel: SentinelProcess) -> None:
    """Make the server a replica of the other one, which the sentinel names as the master from now on."""
    server.client().execute_command('REPLICAOF', '127.0.0.1', other.port)
    commander = redis.Redis(host='127.0.0.1', port=sentinel.port)
    commander.execute_command('SENTINEL', 'REMOVE', 'tests')
    commander.execute_command('SENTINEL', 'MONITOR', 'tests', '127.0.0.1', other.port, 1)


def across_a_demotion(namespace: Any, call: str, retries: int, folder: Path) -> list[Outcome]:
    """Make the call on a master, on the same client once that master is a replica, and again."""
    with PrivateRedis() as first, PrivateRedis() as second, watched(first, folder) as sentinel:
        first.client().zadd('rq:failed:moved', {'a': NEVER})
        second.client().zadd('rq:failed:moved', {'a': NEVER, 'b': NEVER, 'c': NEVER})
        client = sentinel.sentinel().master_for('tests', retry=Retry(NoBackoff(), retries))
        registry = namespace.FailedJobRegistry('moved', connection=client)
        do = CALLS[call]
        outcomes = [outcome_of('before', lambda: do(registry))]
        demote(first, second, sentinel)
        return [*outcomes, *(outcome_of('after', lambda: do(registry)) for _ in range(3))]


@pytest.mark.parametrize('call', CALLS)
def test_demoted_master_is_disconnected(tmp_path: Path, call: str) -> None:
    found = []
    for namespace in (rq.registry, rqreg_ext.registry):
        folder = tmp_path / namespace.__name__
        folder.mkdir()
        found.append(across_a_demotion(namespace, call, 0, folder))
    assert found[1] == found[0]
    assert [outcome.error for outcome in found[1]] == [None, redis.ConnectionError, None, None]


@pytest.mark.parametrize('call', CALLS)
def test_retry_uses_new_master(tmp_path: Path, call: str) -> None:
    """Unlike redis-py 8, whose retries go to the old address: they connect without asking the sentinel."""
    outcomes = across_a_demotion(rqreg_ext.registry, call, 3, tmp_path)
    # redis-py 5 does not retry this error.
    assert outcomes[1].error in (None, redis.ConnectionError)
    assert [outcome.error for outcome in (outcomes[0], *outcomes[2:])] == [None, None, None]
    assert outcomes[-1].value == (int, {'count': 3, 'remove': 0}[call])
