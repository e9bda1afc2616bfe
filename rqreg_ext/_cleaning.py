"""RQ's cleanup of registries in front of reads, in the same write: the Python side of registry_call.c."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from ._exchange import INTEGER, VALUE, Command, exchange, without_errors
from ._installed_rq import Cleanup
from ._installed_rq import current_timestamp as now
from ._route import cleanup_of, is_set_on


class Cleaning(NamedTuple):
    """The cleanup of a registry, as the command that does it; no command where RQ does nothing.

    Where RQ's cleanup would work on jobs, the command asks for one of them: if there is any, the registry's own is
    called. It is the command by which RQ's cleanup reads them, so that whoever may do that may do this.
    """

    commands: Sequence[Command]
    is_done_by_them: bool

    def finds_work(self, replies: Iterable[Any]) -> bool:
        """Tell by the replies to the commands whether the registry's own cleanup is to be called."""
        return not self.is_done_by_them and any(replies)


__all__ = ['NOTHING_TO_CLEAN', 'Cleaning', 'ToClean', 'clean_and_exchange', 'cleaning', 'cleaning_of', 'now']

NOTHING_TO_CLEAN = Cleaning((), is_done_by_them=True)


def cleaning(kind: Cleanup | None, key: str, timestamp: int) -> Cleaning | None:
    """Return the cleanup of a kind for the registry of a key; None where the registry's own is to be called anyway."""
    if kind is None:
        return None
    if kind is Cleanup.NOTHING:
        return NOTHING_TO_CLEAN
    if kind is Cleanup.IF_ANY:
        return Cleaning(((VALUE, 'ZRANGE', key, 0, 0),), is_done_by_them=False)
    if kind is Cleanup.IF_EXPIRED:
        return Cleaning(((VALUE, 'ZRANGEBYSCORE', key, 0, timestamp, 'LIMIT', 0, 1),), is_done_by_them=False)
    return Cleaning(((INTEGER, 'ZREMRANGEBYSCORE', key, 0, timestamp),), is_done_by_them=True)


def cleaning_of(registry: Any, timestamp: int) -> Cleaning | None:
    """Return the cleanup that a caller of the registry would get; None where its own is to be called anyway."""
    if is_set_on(registry, 'cleanup', 'get_expired_job_ids', 'parse_job_id'):
        return None
    return cleaning(cleanup_of(type(registry)), registry.key, timestamp)


# The cleanup of a registry, and its own to be called where that has work to do.
ToClean = tuple[Cleaning | None, Callable[[], Any]]


def clean_and_exchange(client: Any, registries: Iterable[ToClean], reads: Sequence[Command]) -> list[Any]:
    """Clean up the registries as RQ does, and return the replies to the reads after that.

    One round trip. Where a registry's own cleanup has work to do, that work and one more.
    Raises the first error that the server answers to a cleanup.
    """
    to_clean = list(registries)
    commands = [command for known, _ in to_clean if known is not None for command in known.commands]
    replies = exchange(client, [*commands, *reads])
    remaining = iter(without_errors(replies[: len(commands)]))
    to_call = [
        own for known, own in to_clean if known is None or known.finds_work([next(remaining) for _ in known.commands])
    ]
    if to_call:
        for own in to_call:
            own()
        # The commands too: what was moved to another registry may have expired there.
        replies = exchange(client, [*commands, *reads])
        without_errors(replies[: len(commands)])
    return replies[len(commands) :]
