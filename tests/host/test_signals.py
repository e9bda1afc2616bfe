"""Ctrl-C and RQ's job timeout at any moment of a call: the exception arrives, and the next call answers right."""

from __future__ import annotations

import gc
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, Protocol

import pytest
import redis
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.timeouts import JobTimeoutException, UnixSignalDeathPenalty

from rqreg_ext.registry import BaseRegistry, FailedJobRegistry, FinishedJobRegistry, StartedJobRegistry

from .calls import LONG_CALLS, MEDIUM_IDS, SHORT_CALLS
from .filling import LARGE, MEDIUM, fill, job_ids
from .gate import Gate
from .patience import PATIENCE, eventually
from .sender import Sender
from .stoppable import StoppableRedis

ENTRY_BYTES = len(MEDIUM_IDS[0]) + len('$36\r\n\r\n')


class Interrupt(Protocol):
    """Something that raises `exception` in the main thread after a time."""

    exception: type[BaseException]

    def after(self, seconds: float) -> None:
        """Let it come when that time has passed; returns at once."""


class CtrlC:
    """SIGINT from another process, with Python's own handler."""

    exception: type[BaseException] = KeyboardInterrupt

    def __init__(self, sender: Sender) -> None:
        self.after = sender.after


class JobTimeout:
    """RQ's own job timeout, in fractions of seconds."""

    exception: type[BaseException] = JobTimeoutException

    def after(self, seconds: float) -> None:
        """Move the alarm that RQ has set; zero would take it away."""
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-5))


@pytest.fixture(autouse=True)
def no_collector_callbacks() -> Iterator[None]:
    """Take hypothesis's callback away: what a handler raises inside one is printed by the collector, and lost."""
    before = gc.callbacks[:]
    gc.callbacks.clear()
    yield
    gc.callbacks.extend(before)


@pytest.fixture(params=['ctrl-c', 'job timeout'])
def interrupt(request: pytest.FixtureRequest) -> Iterator[Interrupt]:
    if request.param == 'ctrl-c':
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        with Sender() as sender:
            yield CtrlC(sender)
        signal.signal(signal.SIGINT, before)
    else:
        with UnixSignalDeathPenalty(int(PATIENCE), JobTimeoutException):
            yield JobTimeout()


def interrupt_call(interrupt: Interrupt, seconds: float, call: Callable[[], Any], right: Any) -> bool:
    """Make the call after the interrupt is scheduled. Its exception must come; False if it came after the answer."""
    # An exception that a handler raises while an object's __del__ runs is lost, by Python's own rules.
    gc.collect()
    answered = False
    with pytest.raises(interrupt.exception):  # noqa: PT012
        interrupt.after(seconds)
        answer = call()
        answered = True
        assert answer == right
        eventually(lambda: False)
    return not answered


def is_hit_within(interrupt: Interrupt, duration: float, call: Callable[[], Any], right: Any) -> bool:
    """Make a call that takes `duration` seconds, interrupt it at a random moment, and return whether it was hit.

    The interrupt is sent off well before the call begins: its own way takes longer than a short call.
    """
    lead = 0.005
    head_start = random.uniform(max(lead - duration, 0.0001), lead)
    begun = False

    def call_later() -> Any:
        nonlocal begun
        time.sleep(head_start)
        begun = True
        return call()

    return interrupt_call(interrupt, lead, call_later, right) and begun


def outcome(call: Callable[[], Any]) -> Any:
    """Return the answer, or the class of what was raised."""
    try:
        return call()
    except Exception as error:
        return type(error)


