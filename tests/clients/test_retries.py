"""A connection that breaks in the middle of a call: the client's Retry decides what is sent again, as in RQ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

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


def lose(
    namespace: ModuleType, recorder: Recorder, call: str, cuts: int, retry: Retry | None, **arguments: Any
) -> tuple[Outcome, int]:
    """Make the call while its reply is lost so many times; return the outcome and how often the command was sent."""
    do, command = CALLS[call]
    registry = connected(namespace, recorder, retry, **arguments)
    recorder.cut(command, cuts)
    outcome = outcome_of(call, lambda: do(registry))
    sent = recorder.commands.count(command)
    recorder.cut(command, 0)
    # The very next call is right, whatever became of this one.
    assert 'failed-1' in registry
    assert registry.get_job_ids(1, 2, cleanup=False) == registry.get_job_ids(cleanup=False)[1:3]
    return outcome, sent


@pytest.mark.parametrize('call', CALLS)
@pytest.mark.parametrize(
    ('cuts', 'retries', 'sent', 'fails'),
    [(1, None, 1, True), (1, 0, 1, True), (1, 3, 2, False), (3, 3, 4, False), (4, 3, 4, True), (2, 1, 2, True)],
)
def test_it_is_sent_as_often_as_the_clients_retry_says(
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
def test_a_retry_without_errors_to_retry_on(recorder: Recorder, connection: redis.Redis, call: str) -> None:
    found = []
    for namespace in (rq.registry, rqreg_ext.registry):
        prepare(connection)
        found.append(lose(namespace, recorder, call, 1, Retry(NoBackoff(), 3), retry_on_error=[]))
    assert found[1] == found[0]


@pytest.mark.parametrize('retries', [0, 2])
def test_a_deletion_is_not_repeated_without_a_retry(recorder: Recorder, connection: redis.Redis, retries: int) -> None:
    """The script ran and its reply was lost. Without a Retry the caller hears of that; with one, that it is gone."""
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


def test_the_clients_own_retry_class_is_asked(recorder: Recorder, connection: redis.Redis) -> None:
    """A Retry of somebody's own hears of both failures of a call that is lost twice."""
    heard = []
    for namespace in (rq.registry, rqreg_ext.registry):
        prepare(connection)
        outcome, sent = lose(namespace, recorder, 'remove', 2, Counting(3))
        heard.append((outcome, sent, list(Counting.failures)))
        Counting.failures.clear()
    assert heard[1] == heard[0]
    assert heard[1][1:] == (3, ['ConnectionError'] * 2)


def test_what_the_retry_does_not_support_is_not_retried(recorder: Recorder, connection: redis.Redis) -> None:
    found = []
    for namespace in (rq.registry, rqreg_ext.registry):
        prepare(connection)
        retry = Retry(NoBackoff(), 3, supported_errors=(redis.exceptions.BusyLoadingError,))
        found.append(lose(namespace, recorder, 'remove', 1, retry))
    assert found[1] == found[0]


def test_an_error_of_the_server_that_the_client_wants_retried(recorder: Recorder, connection: redis.Redis) -> None:
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
        # How often it goes out shows in no answer: only the server is the wiser.
        found.append((outcome, recorder.commands.count('ZREM')))
    assert found[0][1] == 4
    assert found[1] == found[0]


def test_a_retry_that_keeps_what_it_was_given(recorder: Recorder, connection: redis.Redis) -> None:
    """What it was to call belongs to one call of ours, and says so when that is over."""
    kept: list[Callable[[], Any]] = []

    class Keeping(Retry):
        def call_with_retry(self, do: Any, fail: Any, *args: Any, **kwargs: Any) -> Any:
            kept.append(do)
            return super().call_with_retry(do, fail, *args, **kwargs)

    prepare(connection)
    registry = connected(rqreg_ext.registry, recorder, Keeping(NoBackoff(), 1))
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
def test_a_retry_that_calls_again_after_a_success(recorder: Recorder, connection: redis.Redis, call: str) -> None:
    """The last answer counts, and the last failure."""
    prepare(connection)
    do, command = CALLS[call]
    registry = connected(rqreg_ext.registry, recorder, Insistent(NoBackoff(), 1))
    right = do(rq.registry.FailedJobRegistry(NAME, connection=connection)) if call != 'remove' else 0
    recorder.cut(command)
    assert do(registry) == right
    assert recorder.commands.count(command) == 3


@pytest.mark.parametrize('cuts', [2, 3])
def test_a_retry_whose_last_call_fails_after_a_success(recorder: Recorder, connection: redis.Redis, cuts: int) -> None:
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

    registry = connected(rqreg_ext.registry, recorder, Unlucky(NoBackoff(), 1))
    recorder.cut('ZRANGE')
    with pytest.raises(redis.ConnectionError):
        registry.get_job_ids(cleanup=False)
    assert calls == ['failed', 'done', 'failed']
    recorder.cut('ZRANGE', 0)
    assert registry.get_job_ids(1, 2, cleanup=False) == registry.get_job_ids(cleanup=False)[1:3]


@pytest.mark.parametrize('attempts', [0, 1])
def test_a_retry_that_returns_without_an_answer(recorder: Recorder, connection: redis.Redis, attempts: int) -> None:
    """There is nothing to return: the failure is raised."""
    prepare(connection)

    class Silent(Retry):
        def call_with_retry(self, do: Any, fail: Any, *args: Any, **kwargs: Any) -> Any:
            if type(do).__name__ != 'Attempt':
                return super().call_with_retry(do, fail, *args, **kwargs)
            for _ in range(attempts):
                with suppress(redis.ConnectionError):
                    do()
            return None

    registry = connected(rqreg_ext.registry, recorder, Silent(NoBackoff(), 1))
    recorder.cut('ZRANGE')
    with pytest.raises(redis.ConnectionError, match='Connection closed by server'):
        registry.get_job_ids(cleanup=False)
    assert 'failed-0' in registry
