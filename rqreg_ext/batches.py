"""batch(): calls on any registries, gathered in a with-block and sent as one write."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from ._cleaning import NOTHING_TO_CLEAN, Cleaning, cleaning_of, now
from ._clients import client_from, is_broken_connection
from ._dispatch import share_keys
from ._exchange import INTEGER, SCORE, VALUE, Command, exchange, without_errors
from ._installed_rq import Entries, Method
from ._route import entries_of, is_plain
from .whole.pages import Page, page_of, page_reads
from .whole.reading import Reading

if TYPE_CHECKING:
    from redis import Redis
    from rq.job import Job
    from rq.registry import BaseRegistry

Value = TypeVar('Value')


class Pending(Generic[Value]):
    """What a call in a batch will return, once the block has ended."""

    def __init__(self, alone: Callable[[], Value]) -> None:
        # The registry's own method, for a call that is made by itself.
        self._alone = alone
        self._value: Value | None = None
        self._error: Exception | None = None
        self._is_concluded = False

    def result(self) -> Value:
        """Return what the call returned, or raise what it raised.

        Raises RuntimeError before the end of the block, and where the block ended with an exception.
        """
        if not self._is_concluded:
            raise RuntimeError('a batch is sent at the end of its with-block: ask for the result() behind it')
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]

    def _commands(self, timestamp: int) -> Sequence[Command]:
        """Return what is sent for this call in the batch's write; timestamp: that up to which entries have expired."""
        return ()

    def _value_of(self, replies: list[Any]) -> Value:
        return self._alone()

    def _conclude(self, replies: list[Any]) -> None:
        """Make the result, of the replies to the commands or by the call itself."""
        try:
            self._value = self._value_of(replies)
        except Exception as error:
            if is_broken_connection(error):
                raise
            self._error = error
        self._is_concluded = True

    def _give_up(self, error: BaseException) -> None:
        if not self._is_concluded:
            self._error = RuntimeError(f'no result, because the batch ended with {type(error).__name__}: {error}')
            self._error.__cause__ = error
            self._is_concluded = True


class _Sent(Pending[Value]):
    """A call that is commands and no more, behind the cleanup of the registry where that is wanted."""

    def __init__(
        self,
        alone: Callable[[], Value],
        commands: Sequence[Command],
        make: Callable[..., Value],
        cleaned_up: BaseRegistry | None,
    ) -> None:
        super().__init__(alone)
        self._reads = commands
        self._make = make
        self._cleaned_up = cleaned_up
        self._cleaning: Cleaning | None = NOTHING_TO_CLEAN

    def _commands(self, timestamp: int) -> Sequence[Command]:
        if self._cleaned_up is not None:
            self._cleaning = cleaning_of(self._cleaned_up, timestamp)
        return () if self._cleaning is None else (*self._cleaning.commands, *self._reads)

    def _value_of(self, replies: list[Any]) -> Value:
        if self._cleaning is None:
            return self._alone()
        first = len(self._cleaning.commands)
        if self._cleaning.finds_work(without_errors(replies[:first])):
            return self._alone()
        return self._make(*without_errors(replies[first:]))


