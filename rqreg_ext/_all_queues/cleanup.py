"""RQ's cleanup of all registries of many queues. Registry objects are created only for those with work to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from .._fastpath.cleanup import RegistryCleanup, cleanup_commands, cleanup_commands_of, current_timestamp
from .._fastpath.dispatch import cleanup_of
from .._fastpath.rq_keys import REGISTRIES
from .selection import class_named

if TYPE_CHECKING:
    from rq import Queue


def registries_to_clean(client: Any, queues: Mapping[str, Queue | None]) -> Iterator[RegistryCleanup]:
    """Yield the cleanup of each registry of the queues; `queues` has their names, with the Queue objects if given."""
    classes = {name: class_named(name) for name in REGISTRIES}
    kinds = {name: cleanup_of(registry_class) for name, registry_class in classes.items()}
    timestamp = current_timestamp()
    for queue_name, queue in queues.items():
        for name, registry_kind in REGISTRIES.items():
            if queue is not None:
                registry = getattr(queue, f'{name}_job_registry')
                yield cleanup_commands_of(registry, timestamp), registry.cleanup
            else:
                commands = cleanup_commands(kinds[name], registry_kind.key(queue_name), timestamp)
                yield commands, partial(_clean_up, classes[name], queue_name, client)


def _clean_up(registry_class: Any, queue_name: str, client: Any) -> None:
    registry_class(queue_name, connection=client).cleanup()
