"""Methods that somebody replaced in RQ's own registry classes before ours took their place: those count, not our head.

Instrumentation wraps them so, and applications mend them so. What is replaced later is replaced in our classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType
from typing import Any

_NOT_METHODS = {'__module__', '__doc__', '__dict__', '__weakref__', '__dictoffset__', '__weaklistoffset__'}
_MISSING = object()


class PatchedMethod:
    """A method of an RQ class that is not RQ's any more, put into our class before its head."""

    def __init__(self, registry_class: type, name: str) -> None:
        self.path = f'{registry_class.__name__}.{name}'
        self._class = registry_class
        self._name = name
        self._ours = vars(registry_class).get(name, _MISSING)

    def honour(self, method: Any) -> None:
        """Let our class have it."""
        setattr(self._class, self._name, method)

    def forget(self) -> None:
        """Let our class be as it was."""
        if self._ours is _MISSING:
            delattr(self._class, self._name)
        else:
            setattr(self._class, self._name, self._ours)


def honour_patches(registry_class: Any) -> Iterator[PatchedMethod]:
    """Put what was replaced in the RQ class behind ours into ours, where a head would stand before it; yield each."""
    in_head = {name for base in registry_class.__mro__ if base.__module__ == 'rqreg_ext._core' for name in vars(base)}
    for name, method in list(vars(registry_class._rq_class).items()):
        if name in in_head - _NOT_METHODS and not _is_rqs(method):
            patched = PatchedMethod(registry_class, name)
            patched.honour(method)
            yield patched


def _is_rqs(method: Any) -> bool:
    """Tell whether a method was defined in RQ, whatever it claims of itself."""
    if isinstance(method, staticmethod | classmethod):
        method = method.__func__
    elif isinstance(method, property):
        method = method.fget
    return type(method) is FunctionType and method.__globals__['__name__'].partition('.')[0] == 'rq'
