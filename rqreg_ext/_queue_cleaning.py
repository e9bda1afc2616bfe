"""The cleanup of all registries of many queues, which makes a registry only where RQ has work to do in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from . import registry as registries
from ._cleaning import ToClean, cleaning, cleaning_of, now
from ._route import cleanup_of
from ._rq_keys import class_name, installed_keys

if TYPE_CHECKING:
    from rq import Queue


def registries_to_clean(client: Any, queues: Mapping[str, Queue | None]) -> Iterator[ToClean]:
    """Yield the cleanup of each registry of the queues: of the Queue object, or of the name alone."""
    templates = installed_keys().templates
    classes = {name: getattr(registries, class_name(name)) for name in templates}
    kinds = {name: cleanup_of(registry_class) for name, registry_class in classes.items()}
    timestamp = now()
    for queue_name, queue in queues.items():
        for name, template in templates.items():
            if queue is not None:
                registry = getattr(queue, f'{name}_job_registry')
                yield cleaning_of(registry, timestamp), registry.cleanup
            else:
                known = cleaning(kinds[name], template.format(queue_name), timestamp)
                yield known, partial(_clean_up, classes[name], queue_name, client)


def _clean_up(registry_class: Any, queue_name: str, client: Any) -> None:
    registry_class(queue_name, connection=client).cleanup()
