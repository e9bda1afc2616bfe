"""Whether commands may be sent in the place of a registry's method: the Python side of route.c.

They may where the method is RQ's, or ours in front of it: nobody has overridden or patched it.
"""

from __future__ import annotations

from typing import Any

from . import _installed_rq
from .registry import BaseRegistry

_NAMES = ('__contains__', 'count', 'get_expired_job_ids', 'get_job_count', 'get_job_ids', 'parse_job_id', 'remove')


def methods_of(composed: Any, name: str) -> tuple[Any, Any]:
    """Return the method that a class of ours has by that name, and that of the RQ class behind it."""
    return getattr(composed, name), getattr(composed._rq_class, name)


_OF_BASE_REGISTRY = {name: methods_of(BaseRegistry, name) for name in _NAMES}


def is_set_on(registry: Any, name: str) -> bool:
    """Tell whether this one registry was given something else under a method's name."""
    return name in getattr(registry, '__dict__', ())


def is_plain(registry: Any, *names: str) -> bool:
    """Tell whether these methods of a registry are those of RQ's BaseRegistry, or ours in front of them."""
    return all(
        not is_set_on(registry, name)
        and any(getattr(type(registry), name, None) is method for method in _OF_BASE_REGISTRY[name])
        for name in names
    )


def has_starts(registry: Any) -> bool:
    """Tell whether the entries of a registry are "job_id:execution_id"."""
    parse = getattr(type(registry), 'parse_job_id', None)
    return parse is _installed_rq.parse_started_job_id and not is_set_on(registry, 'parse_job_id')
