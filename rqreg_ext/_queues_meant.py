"""Which queues a `queues` argument means: all that RQ knows, or those that it names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._dispatch import is_cluster, share_keys
from ._exchange import INTEGER, TEXTS, Command, ask, exchange
from ._rq_keys import installed_keys

if TYPE_CHECKING:
    from rq import Queue

# Names that an error spells out.
_SHOWN = 10


def existing_queues(client: Any, queues: Any) -> dict[str, Queue | None]:
    """Return the queues by name as queues_meant() does, once it is known that those which are named exist.

    One round trip. Raises what queues_meant() and Existence.check() do.
    """
    meant = queues_meant(client, queues)
    if queues is not None:
        existence = Existence(client, meant)
        existence.check(exchange(client, existence.commands) if existence.commands else [])
    return meant


def queues_meant(client: Any, queues: Any) -> dict[str, Queue | None]:
    """Return the queues by name, with the Queue object where one was given.

    queues: a name, a Queue or an iterable of these; None for all queues, sorted by name, which costs one round trip.
    Raises TypeError for anything else, and ValueError for a Queue of another Redis than the client's.
    """
    if queues is None:
        return dict.fromkeys(_all_queues(client))
    given = [queues] if isinstance(queues, str) or _is_queue(queues) else queues
    if not isinstance(given, Iterable):
        raise TypeError(f'queues={queues!r} are none: give names or Queue objects, or None for all queues')
    named: dict[str, Queue | None] = {}
    for queue in given:
        if isinstance(queue, str):
            named.setdefault(queue, None)
        elif not _is_queue(queue):
            raise TypeError(f'{queue!r} in queues is no queue: give a name or a Queue object')
        elif not share_keys(client, queue.connection):
            raise ValueError(f'{queue!r} in queues is in another Redis than connection=: give its name if not')
        else:
            named[queue.name] = queue
    return named


class Existence:
    """Whether the queues exist that were given by name; Queue objects are taken for what they are.

    A queue exists where RQ lists it, it has jobs, a registry of it has entries, or a worker listens to it.
    commands: those whose replies tell; none where no names were given.
    """

    def __init__(self, client: Any, queues: Mapping[str, Queue | None]) -> None:
        self._client = client
        self._names = [name for name, queue in queues.items() if queue is None]
        of_each = [_commands(name, is_cluster(client)) for name in self._names]
        self._width = len(of_each[0]) if of_each else 0
        self.commands = [command for commands in of_each for command in commands]

    def check(self, replies: Sequence[Any]) -> None:
        """Raise ValueError for names of queues that do not exist, which says those that are near.

        One round trip for that. Where the user may not ask, all are taken to exist. Raises redis.exceptions.RedisError.
        """
        unknown = []
        for number, name in enumerate(self._names):
            of_one = replies[number * self._width : (number + 1) * self._width]
            errors = [reply for reply in of_one if isinstance(reply, Exception)]
            for error in errors:
                if type(error).__name__ != 'NoPermissionError':
                    raise error
            if not errors and not any(of_one):
                unknown.append(name)
        if unknown:
            raise ValueError(_refusal(unknown, _all_queues(self._client)))


def _commands(name: str, one_by_one: bool) -> list[Command]:
    keys = installed_keys()
    queue = keys.queue_prefix + name
    others = [queue, keys.workers_of(name), *(keys.of_registry(registry, name) for registry in keys.templates)]
    # The keys of a cluster may be on several servers.
    exist = [('EXISTS', key) for key in others] if one_by_one else [('EXISTS', *others)]
    return [(INTEGER, 'SISMEMBER', keys.queues, queue), *((INTEGER, *words) for words in exist)]


def _refusal(unknown: Sequence[str], known: Sequence[str]) -> str:
    from difflib import get_close_matches

    said = []
    for name in unknown[:_SHOWN]:
        near = ' or '.join(map(repr, get_close_matches(name, known, cutoff=0.5)))
        said.append(f'{name!r} (did you mean {near}?)' if near else repr(name))
    shown = ', '.join(map(repr, known[:_SHOWN])) + (f' and {len(known) - _SHOWN} more' if len(known) > _SHOWN else '')
    return (
        f'queues: there is no queue {", nor ".join(said)}. RQ knows {shown or "none"}. '
        'Give a Queue object for a queue that has had no job yet'
    )


def _all_queues(client: Any) -> list[str]:
    keys = installed_keys()
    (found,) = ask(client, [(TEXTS, 'SMEMBERS', keys.queues)])
    return [keys.queue_name(key) for key in sorted(found) if key]


def _is_queue(queue: Any) -> bool:
    return all(hasattr(queue, name) for name in ('connection', 'key', 'name'))
