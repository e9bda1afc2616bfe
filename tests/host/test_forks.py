"""Registries on both sides of os.fork and in multiprocessing's children: right answers in both."""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import shlex
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from rqreg_ext.registry import FailedJobRegistry, StartedJobRegistry

from .children import Child, in_child
from .descriptors import open_sockets
from .filling import fill, job_ids
from .patience import PATIENCE, eventually

if TYPE_CHECKING:
    from private_redis import PrivateRedis

IDS = job_ids(300)


@pytest.fixture
def registry(connection: redis.Redis) -> FailedJobRegistry:
    registry = FailedJobRegistry('forking', connection=connection)
    fill(connection, registry, IDS)
    fill(connection, StartedJobRegistry('forking', connection=connection), [f'{job_id}:execution' for job_id in IDS])
    return registry


def ask(registry: FailedJobRegistry, rounds: int) -> int:
    """Make reading calls in random order, and return how many; every answer is checked."""
    started = StartedJobRegistry(registry.name, connection=registry.connection)
    for _ in range(rounds):
        index = random.randrange(len(IDS))
        kind = random.randrange(5)
        if kind == 0:
            assert registry.count == len(IDS)
        elif kind == 1:
            assert IDS[index] in registry
        elif kind == 2:
            assert registry.get_job_ids() == IDS
        elif kind == 3:
            assert registry.get_job_ids(index, index) == [IDS[index]]
        else:
            assert IDS[index] in started
    return rounds


def connection_ids(observer: redis.Redis) -> set[str]:
    """Return the server's ids of the connections of clients named `watched`, whichever process they are in."""
    return {client['id'] for client in observer.client_list() if client['name'] == 'watched'}


def test_registry_works_in_parent_and_children(registry: FailedJobRegistry) -> None:
    ask(registry, 5)
    for _ in range(20):
        with Child(lambda: ask(registry, 20)) as child:
            ask(registry, 20)
            assert child.result() == 20
        ask(registry, 5)


def test_concurrent_children_and_parent_get_own_answers(registry: FailedJobRegistry) -> None:
    ask(registry, 5)
    children = []
    for _ in range(8):
        children.append(Child(lambda: ask(registry, 40)))
        ask(registry, 5)
    assert [child.result() for child in children] == [40] * 8
    ask(registry, 5)


def test_grandchildren_get_own_answers(registry: FailedJobRegistry) -> None:
    def descend(depth: int) -> int:
        answers = ask(registry, 5)
        if depth:
            answers += in_child(lambda: descend(depth - 1))
        return answers + ask(registry, 5)

    assert descend(4) == 50


def test_fork_before_first_call_leaves_both_right_answers(
    registry: FailedJobRegistry, redis_server: PrivateRedis
) -> None:
    client = redis_server.client()
    fresh = FailedJobRegistry(registry.name, connection=client)
    with Child(lambda: ask(fresh, 10)) as child:
        ask(fresh, 10)
        assert child.result() == 10
    client.close()


def test_child_with_own_client_gets_right_answers(registry: FailedJobRegistry, redis_server: PrivateRedis) -> None:
    def work() -> int:
        return ask(FailedJobRegistry(registry.name, connection=redis_server.client()), 10)

    ask(registry, 5)
    assert in_child(work) == 10
    ask(registry, 5)


def test_single_connection_client_of_parent_works_after_fork(
    registry: FailedJobRegistry, redis_server: PrivateRedis
) -> None:
    # Its one redis-py connection is the parent's alone, and RQ cannot use it in a child; neither is it touched there.
    client = redis_server.client(single_connection_client=True)
    own = FailedJobRegistry(registry.name, connection=client)
    ask(own, 5)
    in_child(lambda: gc.collect())
    ask(own, 5)
    client.close()


@pytest.mark.parametrize('farewell', ['nothing', 'drop', 'close', 'disconnect'])
def test_child_does_not_use_parents_connections(
    registry: FailedJobRegistry, redis_server: PrivateRedis, farewell: str
) -> None:
    client = redis_server.client(client_name='watched')
    registries = [FailedJobRegistry(registry.name, connection=client)]
    ask(registries[0], 20)
    observer = registry.connection
    ours = connection_ids(observer)
    assert ours

    def work() -> set[str]:
        ask(registries[0], 20)
        seen = connection_ids(registries[0].connection)
        if farewell == 'close':
            registries[0].connection.close()
        elif farewell == 'disconnect':
            registries[0].connection.connection_pool.disconnect()
        elif farewell == 'drop':
            registries.clear()
            nonlocal client
            del client
            gc.collect()
        return seen

    for _ in range(5):
        seen_by_child = in_child(work)
        # It worked on connections of its own, and the parent's were all still there.
        assert ours < seen_by_child
        assert eventually(lambda: connection_ids(observer) == ours)
        # The parent goes on with what it had: nothing of it was closed or spoiled.
        ask(registries[0], 20)
        assert connection_ids(observer) == ours
    registries[0].connection.close()


