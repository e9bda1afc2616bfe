"""Methods that somebody replaced in RQ's own registry classes before ours took their place.

They are called while they stand there: our methods ask RQ's classes at each call. Here our classes show them too, to
whoever looks at the method, to unwrap it for example.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._rq_methods import Forwarded, find, is_core

_NOT_METHODS = {'__module__', '__doc__', '__dict__', '__weakref__', '__dictoffset__', '__weaklistoffset__'}


class PatchedMethod:
    """A method of an RQ class that is not RQ's any more, shown by our class."""

    def __init__(self, registry_class: Any, name: str) -> None:
        self.path = f'{registry_class.__name__}.{name}'
        self._class = registry_class
        self._name = name
        self._shown = Forwarded(name, registry_class)

    def show(self) -> None:
        """Let our class show it."""
        setattr(self._class, self._name, self._shown)

    def forget(self) -> None:
        """Let our class be as it was."""
        if vars(self._class).get(self._name) is self._shown:
            delattr(self._class, self._name)


def show_patches(registry_class: Any) -> Iterator[PatchedMethod]:
    """Show the methods that were replaced in RQ's class, where one of ours stands in front of them; yield each."""
    for name in vars(registry_class._rq_class).keys() - _NOT_METHODS:
        is_ours = is_core(next(base for base in registry_class.__mro__ if name in vars(base)))
        if is_ours and find(registry_class._rq_class, name).origin is None:
            patched = PatchedMethod(registry_class, name)
            patched.show()
            yield patched
