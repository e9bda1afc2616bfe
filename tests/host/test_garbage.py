"""Nothing is kept alive: registries in reference cycles, subclasses, clients made and dropped, failing calls."""

from __future__ import annotations

import gc
import os
import subprocess
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import redis
from depth import IS_DEEP
from private_redis import free_port
from redis.backoff import NoBackoff
from redis.retry import Retry

import rqreg_ext
from rqreg_ext import registry as registries
from rqreg_ext.executions import ExecutionRegistry
from rqreg_ext.registry import FailedJobRegistry, ScheduledJobRegistry, StartedJobRegistry

from .descriptors import open_descriptors
from .filling import fill, job_ids
from .patience import eventually

if TYPE_CHECKING:
    from private_redis import PrivateRedis

CLIENTS = 5_000 if IS_DEEP else 1_000

CLASSES = [
    getattr(registries, name)
    for name in dir(registries)
    if name.endswith('JobRegistry') and getattr(registries, name).__module__ == registries.__name__
]


class Referent:
    """Something that a weak reference can watch."""


def use(registry: Any) -> None:
    """Make calls of each kind."""
    assert registry.count == 0
    assert len(registry) == 0
    assert registry.get_job_ids() == []
    assert 'nobody' not in registry


@pytest.mark.parametrize('registry_class', CLASSES)
def test_registry_in_cycle_is_collected(connection: redis.Redis, registry_class: type) -> None:
    registry = registry_class('cycle', connection=connection)
    use(registry)
    referent = Referent()
    registry.me, registry.referent = registry, referent
    watched = [weakref.ref(registry), weakref.ref(referent)]
    del registry, referent
    gc.collect()
    assert [reference() for reference in watched] == [None, None]


def test_execution_registry_in_cycle_is_collected(connection: redis.Redis) -> None:
    registry = ExecutionRegistry('job', connection=connection)
    assert registry.count == 0
    assert registry.get_execution_ids() == []
    registry.me = registry
    watched = weakref.ref(registry)
    del registry
    gc.collect()
    assert watched() is None


def test_registry_is_freed_with_last_reference(connection: redis.Redis) -> None:
    gc.disable()
    try:
        registry = FailedJobRegistry('plain', connection=connection)
        use(registry)
        watched = weakref.ref(registry)
        del registry
        assert watched() is None
    finally:
        gc.enable()


def test_cycle_through_client_is_collected(redis_server: PrivateRedis) -> None:
    client = redis_server.client()
    registry = FailedJobRegistry('cycle', connection=client)
    use(registry)
    client.registry = registry
    client.connection_pool.registry = registry
    watched = [weakref.ref(registry), weakref.ref(client), weakref.ref(client.connection_pool)]
    del client, registry
    gc.collect()
    assert [reference() for reference in watched] == [None, None, None]


@pytest.mark.parametrize('setting', ['redis_connect_func', 'credential_provider', 'retry'])
def test_cycle_through_connection_arguments_is_collected(redis_server: PrivateRedis, setting: str) -> None:
    """Our connections hold the client's settings; where these hold the client, nothing of it may stay alive."""

    class Connect:
        def __call__(self, connection: redis.Connection) -> None:
            connection.on_connect()

    class Credentials(redis.CredentialProvider):
        def get_credentials(self) -> tuple[str, str]:
            return 'default', ''

    class Patient(Retry):
        def __deepcopy__(self, memo: Any) -> Patient:
            return self

    value: Any = {
        'redis_connect_func': Connect,
        'credential_provider': Credentials,
        'retry': lambda: Patient(NoBackoff(), 0),
    }[setting]()
    client = redis_server.client(**{setting: value})
    value.client = client
    use(FailedJobRegistry('cycle', connection=client))
    watched = [weakref.ref(value), weakref.ref(client), weakref.ref(client.connection_pool)]
    del client, value
    gc.collect()
    assert [reference() for reference in watched] == [None, None, None]


def test_cycle_through_queue_and_registries_is_collected(connection: redis.Redis) -> None:
    queue = rqreg_ext.Queue('cycle', connection=connection)
    queue.kept = [queue.failed_job_registry, queue.started_job_registry, queue.scheduled_job_registry]
    for registry in queue.kept:
        registry.queue = queue
        use(registry)
    watched = [weakref.ref(queue), *map(weakref.ref, queue.kept)]
    del queue, registry
    gc.collect()
    assert [reference() for reference in watched] == [None] * 4


def test_subclass_is_collected(connection: redis.Redis) -> None:
    class Passing(FailedJobRegistry):
        pass

    use(Passing('passing', connection=connection))
    watched = weakref.ref(Passing)
    del Passing
    gc.collect()
    assert watched() is None


def test_bound_method_keeps_registry_alive(connection: redis.Redis) -> None:
    registry = ScheduledJobRegistry('bound', connection=connection)
    watched = weakref.ref(registry)
    call = registry.get_job_ids
    del registry
    gc.collect()
    assert watched() is not None
    assert call() == []
    del call
    gc.collect()
    assert watched() is None


