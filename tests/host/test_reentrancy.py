"""Python code that runs within a call, and uses the same registry, deletes its attributes, or raises.

A hook is a place where a call runs Python that is not RQ's or redis-py's; an act is what that Python does there. Every
hook meets every act, with RQ and with ours.
"""

from __future__ import annotations

import gc
import logging
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq.registry
from clients.outcomes import described
from clients.recording import Recorder
from redis.backoff import AbstractBackoff
from redis.retry import Retry
from rq import Queue
from rq.job import Job
from rq.serializers import DefaultSerializer

import rqreg_ext.registry

from .filling import NEVER, fill, job_ids

if TYPE_CHECKING:
    from types import ModuleType

    from private_redis import PrivateRedis

IDS = job_ids(50)
NAMESPACES = (rq.registry, rqreg_ext.registry)


class Raised(Exception):
    """What the act `raise_error` raises."""


class Scene:
    """The registries of one namespace on a client of their own, and the act that a hook is to set off once."""

    def __init__(self, namespace: ModuleType, port: int, act: Callable[[Scene], None]) -> None:
        self.retry = Retry(Backoff(self), 3)
        self.client = redis.Redis(
            host='127.0.0.1', port=port, retry=self.retry, credential_provider=Credentials(self), socket_timeout=10
        )
        self.namespace = namespace
        self.failed = namespace.FailedJobRegistry('reentered', connection=self.client)
        self.started = namespace.StartedJobRegistry('reentered', connection=self.client)
        self.kept = [(registry, dict(vars(registry))) for registry in (self.failed, self.started)]
        self._act = act
        self.countdown = 0
        self.acted = 0

    def act_after(self, events: int) -> None:
        """Run the act at the event after this many events."""
        self.countdown = events + 1

    def act(self, *args: object) -> None:
        """An event of a hook."""
        if self.countdown > 0:
            self.countdown -= 1
            if self.countdown == 0:
                self.acted += 1
                self._act(self)

    def asks(self) -> None:
        """Check the answers of both registries."""
        assert self.failed.get_job_ids() == IDS
        assert self.failed.get_job_count() == len(IDS)
        assert IDS[3] in self.failed
        assert self.started.get_job_ids(0, 2) == IDS[:3]
        assert IDS[4] in self.started
        assert self.failed.remove('nobody') == 0

    def put_back(self) -> None:
        """Undo what an act has done to the registries."""
        for registry, attributes in self.kept:
            vars(registry).update(attributes)


class Backoff(AbstractBackoff):
    """No wait before another attempt, but an event."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def __deepcopy__(self, memo: Any) -> Backoff:
        return self

    def compute(self, failures: int) -> float:
        self.scene.act()
        return 0


class Credentials(redis.CredentialProvider):
    """No password, but an event."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def get_credentials(self) -> tuple[str, str]:
        self.scene.act()
        return 'default', ''


# ---- Acts ----------------------------------------------------------------------------------------------


def call_again(scene: Scene) -> None:
    scene.asks()


def call_in_a_thread(scene: Scene) -> None:
    thread = threading.Thread(target=scene.asks)
    thread.start()
    thread.join()


def close_client(scene: Scene) -> None:
    scene.client.close()


def disconnect_pool(scene: Scene) -> None:
    scene.client.connection_pool.disconnect(inuse_connections=True)


def reset_pool(scene: Scene) -> None:
    scene.client.connection_pool.reset()


def delete_attributes(scene: Scene) -> None:
    for registry, _ in scene.kept:
        vars(registry).clear()


def collect(scene: Scene) -> None:
    gc.collect()


def clear_lists(scene: Scene) -> None:
    """Empty the lists that are being built, where the collector shows them."""
    # None of another test's: those are longer, or hold something that compares in its own way.
    lists = [found for found in gc.get_objects() if type(found) is list and 0 < len(found) <= len(IDS)]
    for found in lists:
        if found is not IDS and type(found[0]) is str and found[0] == IDS[0]:
            found.clear()


def raise_error(scene: Scene) -> None:
    raise Raised