def seconds_of(call: Callable[[], Any]) -> float:
    """Return how long a call takes, for interrupts that hit its middle."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def test_interrupt_within_large_reply_leaves_next_call_right(patient_client: redis.Redis, interrupt: Interrupt) -> None:
    registry = FailedJobRegistry('large', connection=patient_client)
    ids = job_ids(LARGE)
    duration = seconds_of(registry.get_job_ids)
    hits = 0
    for _ in range(12):
        hits += interrupt_call(interrupt, random.uniform(0, duration), registry.get_job_ids, ids)
        assert registry.get_job_count(cleanup=False) == LARGE
        assert registry.get_job_ids(5, 7) == ids[5:8]
    assert hits > 0
    assert registry.get_job_ids() == ids


@pytest.mark.parametrize('name', LONG_CALLS)
def test_interrupt_at_random_moments_leaves_next_call_right(
    patient_client: redis.Redis, interrupt: Interrupt, name: str
) -> None:
    registry_class, call, right = LONG_CALLS[name]
    registry = registry_class('medium', connection=patient_client)
    assert call(registry) == right
    duration = seconds_of(lambda: call(registry))
    hits = 0
    for _ in range(40):
        hits += is_hit_within(interrupt, duration, lambda: call(registry), right)
        assert registry.get_job_ids(5, 7) == MEDIUM_IDS[5:8]
        assert registry.count == MEDIUM
    assert hits > 0
    assert call(registry) == right


def test_interrupt_after_any_byte_of_reply_leaves_next_call_right(
    stoppable: StoppableRedis, interrupt: Interrupt
) -> None:
    with Gate(stoppable.port) as gate:
        client = stoppable.client(port=gate.port, socket_timeout=None)
        registry = FailedJobRegistry('medium', connection=client)
        assert registry.get_job_ids() == MEDIUM_IDS
        for number in range(60):
            # Every byte of the first entries, then anywhere. Cleanup's reply is held or passed with the rest.
            held_after = number if number < 20 else random.randrange(MEDIUM * ENTRY_BYTES)
            gate.hold_after(held_after)
            assert interrupt_call(interrupt, 0.02, registry.get_job_ids, MEDIUM_IDS)
            gate.release()
            assert registry.get_job_ids(5, 7) == MEDIUM_IDS[5:8]
            assert registry.count == MEDIUM
        client.close()


@pytest.mark.parametrize('name', SHORT_CALLS)
def test_interrupt_ends_call_while_server_is_stopped(
    stoppable: StoppableRedis, patient_client: redis.Redis, interrupt: Interrupt, name: str
) -> None:
    registry = FailedJobRegistry('medium', connection=patient_client)
    for number in range(20):
        with stoppable.stopped():
            # A right answer is impossible: only the interrupt can end the call.
            assert interrupt_call(interrupt, random.uniform(0, 0.03), lambda: SHORT_CALLS[name](registry), None)
        if number % 2:
            assert registry.count == MEDIUM
        assert registry.get_job_ids(5, 7) == MEDIUM_IDS[5:8]
        assert MEDIUM_IDS[0] in registry


def test_interrupt_ends_first_call_on_stopped_server(stoppable: StoppableRedis, interrupt: Interrupt) -> None:
    for _ in range(20):
        client = stoppable.client(socket_timeout=None)
        registry = FailedJobRegistry('medium', connection=client)
        with stoppable.stopped():
            assert interrupt_call(interrupt, random.uniform(0, 0.03), registry.get_job_count, None)
        assert registry.count == MEDIUM
        client.close()


def test_interrupted_change_is_complete_or_absent(stoppable: StoppableRedis, interrupt: Interrupt) -> None:
    client = stoppable.client(db=1, socket_timeout=None)
    registry = FinishedJobRegistry('changing', connection=client)
    ids = job_ids(100)
    fill(client, registry, ids)
    for job_id in ids:
        remove = partial(registry.remove, job_id)
        # The server may get the command, before it is stopped or after, or never.
        if random.random() < 0.5:
            with stoppable.stopped():
                assert interrupt_call(interrupt, random.uniform(0, 0.01), remove, 1)
        else:
            interrupt_call(interrupt, random.uniform(0, 0.001), remove, 1)
        remaining = client.zrange(registry.key, 0, -1)
        assert registry.get_job_ids() == [entry.decode() for entry in remaining]
        assert registry.remove(job_id) == int(job_id.encode() in remaining)
        assert job_id not in registry
    assert registry.count == 0
    client.close()


CHANGES: dict[str, Callable[[Any, str], Any]] = {
    'delete': lambda registry, job_id: registry.remove(job_id, delete_job=True),
    'requeue': lambda registry, job_id: registry.requeue(job_id).id,
}
"""A change of a job by a script, in one step."""


def came_out(interrupt: Interrupt, duration: float, call: Callable[[], Any], right: Any) -> bool | None:
    """Make a call with the interrupt at a random moment of it. Return whether the exception came out of the call.

    None: it was raised and did not come out. RQ's Job.restore has clauses that catch whatever is raised in them.
    """
    raised: list[bool] = []

    def handle(number: int, frame: FrameType | None) -> None:
        raised.append(begun and not answered)
        raise interrupt.exception

    lead = 0.005
    begun = answered = False
    number = signal.SIGINT if isinstance(interrupt, CtrlC) else signal.SIGALRM
    before = signal.signal(number, handle)
    gc.collect()
    try:
        interrupt.after(lead)
        time.sleep(random.uniform(max(lead - duration, 0.0001), lead))
        begun = True
        answer = call()
        answered = True
        assert answer == right
        assert eventually(lambda: raised)
    except interrupt.exception:
        return begun and not answered
    finally:
        signal.signal(number, before)
    return None


@pytest.mark.parametrize('name', CHANGES)
def test_interrupted_change_of_job_is_done_or_not(stoppable: StoppableRedis, interrupt: Interrupt, name: str) -> None:
    """A script has run or has not, and the next call is right in any case.

    Whether an interrupt hits the call is chance: a script takes less time than a signal is on its way.
    """
    client = stoppable.client(db=2, socket_timeout=None)
    # Nothing interrupts this one: redis-py can take an interrupted call's reply for the next call's.
    observer = stoppable.client(db=2)
    observer.flushdb()
    queue = Queue('changed', connection=client)
    registry = FailedJobRegistry(queue=queue)
    change = CHANGES[name]
    jobs = [queue.create_job('os.getpid', job_id=job_id) for job_id in job_ids(20)]
    for job in jobs:
        job.save()
        registry.add(job, ttl=3600)
    change(registry, jobs[0].id)
    duration = seconds_of(lambda: change(registry, jobs[1].id))
    ends = []
    for job in jobs[2:]:
        right = 1 if name.startswith('delete') else job.id
        ends.append(came_out(interrupt, duration, partial(change, registry, job.id), right))
        in_registry = observer.zscore(registry.key, job.id) is not None
        assert (job.id in registry) == in_registry
        # All of it, or nothing.
        assert observer.exists(job.key) == (in_registry or name == 'requeue')
        is_queued = observer.lpos(queue.key, job.id) is not None
        assert is_queued == (name == 'requeue' and not in_registry)
    if name == 'delete':
        assert None not in ends
    assert registry.get_job_ids() == [entry.decode() for entry in observer.zrange(registry.key, 0, -1)]
    client.close()
    observer.close()


def test_interrupt_is_raised_while_lost_connection_is_closed(stoppable: StoppableRedis) -> None:
    """The exception is raised even if it comes while our connection is closed."""
    closing = []

    class Interrupted(redis.Connection):
        def disconnect(self, *args: Any) -> None:
            if closing:
                closing.pop()
                signal.raise_signal(signal.SIGALRM)
            super().disconnect(*args)

    pool = redis.ConnectionPool(connection_class=Interrupted, host='127.0.0.1', port=stoppable.port)
    client = redis.Redis(connection_pool=pool)
    observer = stoppable.client()
    registry = FailedJobRegistry('medium', connection=client)
    assert registry.count == MEDIUM
    own = observer.client_id()
    with UnixSignalDeathPenalty(int(PATIENCE), JobTimeoutException):
        for entry in observer.client_list():
            if int(entry['id']) != own:
                observer.client_kill_filter(_id=entry['id'])
        closing.append(True)
        with pytest.raises(JobTimeoutException):
            registry.get_job_count()
    assert closing == []
    assert registry.count == MEDIUM
    client.close()
    observer.close()


@pytest.mark.parametrize(('name', 'value'), [('connection_class', redis.Connection), ('max_connections', 10)])
def test_interrupt_is_raised_while_pool_is_inspected(stoppable: StoppableRedis, name: str, value: object) -> None:
    """RQ's job timeout is an Exception, but must not be treated like the errors of an unsupported client."""
    looks: list[bool] = []

    def get(pool: redis.ConnectionPool) -> object:
        if looks:
            looks.pop()
            signal.raise_signal(signal.SIGALRM)
        return value

    interrupted: Any = type('Interrupted', (redis.ConnectionPool,), {name: property(get, lambda pool, value: None)})
    client = redis.Redis(connection_pool=interrupted(host='127.0.0.1', port=stoppable.port))
    registry = FailedJobRegistry('medium', connection=client)
    with UnixSignalDeathPenalty(int(PATIENCE), JobTimeoutException):
        looks.append(True)
        with pytest.raises(JobTimeoutException):
            registry.get_job_count()
    assert looks == []
    assert registry.count == MEDIUM
    client.close()


