"""Which methods of a registry or a queue are RQ's own, or ours in front of RQ's own: the Python side of dispatch.c.

Where they are, commands and scripts may be sent in their place. It is asked of the classes as they are at each call: a
method that somebody patched a moment ago is theirs, and one that was put back is RQ's again.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Any

from . import _core
from ._installed_rq import CLEANUPS, ENTRIES, METHODS, Cleanup, Entries, Method, texts_guard
from ._rq_methods import Found, definitions, find

_OF_QUEUES = [qualname.rpartition('.')[2] for module, qualname in METHODS if module == 'rq.queue']
_OF_REGISTRIES = sorted({qualname.rpartition('.')[2] for module, qualname in METHODS if module != 'rq.queue'})


def methods_of(owner: type) -> tuple[int, int, int, int, tuple[Any, ...]]:
    """Return (in_front, as_called, cleanup, entries, functions) of a type; see dispatch.h.

    functions: (function, code) of all that this depends on beside the type.
    """
    # Whoever answers for each attribute himself is asked for each, by RQ's own methods.
    if owner.__getattribute__ is not object.__getattribute__:  # type: ignore[comparison-overlap]
        return 0, 0, 0, Entries.UNKNOWN, ()
    names = _OF_QUEUES if issubclass(owner, _core.Queue) else _OF_REGISTRIES
    defined = [list(definitions(owner, name)) for name in names]
    cleanup, parse_job_id = find(owner, 'cleanup'), find(owner, 'parse_job_id')
    everything = [*(found for of_name in defined for _, found in of_name), cleanup, parse_job_id]
    return (
        _methods(found for of_name in defined for is_behind_core, found in of_name if is_behind_core),
        _methods(of_name[0][1] for of_name in defined if of_name),
        CLEANUPS.get(cleanup.origin, 0),  # type: ignore[arg-type]
        ENTRIES.get(parse_job_id.origin, Entries.UNKNOWN),  # type: ignore[arg-type]
        tuple({id(found.function): found[1:] for found in everything if found.function is not None}.values()),
    )


def _methods(found: Iterable[Found]) -> int:
    return reduce(or_, (METHODS.get(one.origin, 0) for one in found), 0)  # type: ignore[arg-type]


# ---- Asked by the calls


def is_set_on(registry: Any, *names: str) -> bool:
    """Tell whether this one registry was given something else under one of these names."""
    return not vars(registry).keys().isdisjoint(names)


def is_plain(registry: Any, *methods: Method) -> bool:
    """Tell whether these methods of a registry are those of RQ's BaseRegistry, or ours in front of them."""
    return not is_set_on(registry, *map(_name_of, methods)) and is_plain_class(type(registry), *methods)


def is_plain_class(registry_class: type, *methods: Method) -> bool:
    """Tell the same of a class."""
    _, as_called, _, _ = _core.methods_of(registry_class)
    return all(as_called & method for method in methods)


def cleanup_of(registry_class: type) -> Cleanup | None:
    """Return what the cleanup of a class does; None where only itself knows."""
    _, as_called, cleanup, entries = _core.methods_of(registry_class)
    # RQ's cleanup asks the registry itself for those that expired.
    if cleanup == Cleanup.IF_EXPIRED and not (as_called & Method.GET_EXPIRED_JOB_IDS and entries):
        return None
    return Cleanup(cleanup) if cleanup else None


def entries_of(registry: Any) -> Entries:
    """Return what a registry takes its entries for, by its parse_job_id()."""
    if is_set_on(registry, 'parse_job_id') or not texts_guard.holds():
        return Entries.UNKNOWN
    return Entries(_core.methods_of(type(registry))[3])


def _name_of(method: Method) -> str:
    return _SPELLED[method]


_SPELLED = {method: qualname.rpartition('.')[2] for (_, qualname), method in METHODS.items()}