ACTS = (
    call_again,
    call_in_a_thread,
    close_client,
    disconnect_pool,
    reset_pool,
    delete_attributes,
    collect,
    clear_lists,
    raise_error,
)
TAKING_AWAY = {close_client, disconnect_pool, reset_pool, delete_attributes}


# ---- Hooks ---------------------------------------------------------------------------------------------

Call = Callable[[], Any]
Hook = Callable[[Scene], AbstractContextManager[Call]]


@contextmanager
def a_warning(scene: Scene) -> Iterator[Call]:
    """An entry without a colon, which RQ warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter('always')
        warnings.showwarning = scene.act
        yield lambda: scene.started.get_job_ids(start=25)


@contextmanager
def a_warning_in_a_search(scene: Scene) -> Iterator[Call]:
    with warnings.catch_warnings():
        warnings.simplefilter('always')
        warnings.showwarning = scene.act
        yield lambda: 'nobody' in scene.started


@contextmanager
def a_str_that_is_encoded(scene: Scene) -> Iterator[Call]:
    class Id(str):
        def encode(self, *args: Any) -> bytes:
            scene.act()
            return super().encode(*args)

    yield lambda: Id(IDS[0]) in scene.failed


@contextmanager
def a_str_that_is_compared(scene: Scene) -> Iterator[Call]:
    class Id(str):
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            scene.act()
            return super().__eq__(other)

    yield lambda: Id(IDS[9]) in scene.started


@contextmanager
def a_truth(scene: Scene) -> Iterator[Call]:
    class Truth:
        def __bool__(self) -> bool:
            scene.act()
            return True

    yield lambda: scene.failed.get_job_ids(3, 5, desc=Truth(), cleanup=Truth())


@contextmanager
def a_float_that_is_written(scene: Scene) -> Iterator[Call]:
    class Stamp(float):
        def __repr__(self) -> str:
            scene.act()
            return super().__repr__()

    yield lambda: scene.failed.get_expired_job_ids(Stamp(NEVER + 3.5))


@contextmanager
def an_isinstance(scene: Scene) -> Iterator[Call]:
    class Meta(type):
        def __instancecheck__(cls, instance: object) -> bool:
            scene.act()
            return False

    class Watching(metaclass=Meta):
        pass

    scene.failed.job_class = Watching
    yield lambda: IDS[0] in scene.failed
    scene.failed.job_class = Job


@contextmanager
def the_id_of_a_job(scene: Scene) -> Iterator[Call]:
    class Watching(Job):
        @property
        def id(self) -> str:
            scene.act()
            return str(self._id)

        @id.setter
        def id(self, value: str) -> None:
            self._id = value

    job = Watching(id=IDS[7], connection=scene.client)
    yield lambda: job in scene.failed


@contextmanager
def a_lost_method(scene: Scene) -> Iterator[Call]:
    """What is looked up may be the last reference to something with a __del__."""

    class Passing:
        def __init__(self, method: Any) -> None:
            self.method = method

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return self.method(*args, **kwargs)

        def __del__(self) -> None:
            scene.act()

    class Watching(scene.namespace.FailedJobRegistry):  # type: ignore[name-defined,misc]
        @property
        def cleanup(self) -> Any:
            return Passing(super().cleanup)

    registry = Watching('reentered', connection=scene.client)
    scene.kept.append((registry, dict(vars(registry))))
    yield lambda: registry.get_job_ids(0, 4)


@contextmanager
def a_weak_reference(scene: Scene) -> Iterator[Call]:
    class Passing:
        pass

    references: list[Any] = []

    class Watching(scene.namespace.FailedJobRegistry):  # type: ignore[name-defined,misc]
        @property
        def job_class(self) -> Any:
            passing = type('Class', (Passing,), {})
            references.append(weakref.ref(passing, scene.act))
            passing()
            gc.collect()
            return Job

        @job_class.setter
        def job_class(self, value: Any) -> None:
            pass

    registry = Watching('reentered', connection=scene.client)
    scene.kept.append((registry, dict(vars(registry))))

    def call() -> bool:
        answer = IDS[2] in registry
        gc.collect()
        return answer

    yield call


@contextmanager
def the_collector(scene: Scene) -> Iterator[Call]:
    """The collector, set to run with about every object that is made, and its callbacks."""

    def call() -> list[str]:
        before = gc.get_threshold()
        gc.set_threshold(1, 1, 1)
        gc.callbacks.append(scene.act)
        try:
            ids: list[str] = scene.started.get_job_ids(start=5)
            gc.collect()
            return ids
        finally:
            gc.callbacks.remove(scene.act)
            gc.set_threshold(*before)

    yield call


@contextmanager
def a_log_record(scene: Scene) -> Iterator[Call]:
    """RQ tells its log of what it enqueues."""

    class Watching(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            scene.act()

    logger = logging.getLogger('rq.queue')
    handler, level = Watching(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield requeue_call(scene)
    logger.setLevel(level)
    logger.removeHandler(handler)


@contextmanager
def a_serializer(scene: Scene) -> Iterator[Call]:
    """The metadata of a job are read when it is fetched."""

    class Watching(DefaultSerializer):
        @staticmethod
        def loads(octets: bytes, *args: Any, **kwargs: Any) -> Any:
            scene.act()
            return DefaultSerializer.loads(octets)

    yield requeue_call(scene, meta={'has': 'some'}, serializer=Watching)


def requeue_call(scene: Scene, meta: Any = None, **arguments: Any) -> Call:
    """Put a job into a failed registry, and return the call that requeues it."""
    queue = Queue('requeued', connection=scene.client)
    queue.empty()
    job = queue.create_job('os.getpid', job_id='requeued', meta=meta)
    job.save()
    registry = scene.namespace.FailedJobRegistry('requeued', connection=scene.client, **arguments)
    registry.add(job, ttl=3600)
    scene.kept.append((registry, dict(vars(registry))))
    return lambda: registry.requeue('requeued')


@contextmanager
def a_new_connection(scene: Scene) -> Iterator[Call]:
    """The credentials are asked for."""
    scene.client.connection_pool.disconnect()
    yield lambda: scene.failed.get_job_ids()


@contextmanager
def another_attempt(scene: Scene) -> Iterator[Call]:
    """The backoff is asked before the command is sent again whose reply was lost."""
    scene.recorder.cut('ZRANGE')  # type: ignore[attr-defined]
    yield lambda: scene.failed.get_job_ids(cleanup=False)


def tracing(install: Callable[[Any], None], events: int) -> Hook:
    """Return the hook of a trace or profile function, at one of the first events in a call that connects anew."""

    @contextmanager
    def hook(scene: Scene) -> Iterator[Call]:
        scene.client.connection_pool.disconnect()
        before = sys.gettrace() if install is sys.settrace else sys.getprofile() if install is sys.setprofile else None

        caller = threading.get_ident()

        def watch(*event: Any) -> Any:
            # sys.monitoring watches the threads of the proxy too.
            if threading.get_ident() == caller:
                scene.act()
            return watch

        def call() -> list[str]:
            scene.act_after(events)
            install(watch)
            try:
                ids: list[str] = scene.started.get_job_ids(start=20)
                return ids
            finally:
                install(before)

        yield call

    return hook


def monitor(watch: Any) -> None:
    """Have `watch` called for each Python function that begins and each call; None ends it."""
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
    tool, watched = monitoring.PROFILER_ID, (monitoring.events.PY_START, monitoring.events.CALL)
    if watch is not None:
        monitoring.use_tool_id(tool, 'reentrancy')
    for event in watched:
        monitoring.register_callback(tool, event, watch)
    monitoring.set_events(tool, sum(watched) if watch is not None else 0)
    if watch is None:
        monitoring.free_tool_id(tool)


INSTALLS: dict[str, Callable[[Any], None]] = {'trace': sys.settrace, 'profile': sys.setprofile}
if sys.version_info >= (3, 12):
    INSTALLS['monitor'] = monitor

HOOKS: dict[str, Hook] = {
    hook.__name__: hook
    for hook in (
        a_warning,
        a_warning_in_a_search,
        a_str_that_is_encoded,
        a_str_that_is_compared,
        a_truth,
        a_float_that_is_written,
        an_isinstance,
        the_id_of_a_job,
        a_lost_method,
        a_weak_reference,
        the_collector,
        a_log_record,
        a_serializer,
        a_new_connection,
        another_attempt,
    )
} | {
    f'{kind} event {number}': tracing(install, number)
    for kind, install in INSTALLS.items()
    for number in (0, 1, 2, 5, 20, 60, 150)
}
UNRAISABLE = {'a_lost_method', 'a_weak_reference', 'the_collector'} | {name for name in HOOKS if ' event ' in name}
"""What is raised there, or in a __del__ of which the event is, Python reports to sys.unraisablehook."""
ONE_SIDED = {'a_weak_reference', 'the_collector'} | {name for name in HOOKS if ' event ' in name}
"""When they fire depends on how many Python functions and objects a call needs: not the same in RQ and ours."""


@pytest.fixture
def recorder(redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[Recorder]:
    """A proxy before the server, with both registries filled."""
    fill(connection, rq.registry.FailedJobRegistry('reentered', connection=connection), IDS)
    entries = [f'{job_id}:execution' for job_id in IDS]
    fill(connection, rq.registry.StartedJobRegistry('reentered', connection=connection), [*entries, 'lone'])
    with Recorder(redis_server.port) as proxy:
        yield proxy


def play(namespace: ModuleType, recorder: Recorder, hook: Hook, act: Callable[[Scene], None]) -> tuple[int, Any]:
    """Let the act happen in the hook; return how often it did, and what came of the call."""
    scene = Scene(namespace, recorder.port, act)
    scene.recorder = recorder  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        scene.asks()
        with hook(scene) as call:
            scene.act_after(0)
            try:
                outcome: Any = described(call())
            except Exception as error:
                outcome = type(error)
        scene.countdown = 0
        recorder.cut('ZRANGE', 0)
        scene.put_back()
        # Whatever came of it: the next calls are right. Not of RQ's registries: redis-py may keep a connection whose
        # connect() an act has interrupted, and every later call of its client raises AttributeError.
        if namespace is rqreg_ext.registry:
            scene.asks()
    scene.client.close()
    return scene.acted, outcome


@pytest.mark.parametrize('name', HOOKS)
def test_python_code_within_call_gets_right_answers(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, name: str, connection: redis.Redis
) -> None:
    unraisable: list[Any] = []
    monkeypatch.setattr(sys, 'unraisablehook', lambda event: unraisable.append(event.exc_type))
    right = {namespace: play(namespace, recorder, HOOKS[name], lambda scene: None) for namespace in NAMESPACES}
    assert right[rqreg_ext.registry][1] == right[rq.registry][1]
    if name not in ONE_SIDED:
        assert right[rqreg_ext.registry][0] == 1, 'the hook is never reached'
    for act in ACTS:
        if act is call_in_a_thread and ' event ' in name:
            # A trace function also runs while redis-py holds the pool's lock, which the thread would wait for.
            continue
        if act is call_in_a_thread and 'warning' in name and sys.version_info >= (3, 14):
            # The interpreter holds a lock while it shows a warning; RQ's methods warn, too, and the thread would wait.
            continue
        acted, theirs = play(rq.registry, recorder, HOOKS[name], act)
        assert acted == right[rq.registry][0]
        acted, ours = play(rqreg_ext.registry, recorder, HOOKS[name], act)
        assert acted == right[rqreg_ext.registry][0], act
        if act in TAKING_AWAY:
            # How much of it RQ and ours still need is not the same: a right answer, or an exception that tells.
            taken = {AttributeError} if act is delete_attributes else {redis.ConnectionError, AttributeError}
            assert ours == right[rqreg_ext.registry][1] or ours in taken, act
        elif act is raise_error and name in ONE_SIDED:
            assert ours in (Raised, right[rqreg_ext.registry][1])
        else:
            assert ours == theirs, act
    assert set(unraisable) <= {Raised, redis.ConnectionError, AttributeError, AssertionError}
    assert not unraisable or name in UNRAISABLE