def server_connections(observer: redis.Redis) -> int:
    """Return how many connections the server has, without those of what is garbage already."""
    gc.collect()
    return len(observer.client_list())


def make_and_drop(make: Callable[[], redis.Redis], times: int) -> None:
    """Use registries on that many clients, one after the other, none of them closed."""
    for _ in range(times):
        client = make()
        use(FailedJobRegistry('passing', connection=client))
        use(StartedJobRegistry('passing', connection=client))


def test_dropped_clients_are_freed(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    make_and_drop(redis_server.client, 3)
    gc.collect()
    descriptors = open_descriptors()
    connections = server_connections(connection)
    make_and_drop(redis_server.client, 100)
    gc.collect()
    assert open_descriptors() == descriptors
    assert eventually(lambda: server_connections(connection) <= connections)


def resident_kilobytes() -> int:
    """Return how much memory of this process is in use."""
    return int(subprocess.run(['ps', '-o', 'rss=', '-p', str(os.getpid())], capture_output=True, check=True).stdout)


def test_thousands_of_dropped_clients_leave_nothing_behind(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    """Descriptors, threads, the server's connections and memory stay flat."""

    def drop(times: int) -> tuple[list[int], int, int]:
        make_and_drop(redis_server.client, times)
        gc.collect()
        return open_descriptors(), threading.active_count(), server_connections(connection)

    flat = drop(CLIENTS // 4)
    before = resident_kilobytes()
    assert drop(CLIENTS) == flat
    # A client with its pool and our connection takes some 100 kB while it lives.
    assert resident_kilobytes() - before < 4 * CLIENTS


def test_thousands_of_dropped_registries_leave_nothing_behind(connection: redis.Redis) -> None:
    def make(times: int) -> None:
        for number in range(times):
            FailedJobRegistry(f'queue-{number}', connection=connection).get_job_count(cleanup=False)

    make(CLIENTS)
    connections, before = server_connections(connection), resident_kilobytes()
    make(CLIENTS * 4)
    assert server_connections(connection) == connections
    assert resident_kilobytes() - before < 2 * CLIENTS


def test_closed_client_leaves_no_connection(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    """After client.close() the server has no connection of that client's any more, ours included."""
    connections = server_connections(connection)
    client = redis_server.client()
    use(FailedJobRegistry('passing', connection=client))
    assert server_connections(connection) > connections
    client.close()
    assert eventually(lambda: server_connections(connection) == connections)
    # And a closed client can be used again.
    use(FailedJobRegistry('passing', connection=client))
    client.close()


def test_many_registries_of_one_client_share_its_connections(connection: redis.Redis) -> None:
    use(FailedJobRegistry('warm', connection=connection))
    connections = server_connections(connection)
    descriptors = open_descriptors()
    for number in range(200):
        use(FailedJobRegistry(f'queue-{number}', connection=connection))
    assert open_descriptors() == descriptors
    assert server_connections(connection) == connections


def refused() -> None:
    """Call on a port where no server listens."""
    client = redis.Redis(host='127.0.0.1', port=free_port(), retry=None)
    with pytest.raises(redis.ConnectionError):
        FailedJobRegistry('nowhere', connection=client).get_job_ids()


def wrong_type(connection: redis.Redis) -> None:
    """Call on a key that holds no sorted set."""
    registry = FailedJobRegistry('wrong', connection=connection)
    connection.set(registry.key, 'a string')
    with pytest.raises(redis.ResponseError):
        registry.get_job_ids()


def undecodable(connection: redis.Redis) -> None:
    """Read an id that is not UTF-8, after many that are."""
    registry = FailedJobRegistry('undecodable', connection=connection)
    fill(connection, registry, job_ids(1000))
    connection.zadd(registry.key, {b'\xff': 4_100_000_000})
    with pytest.raises(UnicodeDecodeError):
        registry.get_job_ids()


def lost(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    """Have the connections killed by the server between two calls."""
    client = redis_server.client()
    registry = FailedJobRegistry('lost', connection=client)
    use(registry)
    for entry in connection.client_list():
        if int(entry['id']) != connection.client_id():
            connection.client_kill_filter(_id=entry['id'])
    use(registry)


@pytest.mark.parametrize('failing', ['refused', 'wrong type', 'undecodable', 'lost'])
def test_failed_calls_leave_no_connection_open(
    redis_server: PrivateRedis, connection: redis.Redis, failing: str
) -> None:
    fail: dict[str, Callable[[], None]] = {
        'refused': refused,
        'wrong type': lambda: wrong_type(connection),
        'undecodable': lambda: undecodable(connection),
        'lost': lambda: lost(redis_server, connection),
    }
    for _ in range(2):
        fail[failing]()
    gc.collect()
    descriptors = open_descriptors()
    for _ in range(20):
        fail[failing]()
    gc.collect()
    assert open_descriptors() == descriptors
