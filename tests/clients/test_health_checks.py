"""health_check_interval: redis-py's own PING, on our connections too."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq.registry

import rqreg_ext.registry

from .recording import Recorder

if TYPE_CHECKING:
    from private_redis import PrivateRedis

INTERVAL = 1
NAMESPACES = [rq.registry, rqreg_ext.registry]


def idle_registry(namespace: Any, recorder: Recorder) -> Any:
    """Return a registry whose connection has done nothing for longer than the interval."""
    client = redis.Redis(host='127.0.0.1', port=recorder.port, health_check_interval=INTERVAL, retry=None, protocol=2)
    registry = namespace.FailedJobRegistry('checked', connection=client)
    assert registry.get_job_count(cleanup=False) == 0
    assert registry.get_job_count(cleanup=False) == 0
    # Ours counts full seconds: one more, so that both are past it.
    time.sleep(INTERVAL + 1.1)
    recorder.clear()
    return registry


@pytest.mark.parametrize('namespace', NAMESPACES)
def test_health_check_is_sent_after_idle_time(
    redis_server: PrivateRedis, connection: redis.Redis, namespace: Any
) -> None:
    with Recorder(redis_server.port) as recorder:
        registry = idle_registry(namespace, recorder)
        assert registry.get_job_count(cleanup=False) == 0
        assert recorder.commands == ['PING', 'ZCARD']
        assert registry.get_job_count(cleanup=False) == 0
        assert recorder.commands == ['PING', 'ZCARD', 'ZCARD']


@pytest.mark.parametrize('namespace', NAMESPACES)
def test_failed_health_check_raises_connection_error(
    redis_server: PrivateRedis, connection: redis.Redis, namespace: Any
) -> None:
    with Recorder(redis_server.port) as recorder:
        registry = idle_registry(namespace, recorder)
        recorder.answer('PING', b'$5\r\nwrong\r\n')
        with pytest.raises(redis.ConnectionError, match='Bad response from PING health check'):
            registry.get_job_count(cleanup=False)
        assert 'ZCARD' not in recorder.commands
        recorder.answer('PING', b'')
        assert registry.get_job_count(cleanup=False) == 0
