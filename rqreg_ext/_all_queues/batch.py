"""batch(): calls on any registries, collected in a with block and sent in one write."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from .._fastpath.cleanup import NO_CLEANUP, CleanupCommands, cleanup_commands_of, current_timestamp
from .._fastpath.clients.by_url import client_from
from .._fastpath.clients.errors import is_broken_connection, is_job_timeout
from .._fastpath.dispatch import entries_of, reaches_rq, share_keys
from .._fastpath.exchange import INTEGER, SCORE, VALUE, Command, exchange, without_errors
from .._fastpath.releases import EntryKind, Method
from .._query.listing import ListingMixin
from .._query.pages import Page, page_of, page_reads

if TYPE_CHECKING:
    from redis import Redis
    from rq.job import Job
    from rq.registry import BaseRegistry

Value = TypeVar('Value')


class PendingResult(Generic[Value]):
    """The result of a call in a batch, which is available after the with block."""

    def __init__(self, call_method: Callable[[], Value]) -> None:
        # Calls the registry's own method, if the call cannot be sent with the batch.
        self._call_method = call_method
        self._value: Value | None = None
        self._error: Exception | None = None
        self._is_done = False

    def result(self) -> Value:
        """Return the value of the call, or raise its error.

        Raises:
            RuntimeError: The with block has not ended yet, or ended with an exception.
            redis.exceptions.RedisError: The server refused this call.
        """
        if not self._is_done:
            raise RuntimeError('a batch is sent at the end of its with block: call result() after the block')
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]

    def _commands(self, timestamp: int) -> Sequence[Command]:
        """Return the commands to send in the batch's write. Entries with scores up to `timestamp` have expired."""
        return ()

    def _value_of(self, replies: list[Any]) -> Value:
        return self._call_method()

    def _set_result(self, replies: list[Any]) -> None:
        """Set the result, from the replies to the commands or by calling the registry's method."""
        try:
            self._value = self._value_of(replies)
        except Exception as error:
            if is_broken_connection(error) or is_job_timeout(error):
                raise
            self._error = error
        self._is_done = True

    def _give_up(self, error: BaseException) -> None:
        if not self._is_done:
            self._error = RuntimeError(f'no result, because the batch ended with {type(error).__name__}: {error}')
            self._error.__cause__ = error
            self._is_done = True


class _CallAsCommands(PendingResult[Value]):
    """A call that is sent as commands, after those of a cleanup of the registry if there is one."""

    def __init__(
        self,
        call_method: Callable[[], Value],
        commands: Sequence[Command],
        value_from: Callable[..., Value],
        registry_to_clean: BaseRegistry | None,
    ) -> None:
        super().__init__(call_method)
        self._own_commands = commands
        self._value_from = value_from
        self._registry_to_clean = registry_to_clean
        # None if only the registry's method can clean up.
        self._cleanup: CleanupCommands | None = NO_CLEANUP

    def _commands(self, timestamp: int) -> Sequence[Command]:
        if self._registry_to_clean is not None:
            self._cleanup = cleanup_commands_of(self._registry_to_clean, timestamp)
        return () if self._cleanup is None else (*self._cleanup.commands, *self._own_commands)

    def _value_of(self, replies: list[Any]) -> Value:
        if self._cleanup is None:
            return self._call_method()
        first = len(self._cleanup.commands)
        if self._cleanup.finds_work(without_errors(replies[:first])):
            return self._call_method()
        return self._value_from(*without_errors(replies[first:]))


