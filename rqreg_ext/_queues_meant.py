"""Which queues a `queues` argument means: all that RQ knows, or those that it names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ._dispatch import share_keys
from ._exchange import TEXTS, ask
from ._rq_keys import installed_keys

if TYPE_CHECKING:
    from rq import Queue


def queues_meant(client: Any, queues: Any) -> dict[str, Queue | None]:
    """Return the queues by name, with the Queue object where one was given.

    queues: a name, a Queue or an iterable of these; None for all queues, sorted by name, which costs one round trip.
    Raises TypeError for anything else, and ValueError for a Queue of another Redis than the client's.
    """
    if queues is None:
        return _all_queues(client)
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


def _all_queues(client: Any) -> dict[str, Queue | None]:
    keys = installed_keys()
    (found,) = ask(client, [(TEXTS, 'SMEMBERS', keys.queues)])
    return {keys.queue_name(key): None for key in sorted(found) if key}


def _is_queue(queue: Any) -> bool:
    return all(hasattr(queue, name) for name in ('connection', 'key', 'name'))
