"""Descriptors: one for each connection, none of a closed client, and RQ's answer if none is free."""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest
import redis
import rq.registry
from clients.outcomes import Outcome, outcome_of
from redis.backoff import NoBackoff
from redis.retry import Retry

import rqreg_ext.registry
from rqreg_ext.registry import FailedJobRegistry

from .children import in_child
from .descriptors import open_sockets
from .filling import MEDIUM
from .patience import PATIENCE, eventually
from .stoppable import StoppableRedis

if TYPE_CHECKING:
    from types import ModuleType

    from private_redis import PrivateRedis

CLIENTS = 50


def settled_sockets() -> int:
    """Return how many sockets are open, without those of unreachable objects."""
    gc.collect()
    return open_sockets()


def test_connection_has_one_descriptor(stoppable: StoppableRedis, patient_client: redis.Redis) -> None:
    registry = FailedJobRegistry('medium', connection=patient_client)
    assert registry.count == MEDIUM
    before = settled_sockets()
    with ThreadPoolExecutor(4) as pool:
        with stoppable.stopped():
            waiting = [pool.submit(lambda: registry.count) for _ in range(4)]
            # Three more than the one that was idle: each is connected, and its handshake waits for the server.
            assert eventually(lambda: open_sockets() == before + 3)
        assert [future.result(PATIENCE) for future in waiting] == [MEDIUM] * 4
    assert open_sockets() == before + 3


@pytest.mark.parametrize('way', ['close', 'disconnect'])
def test_closed_clients_hold_no_descriptor(redis_server: PrivateRedis, way: str) -> None:
    before = settled_sockets()
    registries = [FailedJobRegistry('kept', connection=redis_server.client()) for _ in range(CLIENTS)]
    assert [registry.count for registry in registries] == [0] * CLIENTS
    assert open_sockets() == before + CLIENTS
    for registry in registries:
        if way == 'close':
            registry.connection.close()
        else:
            registry.connection.connection_pool.disconnect()
    assert open_sockets() == before
    # And they can be used again.
    assert [registry.count for registry in registries] == [0] * CLIENTS
    assert open_sockets() == before + CLIENTS
    for registry in registries:
        registry.connection.close()


def test_connection_disconnected_during_call_is_closed_by_it(stoppable: StoppableRedis) -> None:
    """Until then its descriptor is not given to another file: the call still waits on it."""
    client = stoppable.client(socket_timeout=None, retry=Retry(NoBackoff(), 0))
    registry = FailedJobRegistry('medium', connection=client)
    assert registry.count == MEDIUM
    before = settled_sockets()
    errors: list[Exception] = []

    def call() -> None:
        try:
            errors.append(AssertionError(registry.get_job_ids()))
        except redis.ConnectionError as error:
            errors.append(error)

    with stoppable.stopped():
        thread = threading.Thread(target=call)
        thread.start()
        connection = next(iter(client.connection_pool._in_use_connections))
        assert eventually(lambda: is_waiting(thread))
        client.connection_pool.disconnect()
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert str(errors[0]) == 'Connection closed by server.'
    assert open_sockets() == before - 1
    # As redis-py does with its own, the pool keeps it, and it connects anew.
    assert connection in client.connection_pool._in_use_connections
    assert registry.count == MEDIUM
    assert open_sockets() == before
    client.close()


def is_waiting(thread: threading.Thread) -> bool:
    """Return whether the thread sleeps in a system call; True if that cannot be found out."""
    try:
        with open(f'/proc/self/task/{thread.native_id}/stat', encoding='ascii') as stat:
            return stat.read().rpartition(')')[2].split()[0] == 'S'
    except OSError:
        return True


def last_descriptor() -> int:
    found = [os.dup(2) for _ in range(300)]
    for descriptor in found:
        os.close(descriptor)
    return max(found)


@contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """Limit this process to this many more descriptors."""
    # Other tests in this process may have left many open.
    resource.setrlimit(resource.RLIMIT_NOFILE, (last_descriptor() + 16, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    taken = []
    with suppress(OSError):
        while True:
            taken.append(os.dup(2))
    for _ in range(count):
        os.close(taken.pop())
    yield
    for descriptor in taken:
        os.close(descriptor)


@pytest.mark.parametrize('left', [0, 1, 2, 3])
@pytest.mark.parametrize('is_connected', [False, True])
@pytest.mark.parametrize('host', ['127.0.0.1', 'localhost'])
def test_call_with_few_free_descriptors_answers_as_rq(
    redis_server: PrivateRedis, connection: redis.Redis, host: str, is_connected: bool, left: int
) -> None:
    """Of a client that is connected RQ needs none; of another, one."""
    connection.zadd('rq:failed:few', {'a': 4_000_000_000})
    # What both load at their first call.
    assert FailedJobRegistry('few', connection=connection).count == 1

    def outcomes(namespace: ModuleType) -> list[Outcome]:
        client = redis.Redis(host=host, port=redis_server.port, retry=Retry(NoBackoff(), 0))
        registry = namespace.FailedJobRegistry('few', connection=client)
        if is_connected:
            client.ping()
        with descriptors_left(left):
            few = outcome_of('ids', lambda: registry.get_job_ids(cleanup=False))
        return [few, outcome_of('ids', lambda: registry.get_job_ids(cleanup=False))]

    theirs, ours = (in_child(partial(outcomes, namespace)) for namespace in (rq.registry, rqreg_ext.registry))
    assert ours == theirs
    assert (ours[0].error is None) is (is_connected or left > 0)
    assert ours[1].error is None


FIRST_CALLS = """
import os, resource, sys
import redis, rqreg_ext
from rqreg_ext import FailedJobRegistry

client = redis.Redis(port=int(sys.argv[1]))
client.ping()
registry = FailedJobRegistry('few', connection=client)
registry.count
if sys.argv[2].startswith('loaded'):
    rqreg_ext.check
taken = []
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
try:
    while True:
        taken.append(os.dup(2))
except OSError:
    pass
call = {
    'snapshot': lambda: rqreg_ext.snapshot(client),
    'purge': lambda: rqreg_ext.purge(client),
    'check': lambda: registry.check(settle=0),
    'repair': lambda: registry.repair(),
    'loaded check': lambda: rqreg_ext.check(client, settle=0),
    'loaded repair': lambda: rqreg_ext.repair(client),
}[sys.argv[2]]
try:
    found = call()
except OSError as error:
    found = error
for descriptor in taken:
    os.close(descriptor)
print(found)
call()
"""


@pytest.mark.parametrize('name', ['snapshot', 'purge', 'check', 'repair', 'loaded check', 'loaded repair'])
def test_first_call_without_descriptors_names_remedy(redis_server: PrivateRedis, name: str) -> None:
    done = subprocess.run(
        [sys.executable, '-c', FIRST_CALLS, str(redis_server.port), name], capture_output=True, text=True, check=True
    )
    assert 'no file descriptor is left to load' in done.stdout
    assert 'ulimit -n' in done.stdout
    assert name.rpartition(' ')[2] in done.stdout