class Batch:
    """The calls of one with block of batch(). Each method does what the registry's method of that name does.

    Note:
        A method returns a PendingResult, whose result() is available after the block. A Batch is not safe to use in
        several threads.

        All calls are sent in one write at the end of the block, except those that need more than that: if a subclass
        overrides the method, if RQ's cleanup() has work to do, contains() of a started registry, and remove() with
        delete_job=True. For these, the registry's method is called after the write, in the order of the calls.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._calls: list[PendingResult[Any]] = []
        self._is_over = False

    def __len__(self) -> int:
        """Return the number of calls."""
        return len(self._calls)

    def __repr__(self) -> str:
        return f'<Batch of {len(self)} calls, {"sent" if self._is_over else "not sent yet"}>'

    def count(self, registry: BaseRegistry, cleanup: bool = True) -> PendingResult[int]:
        """Return the number of jobs in a registry, int.

        Args:
            registry: The registry.
            cleanup: Whether to run RQ's cleanup() of expired entries first.

        Source:
            rq.registry.BaseRegistry.get_job_count; Redis ZCARD.
        """
        key = self._key_of(registry)
        return self._add(
            lambda: registry.get_job_count(cleanup),
            [(INTEGER, 'ZCARD', key)] if reaches_rq(registry, Method.GET_JOB_COUNT) else None,
            registry_to_clean=registry if cleanup else None,
        )

    get_job_count = count

    def contains(self, registry: BaseRegistry, job_or_id: Job | str) -> PendingResult[bool]:
        """Return whether a job is in a registry, bool.

        Args:
            registry: The registry.
            job_or_id: A Job, or the id of one.

        Source:
            rq.registry.BaseRegistry.__contains__; Redis ZSCORE.
        """
        key = self._key_of(registry)
        return self._add(
            lambda: job_or_id in registry,
            [(SCORE, 'ZSCORE', key, _id_of(registry, job_or_id))] if reaches_rq(registry, Method.CONTAINS) else None,
            value_from=lambda score: score is not None,
        )

    def get_job_ids(
        self, registry: BaseRegistry, start: int = 0, end: int = -1, desc: bool = False, cleanup: bool = True
    ) -> PendingResult[list[str]]:
        """Return the ids of the jobs in a registry, a list of str ordered by score.

        Args:
            registry: The registry.
            start: The rank of the first entry. Negative ranks count from the end.
            end: The rank of the last entry, inclusive.
            desc: Whether to start with the highest score.
            cleanup: Whether to run RQ's cleanup() of expired entries first.

        Source:
            rq.registry.BaseRegistry.get_job_ids; Redis ZRANGE, ZREVRANGE.
        """
        key = self._key_of(registry)
        is_served = reaches_rq(registry, Method.GET_JOB_IDS) and _is_parsed_as_by_rq(registry)
        return self._add(
            lambda: registry.get_job_ids(start, end, desc, cleanup),
            # Not decoded with the replies: an entry that is not UTF-8 must be an error of this call only.
            [(VALUE, 'ZREVRANGE' if desc else 'ZRANGE', key, start, end)] if is_served else None,
            value_from=lambda entries: list(map(registry.parse_job_id, entries)),
            registry_to_clean=registry if cleanup else None,
        )

    def get_page(
        self,
        registry: BaseRegistry,
        page: int = 1,
        per_page: int = 100,
        desc: bool = False,
        with_scores: bool = False,
        cleanup: bool = True,
    ) -> PendingResult[Page]:
        """Return one page of a registry, a Page.

        Args:
            registry: The registry.
            page: The number of the page, from 1.
            per_page: The number of entries per page.
            desc: Whether to start with the highest score.
            with_scores: Whether to read the scores too.
            cleanup: Whether to run RQ's cleanup() of expired entries first.

        Source:
            Redis ZRANGE or ZREVRANGE, and ZCARD.
        """
        key = self._key_of(registry)
        method = getattr(registry, 'get_page', None) or partial(ListingMixin.get_page, cast('ListingMixin', registry))
        is_served = _function_of(method) is ListingMixin.get_page and _is_parsed_as_by_rq(registry)
        return self._add(
            lambda: method(page, per_page, desc, with_scores, cleanup),
            page_reads(key, page, per_page, desc, with_scores) if is_served else None,
            value_from=lambda found, total: page_of(found, total, page, per_page, with_scores, registry.parse_job_id),
            registry_to_clean=registry if cleanup else None,
        )

    def remove(self, registry: BaseRegistry, job_or_id: Job | str, delete_job: bool = False) -> PendingResult[int]:
        """Remove a job from a registry; return 1, or 0 if it was not there.

        Args:
            registry: The registry.
            job_or_id: A Job, or the id of one.
            delete_job: Whether to delete the job too.

        Source:
            rq.registry.BaseRegistry.remove; Redis ZREM.
        """
        key = self._key_of(registry)
        is_served = reaches_rq(registry, Method.REMOVE) and not delete_job
        return self._add(
            lambda: registry.remove(job_or_id, delete_job=delete_job),
            [(INTEGER, 'ZREM', key, _id_of(registry, job_or_id))] if is_served else None,
        )

    def _key_of(self, registry: BaseRegistry) -> str:
        """Return the key of the registry. Raises an error if the registry cannot be used in this batch."""
        if self._is_over:
            raise RuntimeError('this batch is over: begin another with rqreg_ext.batch(connection)')
        if not all(hasattr(registry, name) for name in ('connection', 'key', 'parse_job_id')):
            raise TypeError(f'{registry!r} is not a registry: give one, such as queue.failed_job_registry')
        if not share_keys(self._client, registry.connection):
            raise ValueError(f'{registry!r} is in another Redis than this batch: begin a batch for each connection')
        return registry.key

    def _add(
        self,
        call_method: Callable[[], Value],
        commands: Sequence[Command] | None,
        value_from: Callable[..., Value] = lambda reply: reply,
        registry_to_clean: BaseRegistry | None = None,
    ) -> PendingResult[Value]:
        """Add a call: as commands if there are any, and RQ would send the same arguments; else by its method."""
        call = PendingResult(call_method)
        if commands is not None and all(_can_be_sent(word) for command in commands for word in command[2:]):
            call = _CallAsCommands(call_method, commands, value_from, registry_to_clean)
        self._calls.append(call)
        return call

    def _give_up(self, error: BaseException) -> None:
        self._is_over = True
        for call in self._calls:
            call._give_up(error)

    def _send(self) -> None:
        self._is_over = True
        timestamp = current_timestamp()
        commands = [call._commands(timestamp) for call in self._calls]
        replies = iter(exchange(self._client, [command for of_call in commands for command in of_call]))
        for call, of_call in zip(self._calls, commands, strict=True):
            call._set_result(list(islice(replies, len(of_call))))


def _id_of(registry: Any, job_or_id: Any) -> Any:
    """Return the id of a Job, or any other argument unchanged, as RQ's methods do."""
    return job_or_id.id if isinstance(job_or_id, registry.job_class) else job_or_id


