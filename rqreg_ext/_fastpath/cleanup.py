"""RQ's cleanup of registries in the same round trip as the reads that follow it.

registry_call.c does the same for the reads of one registry, and has the commands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from .. import _core
from .dispatch import cleanup_of_registry
from .exchange import VALUE, Command, exchange, without_errors
from .releases import CleanupKind, current_timestamp


class CleanupCommands(NamedTuple):
    """The commands of a registry's cleanup; none if RQ's cleanup() does nothing.

    If RQ's cleanup() processes jobs, they cannot do that. Then the command only checks whether there are such jobs,
    and if so, the registry's cleanup() must be called. RQ's cleanup() reads them by the same command, so that no other
    permission is needed.
    """

    commands: Sequence[Command]
    is_done_by_them: bool

    def finds_work(self, replies: Iterable[Any]) -> bool:
        """Return whether the registry's cleanup() must be called, given the replies to the commands."""
        return not self.is_done_by_them and any(replies)


__all__ = [
    'NO_CLEANUP',
    'CleanupCommands',
    'RegistryCleanup',
    'clean_and_exchange',
    'cleanup_commands',
    'cleanup_commands_of',
    'current_timestamp',
]

NO_CLEANUP = CleanupCommands((), is_done_by_them=True)


def cleanup_commands(cleanup: CleanupKind | None, key: str, timestamp: int) -> CleanupCommands | None:
    """Return the commands of this cleanup for the registry with this key; None if its cleanup() must be called anyway.

    Entries with a score up to `timestamp`, a Unix timestamp in seconds, have expired.
    """
    if cleanup is None:
        return None
    if cleanup is CleanupKind.NOTHING:
        return NO_CLEANUP
    command = (VALUE, *_core.cleanup_command(cleanup, key, timestamp))
    return CleanupCommands((command,), is_done_by_them=cleanup is CleanupKind.DROPS_EXPIRED)


def cleanup_commands_of(registry: Any, timestamp: int) -> CleanupCommands | None:
    """Return the commands of a registry's cleanup; None if its cleanup() must be called, because it was overridden."""
    return cleanup_commands(cleanup_of_registry(registry), registry.key, timestamp)


# The commands of a registry's cleanup, and its cleanup(), which is called if they find work.
RegistryCleanup = tuple[CleanupCommands | None, Callable[[], Any]]


def clean_and_exchange(client: Any, registries: Iterable[RegistryCleanup], reads: Sequence[Command]) -> list[Any]:
    """Clean up the registries as RQ does, and return the replies to the reads that follow.

    One round trip; if a cleanup() has to be called, one more and those of cleanup(). Raises the first error that the
    server returns for a cleanup.
    """
    to_clean = list(registries)
    commands = [command for known, _ in to_clean if known is not None for command in known.commands]
    replies = exchange(client, [*commands, *reads])
    remaining = iter(without_errors(replies[: len(commands)]))
    to_call = [
        cleanup
        for known, cleanup in to_clean
        if known is None or known.finds_work([next(remaining) for _ in known.commands])
    ]
    if to_call:
        for cleanup in to_call:
            cleanup()
        # The commands are repeated too: a job that was moved to another registry may have expired there.
        replies = exchange(client, [*commands, *reads])
        without_errors(replies[: len(commands)])
    return replies[len(commands) :]