def interrupted_attribute(name: str, looks: list[bool]) -> property:
    """Return a property for the attribute of that name, in whose getter the alarm comes when `looks` says so."""

    def get(self: Any) -> Any:
        if looks:
            looks.pop()
            signal.raise_signal(signal.SIGALRM)
        return vars(self)[name] if name in vars(self) else getattr(super(type(self), self), name)

    return property(get, lambda self, value: vars(self).__setitem__(name, value))


LOOKED_UP: dict[str, tuple[type[BaseRegistry], Callable[[Any], Any], Any]] = {
    'cleanup': (FailedJobRegistry, lambda registry: registry.get_job_count(), MEDIUM),
    'get_job_count': (FailedJobRegistry, lambda registry: registry.count, MEDIUM),
    'parse_job_id': (FailedJobRegistry, lambda registry: registry.get_job_ids(5, 7), MEDIUM_IDS[5:8]),
    'get_expired_job_ids': (StartedJobRegistry, lambda registry: registry.get_job_count(), MEDIUM),
    'get_job_ids': (StartedJobRegistry, lambda registry: 'nobody' in registry, False),
    'job_class': (FailedJobRegistry, lambda registry: 'nobody' in registry, False),
    'serializer': (FailedJobRegistry, lambda registry: registry.remove('nobody', delete_job=True), NoSuchJobError),
    'connection': (FailedJobRegistry, lambda registry: registry.count, MEDIUM),
}
"""An attribute that the core looks up, a call on `medium` in which it does, and the result of the call."""