def _function_of(method: Any) -> Any:
    """Return the function of a bound method or a partial()."""
    return method.func if isinstance(method, partial) else getattr(method, '__func__', None)


def _is_parsed_as_by_rq(registry: Any) -> bool:
    return entries_of(registry) != EntryKind.UNKNOWN


def _can_be_sent(argument: Any) -> bool:
    """Tell whether RQ would send the argument as it is. For any other, RQ's method must convert it or raise."""
    if type(argument) is str:
        # A lone surrogate cannot be encoded: the whole write would fail.
        return argument.isascii() or not any('\ud800' <= character <= '\udfff' for character in argument)
    return type(argument) in (bytes, int, float)


@contextmanager
def batch(connection: Redis | str) -> Iterator[Batch]:
    """Collect the calls of a with block on any registries of one Redis, and send them in one write at its end.

    It is a pipeline, not a transaction: commands of other clients can run between two calls. If the block raises an
    exception, nothing is sent.

    Args:
        connection: A redis-py client, or a URL.

    Yields:
        A Batch.

    Raises:
        redis.exceptions.ConnectionError, redis.exceptions.TimeoutError: At the end of the block; it is unknown then
            which calls the server has run. An error of one call is raised by its result() only.

    Round trips:
        One, and those of the calls that Batch sends separately.

    Example:
        ::

            with rqreg_ext.batch(redis) as batch:
                failed = batch.count(queue.failed_job_registry)
                running = batch.contains(queue.started_job_registry, job)
            print(failed.result(), running.result())
    """
    calls = Batch(client_from(connection))
    try:
        yield calls
        calls._send()
    except BaseException as error:
        calls._give_up(error)
        raise
