"""A call on the fast path runs no Python function, once its client and its class are known."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import redis

from rqreg_ext import FailedJobRegistry, Queue, StartedJobRegistry

if TYPE_CHECKING:
    from private_redis import PrivateRedis

CLIENTS: dict[str, Callable[[PrivateRedis], redis.Redis]] = {
    'RESP2': lambda server: server.client(protocol=2),
    'RESP3': lambda server: server.client(protocol=3),
    'unix socket': lambda server: server.client(unix_socket_path=server.socket_path),
    'URL': lambda server: redis.Redis.from_url(f'redis://127.0.0.1:{server.port}/0'),
    'BlockingConnectionPool': lambda server: redis.Redis(
        connection_pool=redis.BlockingConnectionPool(host='127.0.0.1', port=server.port)
    ),
}
# By name: the registry's class, and the call on it.
CALLS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    'count': (FailedJobRegistry, lambda registry: registry.count),
    'len': (FailedJobRegistry, len),
    'in': (FailedJobRegistry, lambda registry: 'job' in registry),
    'in started': (StartedJobRegistry, lambda registry: 'job' in registry),
    'get_job_ids': (FailedJobRegistry, lambda registry: registry.get_job_ids()),
    'cleanup': (FailedJobRegistry, lambda registry: registry.cleanup()),
    'remove': (FailedJobRegistry, lambda registry: registry.remove('job')),
}


def functions_called(call: Callable[[], Any]) -> list[str]:
    """Return the names of the Python functions that run during a call, in whichever module."""
    called: list[str] = []

    def note(frame: Any, event: str, _: Any) -> None:
        if event == 'call':
            called.append(f'{frame.f_globals.get("__name__")}.{frame.f_code.co_qualname}')

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return called


@pytest.mark.skipif(sys.version_info < (3, 11), reason='code objects have no qualified names')
@pytest.mark.parametrize('call', CALLS)
@pytest.mark.parametrize('kind', CLIENTS)
def test_known_client_and_class_run_no_python(
    redis_server: PrivateRedis, connection: redis.Redis, kind: str, call: str
) -> None:
    connection.zadd('rq:failed:q', {'a': 4_000_000_000})
    registry_class, make_call = CALLS[call]
    with CLIENTS[kind](redis_server) as client:
        registry = registry_class('q', client)
        # The first call may end with other attributes of the pool than it began with.
        for _ in range(2):
            make_call(registry)
        called = functions_called(lambda: make_call(registry))
        assert [name for name in called if not name.startswith(__name__)] == []


def test_registry_from_queue_runs_no_python_of_ours(redis_server: PrivateRedis) -> None:
    with redis_server.client() as client:
        queue = Queue('q', connection=client)
        queue.failed_job_registry.count  # noqa: B018
        called = functions_called(lambda: queue.failed_job_registry.count)
        assert [name for name in called if name.startswith('rqreg_ext')] == []