class Batch:
    """The calls of one with-block, gathered until its end. For one thread.

    Each does what the registry's own method does, cleanup included; its result is there behind the block. What is more
    than a command is called by itself after the write, in the order of the calls: methods of a class of your own in the
    place of RQ's, a cleanup of RQ that has work to do, `contains` of a started registry, and `remove(delete_job=True)`.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._calls: list[Pending[Any]] = []
        self._is_over = False

    def __len__(self) -> int:
        """Return how many calls were made in the block."""
        return len(self._calls)

    def count(self, registry: BaseRegistry, cleanup: bool = True) -> Pending[int]:
        """Ask how many jobs are in a registry, int. Source: rq.registry.BaseRegistry.get_job_count; Redis ZCARD."""
        key = self._key_of(registry)
        return self._add(
            lambda: registry.get_job_count(cleanup),
            [(INTEGER, 'ZCARD', key)] if is_plain(registry, Method.GET_JOB_COUNT) else None,
            cleaned_up=registry if cleanup else None,
        )

    get_job_count = count

    def contains(self, registry: BaseRegistry, job_or_id: Job | str) -> Pending[bool]:
        """Ask whether a job is in a registry, bool. Source: rq.registry.BaseRegistry.__contains__; Redis ZSCORE."""
        key = self._key_of(registry)
        return self._add(
            lambda: job_or_id in registry,
            [(SCORE, 'ZSCORE', key, _id_of(registry, job_or_id))] if is_plain(registry, Method.CONTAINS) else None,
            make=lambda score: score is not None,
        )

    def get_job_ids(
        self, registry: BaseRegistry, start: int = 0, end: int = -1, desc: bool = False, cleanup: bool = True
    ) -> Pending[list[str]]:
        """Ask for the ids of the jobs in a registry, a list of str ordered by score.

        start, end: first and last rank, both included; negative ones count from the end. desc: from the highest score.
        Source: rq.registry.BaseRegistry.get_job_ids; Redis ZRANGE, ZREVRANGE.
        """
        key = self._key_of(registry)
        is_served = is_plain(registry, Method.GET_JOB_IDS) and _is_parsed_as_by_rq(registry)
        return self._add(
            lambda: registry.get_job_ids(start, end, desc, cleanup),
            # Decoded afterwards: an entry that is no UTF-8 is the trouble of this call alone.
            [(VALUE, 'ZREVRANGE' if desc else 'ZRANGE', key, start, end)] if is_served else None,
            make=lambda entries: list(map(registry.parse_job_id, entries)),
            cleaned_up=registry if cleanup else None,
        )

    def get_page(
        self,
        registry: BaseRegistry,
        page: int = 1,
        per_page: int = 100,
        desc: bool = False,
        with_scores: bool = False,
        cleanup: bool = True,
    ) -> Pending[Page]:
        """Ask for one page of a registry, a Page: see get_page() of a registry, also for the arguments."""
        key = self._key_of(registry)
        method = getattr(registry, 'get_page', None) or partial(Reading.get_page, cast('Reading', registry))
        is_served = _function_of(method) is Reading.get_page and _is_parsed_as_by_rq(registry)
        return self._add(
            lambda: method(page, per_page, desc, with_scores, cleanup),
            page_reads(key, page, per_page, desc, with_scores) if is_served else None,
            make=lambda found, total: page_of(found, total, page, per_page, with_scores, registry.parse_job_id),
            cleaned_up=registry if cleanup else None,
        )

    def remove(self, registry: BaseRegistry, job_or_id: Job | str, delete_job: bool = False) -> Pending[int]:
        """Take a job out of a registry; the result is 1, or 0 where it was not there.

        delete_job: whether to delete the job too. Source: rq.registry.BaseRegistry.remove; Redis ZREM.
        """
        key = self._key_of(registry)
        is_served = is_plain(registry, Method.REMOVE) and not delete_job
        return self._add(
            lambda: registry.remove(job_or_id, delete_job=delete_job),
            [(INTEGER, 'ZREM', key, _id_of(registry, job_or_id))] if is_served else None,
        )

    def _key_of(self, registry: BaseRegistry) -> str:
        """Return the key of a registry that this batch can ask."""
        if self._is_over:
            raise RuntimeError('this batch is over: begin another with rqreg_ext.batch(connection)')
        if not all(hasattr(registry, name) for name in ('connection', 'key', 'parse_job_id')):
            raise TypeError(f'{registry!r} is no registry: give one, like queue.failed_job_registry')
        if not share_keys(self._client, registry.connection):
            raise ValueError(f'{registry!r} is in another Redis than this batch: begin a batch for each connection')
        return registry.key

    def _add(
        self,
        alone: Callable[[], Value],
        commands: Sequence[Command] | None,
        make: Callable[..., Value] = lambda reply: reply,
        cleaned_up: BaseRegistry | None = None,
    ) -> Pending[Value]:
        call = Pending(alone)
        if commands is not None and all(_can_be_sent(word) for command in commands for word in command[2:]):
            call = _Sent(alone, commands, make, cleaned_up)
        self._calls.append(call)
        return call

    def _give_up(self, error: BaseException) -> None:
        self._is_over = True
        for call in self._calls:
            call._give_up(error)

    def _send(self) -> None:
        self._is_over = True
        timestamp = now()
        commands = [call._commands(timestamp) for call in self._calls]
        replies = iter(exchange(self._client, [command for of_call in commands for command in of_call]))
        for call, of_call in zip(self._calls, commands, strict=True):
            call._conclude(list(islice(replies, len(of_call))))


def _id_of(registry: Any, job_or_id: Any) -> Any:
    """Return the id of a job, or the argument itself, as RQ's methods do."""
    return job_or_id.id if isinstance(job_or_id, registry.job_class) else job_or_id


def _function_of(method: Any) -> Any:
    """Return the function behind a method, or behind a partial() in its place."""
    return method.func if isinstance(method, partial) else getattr(method, '__func__', None)


def _is_parsed_as_by_rq(registry: Any) -> bool:
    return entries_of(registry) != Entries.UNKNOWN


def _can_be_sent(argument: Any) -> bool:
    """Tell whether this is what RQ would send as it is; for anything else RQ's own method has the words."""
    if type(argument) is str:
        # What a surrogate has in it cannot be sent, and would keep all the other calls from it.
        return argument.isascii() or not any('\ud800' <= character <= '\udfff' for character in argument)
    return type(argument) in (bytes, int, float)


@contextmanager
def batch(connection: Redis | str) -> Iterator[Batch]:
    """Gather the calls of a with-block on any registries of one Redis, and send them as one write at its end.

        with rqreg_ext.batch(redis) as batch:
            failed = batch.count(queue.failed_job_registry)
            running = batch.contains(queue.started_job_registry, job)
        print(failed.result(), running.result())

    connection: a redis-py client, or a URL string.
    One round trip for the block, and those of the calls that are made by themselves (see Batch). It is a pipeline, no
    transaction: what others do may come between two calls. An exception in the block keeps all of it from being sent.
    What the server refuses is raised by the result() of that call alone.
    Raises redis.exceptions.ConnectionError and TimeoutError at the end of the block: then nobody knows what was done.
    """
    gathered = Batch(client_from(connection))
    try:
        yield gathered
        gathered._send()
    except BaseException as error:
        gathered._give_up(error)
        raise