@pytest.mark.parametrize('name', LOOKED_UP)
def test_interrupt_is_raised_while_attribute_is_looked_up(stoppable: StoppableRedis, name: str) -> None:
    """The exception is raised even if the attribute only decides between the fast path and the fallback."""
    registry_class, call, right = LOOKED_UP[name]
    looks: list[bool] = []
    client = stoppable.client()
    registry = type('Looked', (registry_class,), {name: interrupted_attribute(name, looks)})(
        'medium', connection=client
    )
    assert outcome(lambda: call(registry)) == right
    with UnixSignalDeathPenalty(int(PATIENCE), JobTimeoutException):
        looks.append(True)
        with pytest.raises(JobTimeoutException):
            call(registry)
    assert looks == []
    assert outcome(lambda: call(registry)) == right
    client.close()


class InterruptedWhenAsked:
    """A group id of no group, at which a signal comes once when its truth is asked for."""

    def __init__(self) -> None:
        self.is_due = True

    def __bool__(self) -> bool:
        if self.is_due:
            self.is_due = False
            signal.raise_signal(signal.SIGALRM)
        return False


def test_interrupt_is_raised_while_job_is_inspected(stoppable: StoppableRedis) -> None:
    """Whether the script may delete the job is asked before it is sent."""
    client = stoppable.client(db=1)
    queue = Queue('looked-at', connection=client)
    job = queue.create_job('os.getpid')
    registry = FailedJobRegistry(queue=queue)
    registry.add(job, ttl=3600)
    asked = InterruptedWhenAsked()
    job.group_id = asked  # type: ignore[assignment]
    with UnixSignalDeathPenalty(int(PATIENCE), JobTimeoutException):
        with pytest.raises(JobTimeoutException):
            registry.remove(job, delete_job=True)
        assert not asked.is_due
        assert registry.get_job_ids() == [job.id]
        assert registry.remove(job, delete_job=True) == 1
    assert registry.count == 0
    client.close()


