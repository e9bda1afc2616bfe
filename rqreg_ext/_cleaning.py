"""RQ's cleanup of registries in front of reads, in the same write: the Python side of registry_call.c."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from . import _installed_rq
from ._exchange import INTEGER, Command, exchange, without_errors
from ._installed_rq import Cleanup
from ._route import has_starts, is_plain, is_set_on, methods_of
from .executions import ExecutionRegistry
from .registry import FailedJobRegistry, FinishedJobRegistry

_KINDS: dict[Any, Cleanup] = dict(_installed_rq.cleanups)
if _installed_rq.is_known:
    for _dropping in (FinishedJobRegistry, FailedJobRegistry, ExecutionRegistry):
        _KINDS |= dict.fromkeys(methods_of(_dropping, 'cleanup'), Cleanup.DROPS_EXPIRED)


class Cleaning(NamedTuple):
    """The cleanup of a registry, as the command that does it; no command where RQ does nothing.

    Where RQ's cleanup would work on jobs, the command asks how many those are: if any, the registry's own is called.
    """

    commands: Sequence[Command]
    is_done_by_them: bool

    def finds_work(self, replies: Iterable[int]) -> bool:
        """Tell by the replies to the commands whether the registry's own cleanup is to be called."""
        return not self.is_done_by_them and any(replies)


def cleaning_of(registry: Any) -> Cleaning | None:
    """Return the cleanup that a caller of the registry would get; None where its own is to be called in any case."""
    kind = None if is_set_on(registry, 'cleanup') else _KINDS.get(type(registry).cleanup)
    if kind is None:
        return None
    if kind is Cleanup.NOTHING:
        return Cleaning((), is_done_by_them=True)
    if kind is Cleanup.IF_ANY:
        return Cleaning([(INTEGER, 'ZCARD', registry.key)], is_done_by_them=False)
    now = _installed_rq.registry_globals['current_timestamp']()
    if kind is Cleanup.DROPS_EXPIRED:
        return Cleaning([(INTEGER, 'ZREMRANGEBYSCORE', registry.key, 0, now)], is_done_by_them=True)
    # RQ's cleanup asks the registry itself for those that expired.
    if not is_plain(registry, 'get_expired_job_ids') or not (
        is_plain(registry, 'parse_job_id') or has_starts(registry)
    ):
        return None
    return Cleaning([(INTEGER, 'ZCOUNT', registry.key, 0, now)], is_done_by_them=False)


def clean_and_exchange(client: Any, registries: Sequence[Any], reads: Sequence[Command]) -> list[Any]:
    """Clean up the registries as RQ does, and return the replies to the reads after that.

    One round trip. Where a registry's own cleanup has work to do, that work and one more.
    Raises the first error that the server answers to a cleanup.
    """
    cleanings = [cleaning_of(registry) for registry in registries]
    commands = [command for cleaning in cleanings if cleaning is not None for command in cleaning.commands]
    replies = exchange(client, [*commands, *reads])
    remaining = iter(without_errors(replies[: len(commands)]))
    to_clean = [
        registry
        for registry, cleaning in zip(registries, cleanings, strict=True)
        if cleaning is None or cleaning.finds_work([next(remaining) for _ in cleaning.commands])
    ]
    if to_clean:
        for registry in to_clean:
            registry.cleanup()
        # The commands too: what was moved to another registry may have expired there.
        replies = exchange(client, [*commands, *reads])
        without_errors(replies[: len(commands)])
    return replies[len(commands) :]
