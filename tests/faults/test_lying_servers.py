"""Replies that are not RESP, or not of the expected type, raise redis-py's exceptions quickly and in little memory."""

from __future__ import annotations

import datetime
import resource
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
import redis
import rq.registry
from clients.outcomes import Outcome
from depth import IS_DEEP
from rq.job import Job
from rq.utils import get_version

import rqreg_ext.registry

from .calls import CALLS, INHERITED, Database, Registries, assert_right, outcome
from .relay import Insertion, Lie, Relay

if TYPE_CHECKING:
    from private_redis import PrivateRedis

LIES = {
    'garbage': b'HTTP/1.1 400 Bad Request\r\n\r\n',
    'null characters': b'\0\0\0\0\r\n',
    'an empty line': b'\r\n',
    'empty lines': b'\r\n' * 1000,
    'no line end': b'+OK',
    'line feed only': b':1\n',
    'an endless line': b':' + b'1' * 100_000,
    'a string of 10 GB': b'$9999999999\r\nshort',
    'a string of 16 EB': b'$18446744073709551616\r\nshort',
    'a string of less than nothing': b'$-7\r\n',
    'a string of no number': b'$abc\r\nabc\r\n',
    'two thousand million items': b'*2147483647\r\n$1\r\na\r\n',
    'more items than there are': b'*9223372036854775807\r\n$1\r\na\r\n',
    'less than no items': b'*-5\r\n',
    'items of no number': b'*x\r\n',
    'long lists in long lists': b'*1048576\r\n' * 60,
    'deep lists': b'*1\r\n' * 50_000 + b':1\r\n',
    'deep maps': b'%1\r\n:1\r\n' * 2_000 + b':1\r\n',
    'a string that is longer': b'$3\r\nabcdef\r\n',
    'a string with another end': b'$3\r\nabcXY',
    'too large an integer': b':9223372036854775808\r\n',
    'an integer of no number': b':one\r\n',
    'an integer with spaces': b': 1\r\n',
    'an empty integer': b':\r\n',
    'no boolean': b'#x\r\n',
    'no null': b'_x\r\n',
    'no double': b',one\r\n',
    'an endless double': b',' + b'1' * 1000 + b'\r\n',
    'another type': b'@1\r\n',
    'a simple string': b'+OK\r\n',
    'a bulk string': b'$2\r\nOK\r\n',
    'null characters in a string': b'$3\r\n\0a\0\r\n',
    'no UTF-8': b'$2\r\n\xff\xfe\r\n',
    'items of no UTF-8': b'*2\r\n$2\r\n\xff\xfe\r\n$1\r\na\r\n',
    'items with null characters': b'*2\r\n$3\r\n\0a\0\r\n$1\r\na\r\n',
    'a nil string': b'$-1\r\n',
    'a nil list': b'*-1\r\n',
    'a null': b'_\r\n',
    'a list': b'*2\r\n$1\r\na\r\n$1\r\nb\r\n',
    'a list of numbers': b'*2\r\n:1\r\n:2\r\n',
    'a list of nil': b'*2\r\n$-1\r\n$-1\r\n',
    'a list of lists': b'*2\r\n*1\r\n$1\r\na\r\n*0\r\n',
    'a list with an error': b'*2\r\n$1\r\na\r\n-ERR inside\r\n',
    'an empty list': b'*0\r\n',
    'a set': b'~1\r\n$1\r\na\r\n',
    'a map': b'%1\r\n$1\r\na\r\n$1\r\nb\r\n',
    'a boolean': b'#t\r\n',
    'a double': b',1.5\r\n',
    'not a number': b',nan\r\n',
    'infinity': b',inf\r\n',
    'a verbatim string': b'=7\r\ntxt:abc\r\n',
    'a large number': b'(123456789012345678901234567890\r\n',
    'a negative number': b':-1\r\n',
    'an error': b'-ERR you did it\r\n',
    'an error without words': b'-\r\n',
    'an error of no UTF-8': b'-ERR \xff\xfe\r\n',
    'a long error': b'!10\r\nERR longer\r\n',
    'a push and nothing': b'>1\r\n+x\r\n',
}
# Calls that wait for two replies at once: the lie is sent twice.
PAIRS = ('count', 'ids', 'last ids', 'started count', 'started ids', 'started pairs', 'executions count', 'requeue')
# The bytes of memory that a lie of a few bytes may cost us.
ENOUGH = 300 << 20
# What RQ itself raises for an answer that it did not expect, and its documented errors.
RAISED = (redis.RedisError, ValueError, rq.exceptions.NoSuchJobError, rq.exceptions.InvalidJobOperation)
NOT_RESP = [*LIES][: [*LIES].index('a string that is longer')]
# RQ passes the reply to datetime or len(), whose messages differ from ours.
FROM_DATETIME = {
    (name, lie)
    for name in ('expiration time', 'scheduled time')
    for lie in (
        'a nil string',
        'a nil list',
        'a null',
        'not a number',
        'infinity',
        'an endless double',
        'a large number',
    )
} | {('len', 'a negative number')}
NAMES = [name for name in CALLS if name not in INHERITED]
SHORT = ['count', 'ids', 'in', 'started not in', 'started pairs', 'expiration time', 'delete', 'requeue', 'remove']


