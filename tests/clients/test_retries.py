"""A connection that breaks in the middle of a call: the client's Retry decides what is sent again, as in RQ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import redis
import rq.registry
from private_redis import PrivateRedis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq.utils import get_version

import rqreg_ext.registry

from .outcomes import Outcome, outcome_of
from .recording import Recorder
from .tour import NAME, prepare, state

if TYPE_CHECKING:
    from types import ModuleType

CALLS: dict[str, tuple[Callable[[Any], Any], str]] = {
    'count': (lambda registry: registry.count, 'ZCARD'),
    'ids': (lambda registry: registry.get_job_ids(cleanup=False), 'ZRANGE'),
    'in': (lambda registry: 'failed-0' in registry, 'ZSCORE'),
    'remove': (lambda registry: registry.remove('failed-0'), 'ZREM'),
    'expired': (lambda registry: registry.get_expired_job_ids(), 'ZRANGEBYSCORE'),
}
"""A call, and the command in it whose reply is lost."""


class Counting(Retry):
    """A Retry that notes the failures it hears of, in the class: redis-py makes copies of the object."""

    failures: list[str] = []

    def __init__(self, retries: int) -> None:
        super().__init__(NoBackoff(), retries)

    def call_with_retry(self, do: Any, fail: Any, *args: Any, **kwargs: Any) -> Any:
        """Count what `do` raises."""

        def counted() -> Any:
            try:
                return do()
            except Exception as error:
                self.failures.append(type(error).__name__)
                raise

        return super().call_with_retry(counted, fail, *args, **kwargs)


@pytest.fixture
def recorder(redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[Recorder]:
    """A recording proxy before the server, which can end connections."""
    with Recorder(redis_server.port) as proxy:
        yield proxy


def connected(namespace: ModuleType, recorder: Recorder, retry: Retry | None, **arguments: Any) -> Any:
    """Return a registry whose client, and ours if it is one of ours, is connected through the recorder.

    The redis-py of today retries broken connections; that of version 5 only what retry_on_error names.
    """
    arguments = arguments or {'retry_on_error': [redis.ConnectionError] if retry else []}
    client = redis.Redis(host='127.0.0.1', port=recorder.port, retry=retry, **arguments)
    get_version(client)
    registry = namespace.FailedJobRegistry(NAME, connection=client)
    assert 'failed-0' in registry
    recorder.clear()
    return registry


def connected_before(recorder: Recorder, retry: Retry) -> Any:
    """Return a registry of ours on a client that is given its Retry after a call.

    A client that has a Retry with its own way to make calls from the beginning is used by RQ's methods.
    """
    registry = connected(rqreg_ext.registry, recorder, Retry(NoBackoff(), 1))
    registry.connection.set_retry(retry)
    return registry


def lose(
    namespace: ModuleType, recorder: Recorder, call: str, cuts: int, retry: Retry | None, **arguments: Any
) -> tuple[Outcome, int]:
    """Make the call while its reply is lost some times; return the outcome and how often the command was sent."""
    do, command = CALLS[call]
    registry = connected(namespace, recorder, retry, **arguments)
    recorder.cut(command, cuts)
    outcome = outcome_of(call, lambda: do(registry))
    sent = recorder.commands.count(command)
    recorder.cut(command, 0)
    # The next call is right, whatever the outcome of this one.
    assert 'failed-1' in registry
    assert registry.get_job_ids(1, 2, cleanup=False) == registry.get_job_ids(cleanup=False)[1:3]
    return outcome, sent


@pytest.mark.covering(2)
@pytest.mark.parametrize('call', CALLS)
@pytest.mark.parametrize(
    ('cuts', 'retries', 'sent', 'fails'),
    [(1, None, 1, True), (1, 0, 1, True), (1, 3, 2, False), (3, 3, 4, False), (4, 3, 4, True), (2, 1, 2, True)],
)
def test_command_is_sent_as_often_as_retry_says(
    recorder: Recorder, connection: redis.Redis, call: str, cuts: int, retries: int | None, sent: int, fails: bool
) -> None:
    found = []
    for namespace in (rq.registry, rqreg_ext.registry):
        prepare(connection)
        retry = None if retries is None else Retry(NoBackoff(), retries)
        found.append((*lose(namespace, recorder, call, cuts, retry), state(connection)))
    assert found[1] == found[0]
    outcome, times, _ = found[1]
    assert times == sent
    assert outcome.error is (redis.ConnectionError if fails else None)


@pytest.mark.parametrize('call', CALLS)
def test_retry_without_errors_to_retry_on_does_as_with_rq(
    recorder: Recorder, connection: redis.Redis, call: str
) -> None:
    found = []
    for namespace in (rq.registry, rqreg_ext.registry):
        prepare(connection)
        found.append(lose(namespace, recorder, call, 1, Retry(NoBackoff(), 3), retry_on_error=[]))
    assert found[1] == found[0]


@pytest.mark.parametrize('retries', [0, 2])
def test_deletion_is_not_repeated_without_retry(recorder: Recorder, connection: redis.Redis, retries: int) -> None:
    """The script ran, and its reply was lost. Without a Retry, that is raised; with one, the job is gone."""
    prepare(connection)
    registry = connected(rqreg_ext.registry, recorder, Retry(NoBackoff(), retries))
    registry.remove('failed-1', delete_job=True)
    recorder.clear()
    recorder.cut('EVALSHA')
    outcome = outcome_of('delete', lambda: registry.remove('failed-2', delete_job=True))
    assert recorder.commands.count('EVALSHA') == (1 if retries == 0 else 2)
    assert outcome.error is (redis.ConnectionError if retries == 0 else rq.exceptions.NoSuchJobError)
    assert not connection.exists('rq:job:failed-2')
    assert registry.remove('failed-3', delete_job=True) == 1


def test_custom_retry_class_is_used(recorder: Recorder, connection: redis.Redis) -> None:
    """A custom Retry gets both failures of a call whose reply is lost twice."""
    heard = []
    for namespace in (rq.registry, rqreg_ext.registry):
        prepare(connection)
        outcome, sent = lose(namespace, recorder, 'remove', 2, Counting(3))
        heard.append((outcome, sent, list(Counting.failures)))
        Counting.failures.clear()
    assert heard[1] == heard[0]
    assert heard[1][1:] == (3, ['ConnectionError'] * 2)


class Breaker(Retry):
    """A circuit breaker: asked before each call, it may let none pass."""

    asked = 0
    is_open = False

    def call_with_retry(self, do: Any, fail: Any, *args: Any, **kwargs: Any) -> Any:
        Breaker.asked += 1
        if self.is_open:
            raise redis.ConnectionError('circuit is open')
        return super().call_with_retry(do, fail, *args, **kwargs)


@pytest.fixture
def breaker() -> Iterator[type[Breaker]]:
    yield Breaker
    Breaker.asked, Breaker.is_open = 0, False


READING: dict[str, Callable[[Any], Any]] = {
    'count': lambda registry: registry.count,
    'ids': lambda registry: registry.get_job_ids(),
    'in': lambda registry: 'failed-0' in registry,
    'remove': lambda registry: registry.remove('failed-0'),
    'delete': lambda registry: registry.remove('failed-0', delete_job=True),
    'requeue': lambda registry: registry.requeue('failed-0').id,
}


@pytest.mark.parametrize('is_patch', [False, True], ids=['class', 'patch'])
@pytest.mark.parametrize('call', READING)
def test_retry_is_asked_before_commands_as_by_rq(
    redis_server: PrivateRedis, connection: redis.Redis, breaker: type[Breaker], call: str, is_patch: bool
) -> None:
    """A patch counts from the next call on, and no more when it is gone."""
    found = []
    retry_class = Retry if is_patch else Breaker
    for namespace in (rq.registry, rqreg_ext.registry):
        prepare(connection)
        with redis.Redis(port=redis_server.port, retry=retry_class(NoBackoff(), 0)) as client:
            registry = namespace.FailedJobRegistry(NAME, connection=client)
            assert 'failed-1' in registry
            patch = mock.patch.object(Retry, 'call_with_retry', patched(Retry.call_with_retry))
            with patch if is_patch else nullcontext():
                breaker.is_open = True
                refused = outcome_of(call, lambda: READING[call](registry))  # noqa: B023
                breaker.is_open = False
                breaker.asked = 0
                done = outcome_of(call, lambda: READING[call](registry))  # noqa: B023
                found.append((refused, done, breaker.asked > 0))
                breaker.asked = 0
            assert 'failed-1' in registry
            assert is_patch == (breaker.asked == 0)
    assert found[1] == found[0]
    assert found[1][0].error is redis.ConnectionError
    assert found[1][2]


def patched(original: Any) -> Any:
    def call_with_retry(self: Any, *args: Any, **kwargs: Any) -> Any:
        Breaker.asked += 1
        if Breaker.is_open:
            raise redis.ConnectionError('circuit is open')
        return original(self, *args, **kwargs)

    return call_with_retry


@pytest.mark.parametrize('call', ['purge', 'requeue_all', 'find', 'snapshot', 'check'])
def test_bulk_call_asks_retry_first(
    redis_server: PrivateRedis, connection: redis.Redis, breaker: type[Breaker], call: str
) -> None:
    prepare(connection)
    before = state(connection)
    with redis.Redis(port=redis_server.port, retry=Breaker(NoBackoff(), 0)) as client:
        registry = rqreg_ext.registry.FailedJobRegistry(NAME, connection=client)
        assert 'failed-1' in registry
        calls: dict[str, Callable[[], Any]] = {
            'find': lambda: list(registry.find()),
            'snapshot': lambda: rqreg_ext.snapshot(client),
        }
        breaker.is_open = True
        with pytest.raises(redis.ConnectionError, match='circuit is open'):
            calls.get(call, getattr(registry, call, None))()  # type: ignore[misc]
        assert state(connection) == before
        breaker.is_open = False
        assert registry.purge().by_rq <= 1


def test_unsupported_error_is_not_retried(recorder: Recorder, connection: redis.Redis) -> None:
    found = []
    for namespace in (rq.registry, rqreg_ext.registry):
        prepare(connection)
        retry = Retry(NoBackoff(), 3, supported_errors=(redis.exceptions.BusyLoadingError,))
        found.append(lose(namespace, recorder, 'remove', 1, retry))
    assert found[1] == found[0]


def test_server_error_to_retry_on_is_retried_as_by_rq(recorder: Recorder, connection: redis.Redis) -> None:
    """retry_on_error= may name errors that the server answers, too."""
    found = []
    connection.set(f'rq:failed:{NAME}', 'a string')
    for namespace in (rq.registry, rqreg_ext.registry):
        client = redis.Redis(
            host='127.0.0.1',
            port=recorder.port,
            retry=Retry(NoBackoff(), 3),
            retry_on_error=[redis.exceptions.ResponseError],
        )
        registry = namespace.FailedJobRegistry(NAME, connection=client)
        recorder.clear()
        outcome = outcome_of('remove', lambda: registry.remove('failed-0'))  # noqa: B023
        # No answer shows how often it is sent: only the server knows.
        found.append((outcome, recorder.commands.count('ZREM')))
    assert found[0][1] == 4
    assert found[1] == found[0]


def test_function_kept_by_retry_raises_after_call(recorder: Recorder, connection: redis.Redis) -> None:
    """The function that it is given is for one call, and raises afterwards."""
    kept: list[Callable[[], Any]] = []

    class Keeping(Retry):
        def call_with_retry(self, do: Any, fail: Any, *args: Any, **kwargs: Any) -> Any:
            kept.append(do)
            return super().call_with_retry(do, fail, *args, **kwargs)

    prepare(connection)
    registry = connected_before(recorder, Keeping(NoBackoff(), 1))
    kept.clear()
    recorder.cut('ZSCORE')
    assert 'failed-0' in registry
    attempt = next(do for do in kept if type(do).__name__ == 'Attempt')
    with pytest.raises(RuntimeError, match='is over'):
        attempt()


class Insistent(Retry):
    """A Retry that calls again after a success."""

    def call_with_retry(self, do: Any, fail: Any, *args: Any, **kwargs: Any) -> Any:
        answer = super().call_with_retry(do, fail, *args, **kwargs)
        return do() if type(do).__name__ == 'Attempt' else answer


@pytest.mark.parametrize('call', ['ids', 'in', 'remove'])
def test_last_result_counts_if_retry_repeats_after_success(
    recorder: Recorder, connection: redis.Redis, call: str
) -> None:
    """The last result counts, be it an answer or an error."""
    prepare(connection)
    do, command = CALLS[call]
    registry = connected_before(recorder, Insistent(NoBackoff(), 1))
    right = do(rq.registry.FailedJobRegistry(NAME, connection=connection)) if call != 'remove' else 0
    recorder.cut(command)
    assert do(registry) == right
    assert recorder.commands.count(command) == 3


@pytest.mark.parametrize('cuts', [2, 3])
def test_last_error_is_raised_if_retry_fails_after_success(
    recorder: Recorder, connection: redis.Redis, cuts: int
) -> None:
    prepare(connection)
    calls: list[str] = []

    class Unlucky(Retry):
        def call_with_retry(self, do: Any, fail: Any, *args: Any, **kwargs: Any) -> Any:
            if type(do).__name__ != 'Attempt':
                return super().call_with_retry(do, fail, *args, **kwargs)
            for number in range(3):
                try:
                    do()
                    calls.append('done')
                    recorder.cut('ZRANGE', cuts)
                except redis.ConnectionError:
                    calls.append('failed')
                    if number == 2 and cuts == 3:
                        raise
            return None

    registry = connected_before(recorder, Unlucky(NoBackoff(), 1))
    recorder.cut('ZRANGE')
    with pytest.raises(redis.ConnectionError):
        registry.get_job_ids(cleanup=False)
    assert calls == ['failed', 'done', 'failed']
    recorder.cut('ZRANGE', 0)
    assert registry.get_job_ids(1, 2, cleanup=False) == registry.get_job_ids(cleanup=False)[1:3]


@pytest.mark.parametrize('attempts', [0, 1])
def test_error_is_raised_if_retry_returns_nothing(recorder: Recorder, connection: redis.Redis, attempts: int) -> None:
    """There is nothing to return, so the error is raised."""
    prepare(connection)

    class Silent(Retry):
        def call_with_retry(self, do: Any, fail: Any, *args: Any, **kwargs: Any) -> Any:
            if type(do).__name__ != 'Attempt':
                return super().call_with_retry(do, fail, *args, **kwargs)
            for _ in range(attempts):
                with suppress(redis.ConnectionError):
                    do()
            return None

    registry = connected_before(recorder, Silent(NoBackoff(), 1))
    recorder.cut('ZRANGE')
    with pytest.raises(redis.ConnectionError, match='Connection closed by server'):
        registry.get_job_ids(cleanup=False)
    assert 'failed-0' in registry
