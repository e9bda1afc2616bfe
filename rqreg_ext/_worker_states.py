"""The workers of a Redis by what they say of themselves, in as few commands as the server lets us."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from ._exchange import TEXTS, VALUE, Command, ask, exchange, without_errors
from ._rights import is_denied

# So many the server reads for one command, which holds it for about a millisecond.
MOST_AT_ONCE = 1000
# A worker's hash always has one of the last two; a name in RQ's set without any is that of a worker that is gone.
_FIELDS = ('state', 'queues', 'birth', 'last_heartbeat')


class WorkerState(NamedTuple):
    """What one worker says: its state ('?' for none, as in RQ), and the names of its queues."""

    state: str
    queues: list[str]


def read_workers(workers_key: str) -> Command:
    """Return the command that reads all workers at once, where there are not too many."""
    # Each member of the set is the key of a hash.
    fields = [word for field in _FIELDS for word in ('GET', f'*->{field}')]
    return (VALUE, 'SORT', workers_key, 'BY', 'nosort', 'LIMIT', 0, MOST_AT_ONCE, *fields)


def workers_from(client: Any, workers_key: str, reply: Any) -> list[WorkerState]:
    """Return the workers that the command found; where it was refused, or there are too many, ask in plain reads.

    A server denies it to a user without the right to all keys, to a replica's client, and in a cluster. The reads are
    two round trips, and one more for each further thousand of workers.
    """
    if isinstance(reply, Exception) or len(reply) >= MOST_AT_ONCE * len(_FIELDS):
        return list(_by_plain_reads(client, workers_key))
    return list(_existing(zip(*[iter(reply)] * len(_FIELDS), strict=True)))


def _by_plain_reads(client: Any, workers_key: str) -> Iterator[WorkerState]:
    (worker_keys,) = ask(client, [(TEXTS, 'SMEMBERS', workers_key)])
    remaining = iter(worker_keys)
    while chunk := list(islice(remaining, MOST_AT_ONCE)):
        found = exchange(client, [(VALUE, 'HMGET', key, *_FIELDS) for key in chunk])
        if any(map(is_denied, found)):
            # As RQ reads them.
            found = ask(client, [(_fields_of_all, 'HGETALL', key) for key in chunk])
        yield from _existing(without_errors(found))


def _fields_of_all(reply: Any) -> list[Any]:
    fields = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
    return [fields.get(name.encode(), fields.get(name)) for name in _FIELDS]


def _existing(found: Iterable[Iterable[Any]]) -> Iterator[WorkerState]:
    for state, queues, *signs_of_life in found:
        if any(value is not None for value in (state, queues, *signs_of_life)):
            yield WorkerState('?' if state is None else _text(state), _text(queues).split(',') if queues else [])


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode()
