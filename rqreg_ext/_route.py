"""Whether commands may be sent in the place of a registry's method: the Python side of route.c.

They may where the method is RQ's, or ours in front of it: nobody has overridden or patched it.
"""

from __future__ import annotations

from typing import Any

from . import _installed_rq
from .registry import BaseRegistry

_NAMES = (
    '__contains__',
    'count',
    'get_expired_job_ids',
    'get_job_count',
    'get_job_ids',
    'parse_job_id',
    'remove',
    'requeue',
)


def methods_of(composed: Any, name: str) -> tuple[Any, Any]:
    """Return the method that a class of ours has by that name, and that of the RQ class behind it."""
    return getattr(composed, name), getattr(composed._rq_class, name)


_OF_BASE_REGISTRY = {name: methods_of(BaseRegistry, name) for name in _NAMES}


def is_set_on(registry: Any, *names: str) -> bool:
    """Tell whether this one registry was given something else under one of these names."""
    return not vars(registry).keys().isdisjoint(names)


def is_plain(registry: Any, *names: str) -> bool:
    """Tell whether these methods of a registry are those of RQ's BaseRegistry, or ours in front of them."""
    return not is_set_on(registry, *names) and is_plain_class(type(registry), *names)


def is_plain_class(registry_class: type, *names: str) -> bool:
    """Tell the same of a class."""
    return all(getattr(registry_class, name, None) in _OF_BASE_REGISTRY[name] for name in names)


def parses_as_rq(registry_class: type) -> bool:
    """Tell whether a class takes its entries for job ids, or for "job_id:execution_id", as RQ does."""
    parse = getattr(registry_class, 'parse_job_id', None)
    return parse is _installed_rq.parse_started_job_id or is_plain_class(registry_class, 'parse_job_id')