def test_fork_while_threads_call_leaves_no_lock_held(registry: FailedJobRegistry) -> None:
    ended = threading.Event()

    def call() -> int:
        answers = 0
        while not ended.is_set():
            answers += ask(registry, 1)
        return answers

    with ThreadPoolExecutor(4) as pool:
        calling = [pool.submit(call) for _ in range(4)]
        try:
            # A lock that one of the threads held at this moment must not be held for ever in the child.
            for _ in range(20):
                assert in_child(lambda: ask(registry, 10)) == 10
        finally:
            ended.set()
        assert all(future.result(PATIENCE) > 0 for future in calling)
    ask(registry, 5)


def test_fork_within_reply_of_another_thread_leaves_both_right_answers(connection: redis.Redis) -> None:
    registry = FailedJobRegistry('long', connection=connection)
    ids = job_ids(50_000)
    fill(connection, registry, ids)
    with ThreadPoolExecutor(2) as pool:
        for _ in range(10):
            reading = pool.submit(registry.get_job_ids)
            forked = pool.submit(in_child, lambda: (registry.count, registry.get_job_ids(3, 4)))
            assert registry.count == len(ids)
            assert forked.result(PATIENCE) == (len(ids), ids[3:5])
            assert reading.result(PATIENCE) == ids


INHERITED: list[FailedJobRegistry] = []


def ask_inherited(rounds: int) -> int:
    """Ask the registry that the parent had at the fork."""
    return ask(INHERITED[0], rounds)


def ask_by_url(url: str, rounds: int) -> int:
    """Ask with a client made in this process."""
    return ask(FailedJobRegistry('forking', connection=redis.Redis.from_url(url)), rounds)


def test_pool_of_forked_processes_gets_own_answers(registry: FailedJobRegistry) -> None:
    INHERITED[:] = [registry]
    context = multiprocessing.get_context('fork')
    ask(registry, 5)
    with context.Pool(4) as pool:
        asked = pool.map_async(ask_inherited, [20] * 16)
        ask(registry, 50)
        assert asked.get(PATIENCE) == [20] * 16
    ask(registry, 5)


@pytest.mark.parametrize('method', ['spawn', 'forkserver'])
def test_children_of_spawn_and_forkserver_get_own_answers(
    registry: FailedJobRegistry, redis_server: PrivateRedis, method: str
) -> None:
    ask(registry, 5)
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        asked = [pool.submit(ask_by_url, redis_server.url, 20) for _ in range(6)]
        ask(registry, 50)
        assert [future.result(PATIENCE) for future in asked] == [20] * 6
    ask(registry, 5)


def test_child_that_finalizes_interpreter_leaves_parent_right(
    registry: FailedJobRegistry, redis_server: PrivateRedis
) -> None:
    """Not os._exit but a full shutdown in the child, with every object destroyed, while the parent goes on."""
    program = Path(__file__).with_name('fork_and_finish.py')
    command = [sys.executable, str(program), redis_server.url, registry.name]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert finished.stderr == ''
    assert finished.stdout.split() == ['child', str(len(IDS)), 'parent', str(len(IDS)), 'undisturbed']
    assert finished.returncode == 0


def test_sockets_do_not_accumulate_in_children(registry: FailedJobRegistry) -> None:
    """A child drops the connections that it inherited: a line of descendants does not gather them."""

    def descend(depth: int) -> list[int]:
        ask(registry, 5)
        gc.collect()
        below = in_child(lambda: descend(depth - 1)) if depth else []
        return [open_sockets(), *below]

    _, *descendants = in_child(lambda: descend(6))
    assert len(set(descendants)) == 1, descendants


# What a program that was started sees of our descriptors: a socket would show as `socket:[...]`, or as S_ISSOCK.
COUNT_SOCKETS = """
import os, stat
sockets = 0
for name in os.listdir('/dev/fd'):
    try:
        sockets += stat.S_ISSOCK(os.fstat(int(name)).st_mode)
    except OSError:
        pass
raise SystemExit(sockets)
"""


@pytest.mark.parametrize('way', ['subprocess', 'posix_spawn', 'fork and exec', 'os.system'])
def test_executed_program_inherits_no_descriptor(
    registry: FailedJobRegistry, redis_server: PrivateRedis, way: str
) -> None:
    """Every descriptor is closed on exec; on TCP and on the unix socket."""
    client = redis_server.client(unix_socket_path=redis_server.socket_path)
    ask(registry, 5)
    ask(FailedJobRegistry(registry.name, connection=client), 5)
    assert open_sockets() >= 2
    command = [sys.executable, '-S', '-c', COUNT_SOCKETS]
    if way == 'subprocess':
        status = subprocess.run(command, close_fds=False, check=False).returncode
    elif way == 'os.system':
        status = os.waitstatus_to_exitcode(os.system(shlex.join(command)))
    else:
        pid = os.posix_spawn(sys.executable, command, os.environ) if way == 'posix_spawn' else os.fork()
        if pid == 0:
            os.execv(sys.executable, command)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == 0, f'{status} sockets are open in the other program'
    client.close()
