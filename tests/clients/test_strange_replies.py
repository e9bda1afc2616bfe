"""Replies that no Redis gives to these commands: an error of redis-py's, and the next call is right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq.registry
from redis.exceptions import BusyLoadingError, InvalidResponse, ResponseError

import rqreg_ext.registry
from rqreg_ext.registry import FailedJobRegistry

from .outcomes import outcome_of
from .recording import Recorder

if TYPE_CHECKING:
    from private_redis import PrivateRedis

CALLS: dict[str, tuple[Callable[[Any], Any], str]] = {
    'count': (lambda registry: registry.get_job_count(cleanup=False), 'ZCARD'),
    'ids': (lambda registry: registry.get_job_ids(cleanup=False), 'ZRANGE'),
    'in': (lambda registry: 'a' in registry, 'ZSCORE'),
}
"""A call, and the one command that it sends."""


@pytest.fixture
def recorder(redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[Recorder]:
    connection.zadd('rq:failed:strange', {'a': 4_000_000_000})
    with Recorder(redis_server.port) as proxy:
        yield proxy


def registry_of(recorder: Recorder, registry_class: type = FailedJobRegistry, protocol: int = 2) -> Any:
    """Return a registry whose client is connected through the recorder, and tries nothing again."""
    client = redis.Redis(host='127.0.0.1', port=recorder.port, protocol=protocol, retry=None)
    registry = registry_class('strange', connection=client)
    assert registry.get_job_ids(cleanup=False) == ['a']
    return registry


def answered(recorder: Recorder, registry: Any, call: str, reply: bytes) -> Any:
    """Make a call whose command is answered with these octets, and check the next one."""
    do, command = CALLS[call]
    recorder.answer(command, reply)
    try:
        return do(registry)
    finally:
        recorder.answer(command, b'')
        assert registry.get_job_count(cleanup=False) == 1
        assert registry.get_job_ids(cleanup=False) == ['a']


@pytest.mark.parametrize('call', CALLS)
def test_reply_that_is_no_resp_raises_invalid_response(recorder: Recorder, call: str) -> None:
    for registry_class in (rq.registry.FailedJobRegistry, FailedJobRegistry):
        registry = registry_of(recorder, registry_class)
        with pytest.raises(InvalidResponse, match='Protocol Error'):
            answered(recorder, registry, call, b'HTTP/1.1 400 Bad Request\r\n\r\n')


@pytest.mark.parametrize(
    ('call', 'reply'),
    [
        ('count', b'$1\r\n5\r\n'),
        ('count', b'*1\r\n:5\r\n'),
        ('count', b'$-1\r\n'),
        ('count', b',1.5\r\n'),
        ('count', b'#t\r\n'),
        ('ids', b'$1\r\na\r\n'),
        ('ids', b':1\r\n'),
        ('ids', b'*1\r\n*1\r\n$1\r\na\r\n'),
        ('ids', b'*-1\r\n'),
        ('ids', b'*1\r\n:1\r\n'),
        ('in', b':1\r\n'),
        ('in', b'*0\r\n'),
    ],
)
def test_reply_of_wrong_type_raises_invalid_response(recorder: Recorder, call: str, reply: bytes) -> None:
    with pytest.raises(InvalidResponse, match='another type'):
        answered(recorder, registry_of(recorder), call, reply)


def test_score_that_is_no_number_raises_value_error_as_rq(recorder: Recorder) -> None:
    for registry_class in (rq.registry.FailedJobRegistry, FailedJobRegistry):
        with pytest.raises(ValueError, match='could not convert string to float'):
            answered(recorder, registry_of(recorder, registry_class), 'in', b'$4\r\nsoon\r\n')


def test_loading_server_raises_same_error_as_rq(recorder: Recorder) -> None:
    """An error that redis-py treats like a broken connection."""
    reply = b'-LOADING Redis is loading the dataset in memory\r\n'
    outcomes = []
    for namespace in (rq.registry, rqreg_ext.registry):
        registry = registry_of(recorder, namespace.FailedJobRegistry)
        outcomes.append(outcome_of('ids', lambda: answered(recorder, registry, 'ids', reply)))  # noqa: B023
    assert outcomes[0] == outcomes[1]
    assert outcomes[1].error is BusyLoadingError


def test_error_among_entries_is_raised(recorder: Recorder) -> None:
    """The elements after the error belong to the same reply: they are read, and no objects are made of them."""
    reply = b'*6\r\n$1\r\na\r\n-ERR inner\r\n:1\r\n$-1\r\n#t\r\n,1.5\r\n'
    with pytest.raises(ResponseError, match='inner'):
        answered(recorder, registry_of(recorder), 'ids', reply)


@pytest.mark.parametrize('registry_class', [rq.registry.FailedJobRegistry, FailedJobRegistry])
def test_push_before_reply_is_skipped(recorder: Recorder, registry_class: type) -> None:
    registry = registry_of(recorder, registry_class, protocol=3)
    push = b'>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n'
    assert answered(recorder, registry, 'count', push + b':7\r\n') == 7
    assert answered(recorder, registry, 'ids', push + b'*2\r\n$1\r\nb\r\n$1\r\nc\r\n') == ['b', 'c']
    assert answered(recorder, registry, 'in', push + b',1.5\r\n') is True


def test_attribute_before_reply_is_skipped(recorder: Recorder) -> None:
    registry = registry_of(recorder, protocol=3)
    attribute = b'|1\r\n$3\r\nttl\r\n:3600\r\n'
    assert answered(recorder, registry, 'ids', attribute + b'*1\r\n$1\r\nb\r\n') == ['b']


@pytest.mark.parametrize('registry_class', [rq.registry.FailedJobRegistry, FailedJobRegistry])
def test_more_entries_than_preallocated_are_all_returned(recorder: Recorder, registry_class: type) -> None:
    count = (1 << 20) + 3
    reply = b'*%d\r\n' % count + b'$1\r\na\r\n' * count
    ids = answered(recorder, registry_of(recorder, registry_class), 'ids', reply)
    assert len(ids) == count
    assert set(ids) == {'a'}


@pytest.mark.parametrize('ended', [b'*2\r\n$1\r\na\r\n', b'*2\r\n$5\r\nab', b'*'])
def test_unfinished_reply_raises_timeout_error(recorder: Recorder, ended: bytes) -> None:
    client = redis.Redis(host='127.0.0.1', port=recorder.port, retry=None, socket_timeout=0.2)
    registry = FailedJobRegistry('strange', connection=client)
    recorder.answer('ZRANGE', ended)
    with pytest.raises(redis.TimeoutError):
        registry.get_job_ids(cleanup=False)
