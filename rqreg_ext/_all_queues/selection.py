"""The queues that a `queues` argument selects, whether they exist, and their registries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from .._fastpath.deferred import imports_of
from .._fastpath.dispatch import is_cluster, share_keys
from .._fastpath.exchange import INTEGER, TEXTS, Command, ask, exchange, without_errors
from .._fastpath.rq_keys import REGISTRIES, queue_key, queue_name, queues_key, workers_key
from .._fastpath.server_errors import is_denied, is_wrong_type
from .._fastpath.wording import hint
from .._query.arguments import no_jobs_to_change

if TYPE_CHECKING:
    from rq import Queue

# How many names an error message lists.
_SHOWN = 10


def existing_queues(client: Any, queues: Any) -> dict[str, Queue | None]:
    """Return the selected queues as requested_queues() does. Raises ValueError for names of queues that do not exist.

    One round trip.
    """
    selected = requested_queues(client, queues)
    if queues is not None:
        existence = Existence(client, selected)
        existence.check(exchange(client, existence.commands) if existence.commands else [])
    return selected


def requested_queues(client: Any, queues: Any) -> dict[str, Queue | None]:
    """Return the selected queues by name, with the Queue object if one was given.

    Args:
        client: The client.
        queues: A name, a Queue, or an iterable of these; None for all queues, sorted by name, which takes one round
            trip.

    Raises:
        TypeError: The argument is of another type.
        ValueError: A Queue is in another Redis than the client's.
    """
    if queues is None:
        return all_queues(*ask(client, [list_queues()]))
    given = [queues] if isinstance(queues, str) or _is_queue(queues) else queues
    if not isinstance(given, Iterable) or isinstance(given, bytes):
        raise TypeError(f'queues={queues!r} names no queues: give names or Queue objects, or None for all queues')
    named: dict[str, Queue | None] = {}
    for queue in given:
        if isinstance(queue, str):
            named.setdefault(queue, None)
        elif not _is_queue(queue):
            raise TypeError(f'{queue!r} in queues is not a queue: give a name or a Queue object')
        elif not share_keys(client, queue.connection):
            raise ValueError(f'{queue!r} in queues is in another Redis than connection=: give its name instead')
        else:
            named[queue.name] = queue
    return named


def class_named(name: str) -> Any:
    """Return the class of a registry in rqreg_ext by its name, as in `queue.failed_job_registry`."""
    # Imported here for the start-up time of `rqreg stats`, which needs no registry.
    with imports_of('calls over many queues'):
        from .. import registry as registries
    return getattr(registries, str(REGISTRIES[name]))


def registry_class_of(registry: Any, takes_started: bool = True) -> Any:
    """Check a `registry` argument, the name of a registry, and return its class in rqreg_ext."""
    # A registry passed by mistake must not be compared with a str: its __eq__ would raise AttributeError.
    name = registry if isinstance(registry, str) else None
    if name == 'started' and not takes_started:
        raise no_jobs_to_change("registry='started': its entries", 'remove and requeue')
    if name not in REGISTRIES:
        raise ValueError(_no_such_registry(registry, takes_started))
    return class_named(name)


def _no_such_registry(registry: Any, takes_started: bool) -> str:
    names = [name for name in REGISTRIES if name != 'started' or takes_started]
    message = f'registry={registry!r} names no registry of RQ: give one of {", ".join(map(repr, names))}'
    if isinstance(registry, (date, timedelta)):
        return f'{message}, and the time as ended_before= or ended_after='
    if isinstance(registry, str) and registry in ('queued', 'waiting'):
        return f'{message}. Jobs that wait are in their queue, and in no registry: take WaitingJobs'
    return f'{message}{hint(str(registry), names, cutoff=0.4)}. The names of queues go into queues='


def registries_in(client: Any, registry_class: Any, queues: Any) -> dict[str, Any]:
    """Return the registry of this class of each selected queue, by its name. One round trip.

    Raises as existing_queues().
    """
    return {
        name: registry_in(client, registry_class, name, queue)
        for name, queue in existing_queues(client, queues).items()
    }


def registry_in(client: Any, registry_class: Any, name: str, queue: Queue | None, **job_options: Any) -> Any:
    """Return the registry of a queue, by the Queue object if one was given, else with the arguments job_options."""
    if queue is None:
        return registry_class(name, connection=client, **job_options)
    return registry_class(queue=queue, job_class=queue.job_class)


class Existence:
    """Checks whether the queues exist that were given by name. Queue objects are not checked.

    A queue exists if RQ lists it, it has jobs, one of its registries has entries, or a worker listens to it.

    Attributes:
        commands: The commands whose replies are passed to check(); none if no names were given.
    """

    def __init__(self, client: Any, queues: Mapping[str, Queue | None]) -> None:
        self._client = client
        self._names = [name for name, queue in queues.items() if queue is None]
        by_name = [_commands(name, is_cluster(client)) for name in self._names]
        self._commands_per_name = len(by_name[0]) if by_name else 0
        self.commands = [command for commands in by_name for command in commands]

    def check(self, replies: Sequence[Any]) -> None:
        """Raise ValueError for names of queues that do not exist. The message suggests similar names.

        Before it raises, it takes one round trip to read the names of all queues. It takes one more if the user has no
        right to some of the commands or keys. If the user may read neither RQ's list of queues nor all keys of a
        queue, the queue is assumed to exist. Also raises redis.exceptions.RedisError.
        """
        # The names of queues that seem not to exist, each with the keys that the user has no right to.
        unknown: dict[str, list[str]] = {}
        # The names about which some replies are missing, each with whether it is known that RQ does not list the queue.
        unsure: dict[str, bool] = {}
        for number, name in enumerate(self._names):
            of_one = replies[number * self._commands_per_name : (number + 1) * self._commands_per_name]
            without_errors([reply for reply in of_one if not is_denied(reply)])
            denied = [isinstance(reply, Exception) for reply in of_one]
            if any(reply for reply in of_one if not isinstance(reply, Exception)):
                continue
            if any(denied):
                unsure[name] = not denied[0]
            else:
                unknown[name] = []
        if not unknown and not unsure:
            return
        listed = _listed_queues(self._client)
        unknown.update(self._look_again(unsure, listed))
        if unknown:
            raise _unknown_queues(unknown, listed)

    def _look_again(self, unsure: Mapping[str, bool], listed: list[str] | None) -> Iterator[tuple[str, list[str]]]:
        """Read each key with a command of its own, twice: with EXISTS and with the command that counts its elements.

        Yield the names of queues that still seem not to exist, with the keys that the user has no right to.

        Args:
            unsure: The names, each with whether it is known that RQ does not list the queue.
            listed: The queues that RQ lists; None if the user may not read that.
        """
        counts_by_name = {name: _counts(name) for name in unsure}
        commands = [
            (INTEGER, *words)
            for counts in counts_by_name.values()
            for count in counts
            for words in (('EXISTS', count[1]), count)
        ]
        replies = iter(exchange(self._client, commands) if commands else [])
        for name, counts in counts_by_name.items():
            existence = {key: _exists(next(replies), next(replies)) for _, key in counts}
            if any(existence.values()) or name in (listed or ()):
                continue
            hidden = [key for key, exists in existence.items() if exists is None]
            if not hidden or unsure[name] or listed is not None:
                yield name, hidden


def _commands(name: str, one_by_one: bool) -> list[Command]:
    others = [key for _, key in _counts(name)]
    # In a cluster, the keys may be on several servers, and EXISTS takes only keys of one.
    exist = [('EXISTS', key) for key in others] if one_by_one else [('EXISTS', *others)]
    return [(INTEGER, 'SISMEMBER', queues_key(), queue_key(name)), *((INTEGER, *words) for words in exist)]


def _counts(name: str) -> list[tuple[str, str]]:
    """Return the keys of a queue, each with the command that counts its elements."""
    registries = [('ZCARD', registry_kind.key(name)) for registry_kind in REGISTRIES.values()]
    return [('LLEN', queue_key(name)), ('SCARD', workers_key(name)), *registries]


def _exists(exists: Any, count: Any) -> bool | None:
    """Return whether a key exists, from the replies to both commands; None if the user has the right to neither."""
    for reply in (exists, count):
        if not isinstance(reply, Exception):
            return bool(reply)
        if is_wrong_type(reply):
            return True
        if not is_denied(reply):
            raise reply
    return None


class UnknownQueueError(ValueError):
    """A queue was named that does not exist.

    Attributes:
        reason: The message without the name of the argument, and without the remedy.
    """

    reason: str


def _unknown_queues(unknown: Mapping[str, list[str]], listed: list[str] | None) -> UnknownQueueError:
    names = ', nor '.join(f'{name!r}{hint(name, listed or (), 3, 0.5)}' for name in list(unknown)[:_SHOWN])
    hidden = [key for keys in unknown.values() for key in keys]
    if hidden:
        keys = _some(hidden)
        first = f'RQ lists no queue {names}, and your user has no right to {keys}, where it may have jobs'
    else:
        first = f'there is no queue {names}'
    if listed is None:
        known = f'Your user has no right to read {queues_key()}, where RQ lists its queues'
    else:
        known = f'RQ knows {_some(list(map(repr, listed))) or "none"}'
    reason = f'{first}. {known}'
    error = UnknownQueueError(f'queues: {reason}. Give a Queue object for a queue that has had no job yet')
    error.reason = reason
    return error


def _some(words: Sequence[str]) -> str:
    return ', '.join(words[:_SHOWN]) + (f' and {len(words) - _SHOWN} more' if len(words) > _SHOWN else '')


def _listed_queues(client: Any) -> list[str] | None:
    """Return the names of the queues that RQ lists; None if the user has no right to read that."""
    (found,) = exchange(client, [list_queues()])
    return None if is_denied(found) else _names_of(*without_errors([found]))


def list_queues() -> Command:
    """Return the command that reads the queues that RQ lists."""
    return (TEXTS, 'SMEMBERS', queues_key())


def all_queues(queue_keys: Sequence[str]) -> dict[str, Queue | None]:
    """Return the queues as requested_queues() does, from the reply to that command."""
    return dict.fromkeys(_names_of(queue_keys))


def _names_of(queue_keys: Sequence[str]) -> list[str]:
    return [queue_name(key) for key in sorted(queue_keys) if key]


def _is_queue(queue: Any) -> bool:
    return all(hasattr(queue, name) for name in ('connection', 'key', 'name'))