@contextmanager
def ticking(handler: Callable[[int, FrameType | None], None], seconds: float) -> Iterator[None]:
    """Have SIGALRM handled again and again for the length of the block."""
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def halted_for_20_signals(stoppable: StoppableRedis) -> Iterator[None]:
    """Have the server halt until the 20th signal: a call in the block must have waited through all of them."""
    ticks = 0

    def tick(number: int, frame: FrameType | None) -> None:
        nonlocal ticks
        ticks += 1
        if ticks == 20:
            stoppable.go_on()

    stoppable.halt()
    with ticking(tick, 0.002):
        yield
    assert ticks >= 20


@pytest.mark.parametrize('name', LONG_CALLS)
def test_handler_that_returns_does_not_end_call(patient_client: redis.Redis, name: str) -> None:
    registry_class, call, right = LONG_CALLS[name]
    registry = registry_class('medium', connection=patient_client)
    ticks = 0

    def tick(number: int, frame: FrameType | None) -> None:
        nonlocal ticks
        ticks += 1

    with ticking(tick, 0.0005):
        for _ in range(10):
            assert call(registry) == right
            assert registry.count == MEDIUM
    assert ticks > 0


def test_handler_that_returns_does_not_end_call_on_stopped_server(
    stoppable: StoppableRedis, patient_client: redis.Redis
) -> None:
    registry = FailedJobRegistry('medium', connection=patient_client)
    assert registry.count == MEDIUM
    with halted_for_20_signals(stoppable):
        assert registry.get_job_ids() == MEDIUM_IDS


def test_handler_that_calls_registry_gets_own_answers(stoppable: StoppableRedis, patient_client: redis.Redis) -> None:
    registry = FailedJobRegistry('medium', connection=patient_client)
    inner_client = stoppable.client()
    inner = FailedJobRegistry('large', connection=inner_client)
    answers: list[tuple[int, list[str]]] = []

    def ask(number: int, frame: FrameType | None) -> None:
        answers.append((inner.count, inner.get_job_ids(0, 2)))

    with ticking(ask, 0.005):
        for _ in range(10):
            assert registry.get_job_ids() == MEDIUM_IDS
            assert registry.count == MEDIUM
    assert answers
    assert answers == [(LARGE, job_ids(3))] * len(answers)
    inner_client.close()


def test_interrupt_does_not_affect_other_thread(
    stoppable: StoppableRedis, patient_client: redis.Redis, interrupt: Interrupt
) -> None:
    registry = FailedJobRegistry('medium', connection=patient_client)
    answers: list[list[str]] = []
    never = threading.Event()
    thread = threading.Thread(target=lambda: answers.append(registry.get_job_ids()))
    with stoppable.stopped():
        thread.start()
        assert interrupt_call(interrupt, 0.02, lambda: never.wait(PATIENCE), None)
        assert thread.is_alive()
    thread.join(PATIENCE)
    assert answers == [MEDIUM_IDS]


def test_signals_during_write_do_not_end_call(stoppable: StoppableRedis, patient_client: redis.Redis) -> None:
    """A command larger than the socket's buffers is written in parts, with signals between them."""
    registry = FailedJobRegistry('medium', connection=patient_client)
    huge = 'x' * (32 << 20)
    with halted_for_20_signals(stoppable):
        assert huge not in registry
    assert registry.count == MEDIUM