def connected(relay: Relay) -> Registries:
    """Return registries of a new client, on a connection that is open."""
    client = redis.Redis(**relay.address, retry=None, protocol=3, socket_timeout=20)
    get_version(client)
    on = Registries(rqreg_ext.registry, client)
    assert 'failed-0' in on.failed
    return on


def outcome_of_lie(relay: Relay, database: Database, name: str, lie: Lie) -> Outcome:
    """Make the call, have the server lie, and see that the next calls are right."""
    on = connected(relay)
    relay.arm(lie)
    struck = outcome(name, on)
    relay.wait_until_struck()
    assert_right(on, database.admin)
    on.failed.connection.close()
    return struck


def peak() -> int:
    """Return the most memory that this process has used, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024)


@pytest.mark.parametrize('lie', LIES)
def test_invalid_reply_raises_or_is_of_type_of_call(relay: Relay, database: Database, lie: str) -> None:
    """An exception of redis-py's, or where the lie could be an answer, one of the type that the call has."""
    for name in NAMES if IS_DEEP else SHORT:
        database.restore()
        before = peak()
        struck = outcome_of_lie(relay, database, name, Lie(LIES[lie] * (2 if name in PAIRS else 1)))
        assert peak() - before < ENOUGH
        if struck.error is None:
            assert struck.value[0] in (int, list, bool, type(None), datetime.datetime, Job)
        else:
            assert issubclass(struck.error, RAISED) or (name, lie) in FROM_DATETIME, struck
        if lie in NOT_RESP:
            assert struck.error in (redis.InvalidResponse, redis.ConnectionError)


@pytest.mark.covering(1)
@pytest.mark.parametrize('octets', [b':5\r\n', b'*0\r\n', b'+', b'$', b'$3\r\nab', b'\0', b'-ERR late\r\n', b'>1\r\n'])
@pytest.mark.parametrize('name', NAMES if IS_DEEP else SHORT)
def test_surplus_bytes_are_never_next_answer(relay: Relay, database: Database, name: str, octets: bytes) -> None:
    """Bytes after the reply, sent with it or later, complete or not, are never the answer of the next call."""
    on = connected(relay)
    for _ in range(2):
        database.restore()
        relay.arm(None)
        expected = outcome(name, on)
    replied = relay.replied
    for _ in range(3):
        database.restore()
        relay.arm(Insertion(replied - 1, b'\n' + octets[:-1] if octets.endswith(b'\n') else b'\n' + octets))
        assert outcome(name, on) == expected
        relay.wait_until_struck()
        relay.arm(None)
        assert_right(on, database.admin)


def test_surplus_bytes_between_calls_are_no_answer(redis_server: PrivateRedis, database: Database) -> None:
    """Bytes that arrive between two calls are the answer of neither."""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        client = redis.Redis(
            host='127.0.0.1', port=listener.getsockname()[1], protocol=2, retry=None, lib_name=None, lib_version=None
        )
        registry = rqreg_ext.registry.DeferredJobRegistry('q', connection=client)
        answered = threading.Semaphore(0)
        served = threading.Thread(target=answer_twice, args=(listener, answered))
        served.start()
        for expected in range(6):
            assert registry.count == expected
            assert answered.acquire(timeout=60)
        served.join()


def answer_twice(listener: socket.socket, answered: threading.Semaphore) -> None:
    """Answer each command on a new connection with its number, and some time later with something else."""
    for number in range(6):
        peer, _ = listener.accept()
        with peer:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if not peer.recv(4096):
                return
            peer.sendall(b':%d\r\n' % number)
            time.sleep(0.02)
            peer.sendall(b':99\r\n')
            answered.release()
            # The client hangs up when it looks at this connection again.
            if number < 5:
                assert peer.recv(4096) == b''
