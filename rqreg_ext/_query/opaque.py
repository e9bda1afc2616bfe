"""What stands for an object that is not unpickled."""

from __future__ import annotations

from typing import Any, NoReturn


class NotPlainError(Exception):
    """A value cannot be known without unpickling an object."""


class _OpaqueType(type):
    """The type of Opaque, which itself stands for a class or a function."""

    def __eq__(cls, other: object) -> NoReturn:
        raise NotPlainError

    __hash__ = type.__hash__


class Opaque(metaclass=_OpaqueType):
    """An object of which the pickle says how to make it, and that is not made."""

    __slots__ = ()

    def __new__(cls, *_: Any, **__: Any) -> Opaque:
        """Take the arguments of the object, and keep none."""
        return object.__new__(cls)

    def __eq__(self, other: object) -> NoReturn:
        raise NotPlainError

    __hash__ = object.__hash__

    def __call__(self, *_: Any) -> Opaque:
        """Stand for a function that is found by getattr()."""
        return self

    # What an unpickler calls to fill an object.
    def __setstate__(self, state: Any) -> None: ...
    def __setitem__(self, key: Any, value: Any) -> None: ...
    def append(self, item: Any) -> None:
        """Keep no item."""

    def add(self, item: Any) -> None:
        """Keep no item."""
