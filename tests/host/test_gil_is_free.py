"""While a call waits for the server, every other thread of the program runs."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from clients.recording import Recorder
from redis.backoff import AbstractBackoff
from redis.retry import Retry

from rqreg_ext.registry import FailedJobRegistry

from .calls import SHORT_CALLS
from .filling import LARGE, MEDIUM, job_ids
from .gate import Gate
from .patience import PATIENCE, eventually
from .stoppable import StoppableRedis

THREADS = 16


def work() -> None:
    """Do a fixed amount of Python, through many switches of the GIL.

    Not for a fixed time: should a waiting call keep the GIL until its answer comes after all, much of the
    work would still be ahead then, and the call would be over by the end of it.
    """
    done = 0
    while done < 1_000_000:
        done += 1


@pytest.mark.parametrize('name', SHORT_CALLS)
def test_threads_run_while_call_waits_for_stopped_server(
    stoppable: StoppableRedis, patient_client: redis.Redis, name: str
) -> None:
    registry = FailedJobRegistry('medium', connection=patient_client)
    right = SHORT_CALLS[name](registry)
    begun = threading.Event()

    def call() -> object:
        begun.set()
        return SHORT_CALLS[name](registry)

    with ThreadPoolExecutor(1) as pool:
        with stoppable.stopped():
            waiting = pool.submit(call)
            begun.wait(PATIENCE)
            work()
            assert not waiting.done()
        assert waiting.result(PATIENCE) == right


def test_threads_run_while_client_connects(stoppable: StoppableRedis) -> None:
    client = stoppable.client(socket_timeout=None)
    registry = FailedJobRegistry('medium', connection=client)
    with ThreadPoolExecutor(1) as pool:
        with stoppable.stopped():
            waiting = pool.submit(lambda: registry.count)
            work()
            assert not waiting.done()
        assert waiting.result(PATIENCE) == MEDIUM
    client.close()


def test_threads_run_within_reply(stoppable: StoppableRedis) -> None:
    with Gate(stoppable.port) as gate:
        client = stoppable.client(port=gate.port, socket_timeout=None)
        registry = FailedJobRegistry('medium', connection=client)
        assert registry.count == MEDIUM
        with ThreadPoolExecutor(1) as pool:
            gate.hold_after(100_000)
            waiting = pool.submit(registry.get_job_ids)
            work()
            assert not waiting.done()
            gate.release()
            assert waiting.result(PATIENCE) == job_ids(MEDIUM)
        client.close()


def test_threads_run_while_large_command_is_sent(stoppable: StoppableRedis, patient_client: redis.Redis) -> None:
    """The server reads nothing, and the command is larger than the buffers on the way to it."""
    registry = FailedJobRegistry('medium', connection=patient_client)
    assert registry.count == MEDIUM
    huge = 'x' * (32 << 20)
    with ThreadPoolExecutor(1) as pool:
        with stoppable.stopped():
            waiting = pool.submit(lambda: huge in registry)
            work()
            assert not waiting.done()
        assert waiting.result(PATIENCE) is False


def test_threads_run_while_call_waits_over_tls(stoppable: StoppableRedis, tmp_path: Path) -> None:
    pytest.importorskip('cryptography', reason='makes the certificate')
    from clients.certificates import Authority
    from tls_proxy import TlsProxy

    authority = Authority(tmp_path, 'authority')
    server = authority.issue('server')
    with TlsProxy(stoppable.port, server.certificate, server.key) as proxy, ThreadPoolExecutor(1) as pool:
        client = redis.Redis(
            host='localhost', port=proxy.port, ssl=True, ssl_ca_certs=authority.file, socket_timeout=None
        )
        registry = FailedJobRegistry('medium', connection=client)
        # The first call waits for its connection, the second for its answer.
        for _ in range(2):
            with stoppable.stopped():
                waiting = pool.submit(registry.get_job_ids)
                work()
                assert not waiting.done()
            assert waiting.result(PATIENCE) == job_ids(MEDIUM)
        client.close()


def test_threads_run_while_call_waits_for_retry(stoppable: StoppableRedis) -> None:
    """The client's backoff waits; other threads work, and call on the same client."""
    waits, let_go = threading.Event(), threading.Event()

    class Waiting(AbstractBackoff):
        def __deepcopy__(self, memo: Any) -> Waiting:
            return self

        def compute(self, failures: int) -> float:
            waits.set()
            let_go.wait(PATIENCE)
            return 0

    with Recorder(stoppable.port) as recorder, ThreadPoolExecutor(1) as pool:
        client = stoppable.client(port=recorder.port, retry=Retry(Waiting(), 1))
        registry = FailedJobRegistry('medium', connection=client)
        assert registry.count == MEDIUM
        recorder.cut('ZRANGE')
        waiting = pool.submit(registry.get_job_ids, 3, 5, cleanup=False)
        try:
            assert waits.wait(PATIENCE)
            assert registry.count == MEDIUM
            assert registry.get_expired_job_ids() == []
            work()
            assert not waiting.done()
        finally:
            let_go.set()
        assert waiting.result(PATIENCE) == job_ids(6)[3:]
        client.close()


