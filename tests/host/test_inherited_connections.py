"""A forked child never sends on a connection of its parent, even if a call raises or forks."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from rqreg_ext import _core
from rqreg_ext.registry import FailedJobRegistry

from .calls import MEDIUM_IDS
from .children import in_child
from .filling import MEDIUM
from .patience import PATIENCE
from .stoppable import StoppableRedis

if TYPE_CHECKING:
    from private_redis import PrivateRedis


class InterruptedWhileClosing(redis.Connection):
    """A connection whose closing a Ctrl-C interrupts, where that is armed."""

    armed = 0

    def disconnect(self, *args: Any, **kwargs: Any) -> None:
        cls = type(self)
        if cls.armed:
            cls.armed -= 1
            signal.raise_signal(signal.SIGINT)
        super().disconnect(*args, **kwargs)


def connection_id(client: redis.Redis) -> int:
    """Return the server's id of the connection that a call of ours uses."""
    replies: Any = _core.exchange(client, [(_core.INTEGER, 'CLIENT', 'ID')])
    return int(replies[0])


def open_idle(client: redis.Redis, count: int) -> set[int]:
    """Open several connections of ours, one call inside the other, and return their ids."""
    ids = set()

    def nested(_: Any) -> None:
        ids.update(open_idle(client, count - 1))

    if count > 0:
        number, _ = _core.exchange(client, [(_core.INTEGER, 'CLIENT', 'ID'), (nested, 'PING')])  # type: ignore[misc]
        ids.add(int(number))
    return ids


@pytest.mark.parametrize('interrupts', [1, 2, 3])
def test_child_interrupted_in_first_call_uses_no_inherited_connection(
    redis_server: PrivateRedis, interrupts: int
) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    pool = redis.ConnectionPool(
        connection_class=InterruptedWhileClosing, host='127.0.0.1', port=redis_server.port, client_name='inherited'
    )
    client = redis.Redis(connection_pool=pool)
    ours = open_idle(client, 3)
    assert len(ours) == 3

    def work() -> tuple[int, set[int]]:
        InterruptedWhileClosing.armed = interrupts
        interrupted = 0
        used = set()
        while len(used) < 4:
            try:
                used |= open_idle(client, 4)
            except KeyboardInterrupt:
                interrupted += 1
        return interrupted, used

    try:
        interrupted, used = in_child(work)
    finally:
        signal.signal(signal.SIGINT, before)
    assert interrupted == 1
    assert not used & ours
    # The child has closed what it inherited without a word to the server.
    assert open_idle(client, 3) == ours
    client.close()


class Forking:
    """A handler of SIGALRM that forks once; the child goes on where its parent was."""

    def __init__(self) -> None:
        self.pid: int | None = None
        self.forked = threading.Event()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.pid is None:
            self.pid = os.fork()
            self.forked.set()


def fork_in_the_middle(stoppable: StoppableRedis, call: Callable[[], Any]) -> tuple[Any, Any]:
    """Make the call with the server stopped, fork in its middle, and return what both processes make of it."""
    handler = Forking()
    before = signal.signal(signal.SIGALRM, handler)
    pipe, child_end = os.pipe()
    let_go = threading.Thread(target=lambda: (handler.forked.wait(PATIENCE), os.read(pipe, 1), stoppable.go_on()))
    stoppable.halt()
    let_go.start()
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        outcome: Any = call()
    except Exception as error:
        outcome = error
    if handler.pid == 0:
        os.write(child_end, str(outcome)[:200].encode() or b'-')
        os._exit(0)
    signal.signal(signal.SIGALRM, before)
    let_go.join(PATIENCE)
    with suppress(ChildProcessError):
        os.waitpid(handler.pid or 0, 0)
    os.close(child_end)
    with open(pipe, 'rb') as stream:
        # The first byte was taken by the thread.
        return outcome, stream.read().decode()


@pytest.mark.parametrize('sending', [False, True])
def test_child_forked_within_call_leaves_reply_to_parent(stoppable: StoppableRedis, sending: bool) -> None:
    client = stoppable.client(socket_timeout=20, retry=Retry(NoBackoff(), 0))
    registry = FailedJobRegistry('medium', connection=client)
    assert registry.count == MEDIUM
    huge = 'x' * (32 << 20)
    call: Callable[[], Any] = (lambda: huge in registry) if sending else registry.get_job_ids
    in_parent, in_forked = fork_in_the_middle(stoppable, call)
    assert in_parent == (False if sending else MEDIUM_IDS)
    assert 'he process forked in the middle of the call' in in_forked
    assert registry.count == MEDIUM
    client.close()


def test_child_forked_between_replies_reads_none_of_them(redis_server: PrivateRedis) -> None:
    client = redis_server.client(retry=Retry(NoBackoff(), 0), socket_timeout=20)
    # More than what is received in one block.
    script = f'return string.rep("x", {8 << 20})'
    pipe, child_end = os.pipe()
    pids: list[int] = []
    ours = connection_id(client)
    try:
        replies = _core.exchange(client, [(lambda _: pids.append(os.fork()), 'PING'), (_core.VALUE, 'EVAL', script, 0)])
        outcome = str([len(reply or b'') for reply in replies or ()])
    except redis.ConnectionError as error:
        outcome = f'{error}, then {connection_id(client) != ours}'
    if pids == [0]:
        os.write(child_end, outcome.encode())
        os._exit(0)
    os.waitpid(pids[0], 0)
    os.close(child_end)
    with open(pipe, encoding='utf-8') as stream:
        assert stream.read().endswith("and the connection is its parent's, then True")
    assert outcome == f'[0, {8 << 20}]'
    assert connection_id(client) == ours
    client.close()
