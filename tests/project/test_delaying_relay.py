"""The relay of the benchmarks delays what passes, each way, and changes nothing of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from delaying_relay import DelayingRelay
from host.patience import eventually
from private_redis import PrivateRedis

from project.test_private_redis import is_running

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
OWNER = """\
import sys
sys.path.insert(0, sys.argv[1])
from delaying_relay import DelayingRelay
print(DelayingRelay(1, 1.0).process.pid, flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize('milliseconds', [1, 10])
def test_round_trip_takes_twice_the_delay(redis_server: PrivateRedis, milliseconds: int) -> None:
    with DelayingRelay(redis_server.port, milliseconds) as relay, redis.Redis(port=relay.port) as client:
        client.ping()
        assert min(seconds_of(client.ping) for _ in range(10)) >= 2 * milliseconds / 1000


def test_many_commands_at_once_are_delayed_once(redis_server: PrivateRedis) -> None:
    with DelayingRelay(redis_server.port, 10) as relay, redis.Redis(port=relay.port) as client:
        # A thousand round trips take twenty seconds.
        assert min(seconds_of(lambda: ping_often(client)) for _ in range(3)) < 10


def ping_often(client: redis.Redis) -> None:
    pipeline = client.pipeline(transaction=False)
    for _ in range(1000):
        pipeline.ping()
    pipeline.execute()


def seconds_of(call: Callable[[], object]) -> float:
    begun = time.monotonic()
    call()
    return time.monotonic() - begun


def test_relay_passes_everything_in_order(redis_server: PrivateRedis) -> None:
    value = os.urandom(3_000_000)
    with DelayingRelay(redis_server.port, 1) as relay, redis.Redis(port=relay.port) as client:
        client.set('value', value)
        assert client.get('value') == value
        client.delete('value')


def test_end_of_a_connection_is_passed_on(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    with DelayingRelay(redis_server.port, 1) as relay:
        client = redis.Redis(port=relay.port, client_name='by-relay')
        client.ping()
        assert 'by-relay' in {each['name'] for each in connection.client_list()}
        client.close()
        assert eventually(lambda: 'by-relay' not in {each['name'] for each in connection.client_list()})


def test_relay_ends_with_its_owner() -> None:
    command = [sys.executable, '-c', OWNER, str(TOOLS)]
    owner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    assert is_running(pid)
    os.kill(owner.pid, signal.SIGKILL)
    owner.communicate()
    assert eventually(lambda: not is_running(pid))