def test_threads_run_while_call_waits_for_lock_of_pool(stoppable: StoppableRedis) -> None:
    """A new connection of ours is entered with redis-py's pool, which another thread may have locked."""
    client = stoppable.client()
    registry = FailedJobRegistry('medium', connection=client)
    with ThreadPoolExecutor(1) as pool:
        with client.connection_pool._lock:
            waiting = pool.submit(lambda: registry.count)
            work()
            assert not waiting.done()
        assert waiting.result(PATIENCE) == MEDIUM
    client.close()


def test_sixteen_threads_wait_concurrently(stoppable: StoppableRedis, patient_client: redis.Redis) -> None:
    registry = FailedJobRegistry('medium', connection=patient_client)
    waiting = threading.Semaphore(0)

    def call(number: int) -> tuple[int, list[str]]:
        waiting.release()
        return registry.count, registry.get_job_ids(number, number)

    with ThreadPoolExecutor(THREADS) as pool:
        with stoppable.stopped():
            calls = [pool.submit(call, number) for number in range(THREADS)]
            assert all(waiting.acquire(timeout=PATIENCE) for _ in calls)
            work()
            assert not any(made.done() for made in calls)
        ids = job_ids(THREADS)
        assert [made.result(PATIENCE) for made in calls] == [(MEDIUM, [job_id]) for job_id in ids]


def test_threads_run_while_large_reply_is_read(stoppable: StoppableRedis, patient_client: redis.Redis) -> None:
    """Reading takes the GIL to build the ids, and lets others have it in between."""
    registry = FailedJobRegistry('large', connection=patient_client)
    ids = job_ids(LARGE)
    with ThreadPoolExecutor(1) as pool:
        progressed = 0
        for _ in range(5):
            reading = pool.submit(registry.get_job_ids)
            while not reading.done():
                progressed += 1
                time.sleep(0)
            assert reading.result() == ids
    # Once around the loop per call is what a call that kept the GIL to itself would allow.
    assert progressed > 10


def test_waiting_thread_ends_with_its_reply(stoppable: StoppableRedis) -> None:
    client = stoppable.client(socket_timeout=None)
    registry = FailedJobRegistry('medium', connection=client)
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(registry.count)) for _ in range(4)]
    with stoppable.stopped():
        for thread in threads:
            thread.start()
        work()
        assert answers == []
    assert eventually(lambda: len(answers) == len(threads))
    assert answers == [MEDIUM] * len(threads)
    for thread in threads:
        thread.join(PATIENCE)
    client.close()


def switches_of(thread: threading.Thread) -> int:
    """Return how often the thread has gone to sleep in the system."""
    with open(f'/proc/self/task/{thread.native_id}/status', encoding='ascii') as status:
        line = next(line for line in status if line.startswith('voluntary_ctxt_switches'))
    return int(line.split()[1])


@pytest.mark.skipif(not os.path.exists('/proc/self/task'), reason='the system does not tell how often a thread sleeps')
@pytest.mark.parametrize('socket_timeout', [None, PATIENCE])
def test_waiting_thread_is_not_woken(stoppable: StoppableRedis, socket_timeout: float | None) -> None:
    """No thread but the main one has handlers of signals to run: there is nothing to wake up for."""
    client = stoppable.client(socket_timeout=socket_timeout)
    registry = FailedJobRegistry('medium', connection=client)
    assert registry.count == MEDIUM
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(registry.count))
    with stoppable.stopped():
        thread.start()
        # The first slice, which is for all threads.
        time.sleep(0.5)
        asleep = switches_of(thread)
        time.sleep(1)
        assert switches_of(thread) == asleep
        assert thread.is_alive()
    thread.join(PATIENCE)
    assert answers == [MEDIUM]
    client.close()
