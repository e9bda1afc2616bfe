"""Bulk calls that are interrupted anywhere: each job is unchanged or completely changed, and repeating continues."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from bulk.bulk_jobs import METHODS, Course, call
from host.patience import eventually
from private_redis import PrivateRedis

from rqreg_ext._bulk.result import BulkResult
from rqreg_ext.registry import FailedJobRegistry

from .relay import Cut, End, Fault, Refusal, Relay

# Chunks of seven: borders at many places, and jobs of every kind at both sides of some.
COUNT, CHUNK = 48, 7
PLACES = 25
GOLDEN_RATIO = (5**0.5 - 1) / 2
TESTS = Path(__file__).resolve().parent.parent


@pytest.fixture(params=METHODS)
def course(request: pytest.FixtureRequest, connection: redis.Redis) -> Course:
    return Course(connection, request.param, COUNT)


@pytest.fixture
def relay(redis_server: PrivateRedis) -> Iterator[Relay]:
    with Relay(redis_server.port) as relay:
        yield relay


def run_into(relay: Relay, course: Course, fault: Fault | None) -> BaseException | None:
    course.begin()
    client = redis.Redis(**relay.address, retry=None, socket_timeout=20)  # type: ignore[arg-type]
    client.ping()
    relay.arm(fault)
    try:
        call(course.method, FailedJobRegistry('q', connection=client), chunk_size=CHUNK)
    except redis.exceptions.RedisError as error:
        return error
    finally:
        client.close()
    return None


@pytest.mark.parametrize('fault', [Cut, Refusal])
def test_connection_closed_after_any_byte_leaves_no_job_half_changed(
    relay: Relay, course: Course, fault: type[Any], is_deep: bool
) -> None:
    assert run_into(relay, course, None) is None
    length = relay.replied if fault is Cut else relay.requested
    stride = 1 if is_deep else max(1, length // PLACES)
    struck = 0
    for place in range(0, length - stride, stride):
        error = run_into(relay, course, fault(place, End.RESET if place % 2 else End.CLOSE))
        done = course.done()
        if error is None:
            # RQ's own path ran into it, or the length was another this time.
            assert len(done) == COUNT
            continue
        struck += 1
        # To cancel them, the test itself asks for the ids first.
        result = getattr(error, 'result', BulkResult())
        # The chunk whose reply was lost may have been processed.
        assert result.done <= len(done) <= result.done + CHUNK
        assert hasattr(error, 'result') or course.method == 'cancel_many'
        course.finish(FailedJobRegistry('q', connection=course.admin))
    assert struck > PLACES // 2


@pytest.mark.parametrize('number', range(COUNT // CHUNK))
def test_server_killed_between_chunks_keeps_acknowledged_changes(
    number: int, method_course: Course, durable: PrivateRedis
) -> None:
    """Changes that it acknowledged are present after its restart."""
    course = method_course
    course.begin()
    client = durable.client(retry=None)
    borders = 0

    def progress(count: int, total: int | None) -> None:
        nonlocal borders
        borders += 1
        if borders == number + 1:
            durable.kill()

    with pytest.raises(redis.exceptions.ConnectionError) as raised:
        call(course.method, FailedJobRegistry('q', connection=client), chunk_size=CHUNK, progress=progress)
    bring_back(durable)
    assert len(course.done()) >= raised.value.result.done > 0  # type: ignore[attr-defined]
    course.finish(FailedJobRegistry('q', connection=course.admin))


def test_server_killed_at_any_moment_leaves_no_job_half_changed(
    method_course: Course, durable: PrivateRedis, is_deep: bool
) -> None:
    course = method_course
    course.begin()
    begun = time.monotonic()
    call(course.method, FailedJobRegistry('q', connection=course.admin), chunk_size=CHUNK)
    takes = time.monotonic() - begun
    tries = 40 if is_deep else 6
    for number in range(tries):
        course.begin()
        killer = threading.Timer(takes * number / tries, durable.kill)
        client = durable.client(retry=None)
        client.ping()
        killer.start()
        try:
            result = call(course.method, FailedJobRegistry('q', connection=client), chunk_size=CHUNK)
        except redis.exceptions.ConnectionError as error:
            result = getattr(error, 'result', BulkResult())
        killer.join()
        bring_back(durable)
        assert len(course.done()) >= result.done
        course.finish(FailedJobRegistry('q', connection=course.admin))


def bring_back(server: PrivateRedis) -> None:
    """Start the server, and wait until it has read what is on its disk."""
    server.start()
    with server.client() as client:
        assert eventually(lambda: client.info('persistence')['loading'] == 0)


@pytest.fixture
def durable() -> Iterator[PrivateRedis]:
    """A server that writes each change to disk before it acknowledges it."""
    with PrivateRedis(appendonly='yes', appendfsync='always') as server:
        yield server


@pytest.fixture(params=METHODS)
def method_course(request: pytest.FixtureRequest, durable: PrivateRedis) -> Course:
    return Course(durable.client(), request.param, COUNT)


PROGRAM = """
import sys
import redis
from rqreg_ext.registry import FailedJobRegistry
from bulk.bulk_jobs import call
client = redis.Redis(port=int(sys.argv[1]))
print('begins', flush=True)
call(sys.argv[2], FailedJobRegistry('q', connection=client), chunk_size=7,
     progress=lambda count, total: print(count, flush=True))
print('ends', flush=True)
"""


def start(course: Course, server: PrivateRedis) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, '-c', PROGRAM, str(server.port), course.method],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(TESTS)},
    )


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGINT])
def test_process_killed_between_chunks_leaves_no_job_half_changed(
    number: signal.Signals, course: Course, redis_server: PrivateRedis, is_deep: bool
) -> None:
    borders = range(COUNT // CHUNK + 1) if is_deep else (0, 1, 3, 6)
    for border in borders:
        course.begin()
        with start(course, redis_server) as process:
            assert process.stdout is not None
            said = [process.stdout.readline() for _ in range(border + 1)][-1].strip()
            process.send_signal(number)
            process.wait()
        assert len(course.done()) >= (int(said) if said.isdigit() else 0)
        course.finish(FailedJobRegistry('q', connection=course.admin))


def test_interrupt_at_any_moment_leaves_no_job_half_changed(course: Course, is_deep: bool) -> None:
    registry = FailedJobRegistry('q', connection=course.admin)
    course.begin()
    begun = time.monotonic()
    call(course.method, registry, chunk_size=CHUNK)
    takes = time.monotonic() - begun
    wanted = 100 if is_deep else 12
    tries = 0
    interrupted = 0

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        while interrupted < wanted and tries < 20 * wanted:
            course.begin()
            tries += 1
            # The moments spread over all of the call, however many of them it takes.
            moment = takes * (tries * GOLDEN_RATIO % 1)
            alarm = threading.Timer(moment, os.kill, (os.getpid(), signal.SIGUSR1))
            result = None
            begun = time.monotonic()
            with contextlib.suppress(KeyboardInterrupt):
                alarm.start()
                try:
                    result = call(course.method, registry, chunk_size=CHUNK)
                    # The first call was the slowest, and a signal after the end tests nothing.
                    takes = min(takes, time.monotonic() - begun)
                except KeyboardInterrupt as error:
                    interrupted += 1
                    result = getattr(error, 'result', None)
                alarm.join()
                # The signal may come only now.
                time.sleep(0)
            if result is not None:
                assert result.done <= len(course.done())
            course.finish(FailedJobRegistry('q', connection=course.admin))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert interrupted == wanted
