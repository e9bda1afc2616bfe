"""Methods of RQ's registry classes that were patched before install().

Our methods look for patches of RQ's classes at each call, so a patch is in effect anyway. Here our class also gets the
patched method as an attribute, for code that reads it, to unwrap it for example.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._fastpath.rq_methods import Forwarded, find, is_core

_NOT_METHODS = {'__module__', '__doc__', '__dict__', '__weakref__', '__dictoffset__', '__weaklistoffset__'}


class PatchedMethod:
    """A patched method of an RQ class, made visible in our class."""

    def __init__(self, registry_class: Any, name: str) -> None:
        self.path = f'{registry_class.__name__}.{name}'
        self._class = registry_class
        self._name = name
        self._attribute = Forwarded(name, registry_class)

    def show(self) -> None:
        """Add the method to our class."""
        setattr(self._class, self._name, self._attribute)

    def hide(self) -> None:
        """Remove the method from our class."""
        if vars(self._class).get(self._name) is self._attribute:
            delattr(self._class, self._name)


def show_patches(registry_class: Any) -> Iterator[PatchedMethod]:
    """Make the patched methods of RQ's class visible where a method in C would hide them; yield each."""
    for name in vars(registry_class._rq_class).keys() - _NOT_METHODS:
        is_ours = is_core(next(base for base in registry_class.__mro__ if name in vars(base)))
        if is_ours and find(registry_class._rq_class, name).origin is None:
            patched = PatchedMethod(registry_class, name)
            patched.show()
            yield patched
