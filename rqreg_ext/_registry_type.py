"""The metaclass of our registries: where they stand for RQ's classes, they are taken for them."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any


class RegistryType(ABCMeta):
    """The type of our registry classes, each composed of a head in C, BaseRegistry and the RQ class behind them.

    Under install() a program may still hold RQ's own class where nobody can replace it: as the base of a class of
    its own, as the type of an instance. There `isinstance` answers as if there were one class only, which is what the
    program was written for.

    As keys the two are one always, also with only the import line changed: our class equals RQ's and has its hash. So
    it finds what is kept under RQ's class, and a dict or a set has one entry for both. `is` tells them apart, and so
    does `isinstance` with only the import line changed: a registry of RQ's class is none of ours then.

    It is an ABCMeta so that a class may derive from a registry and from an ABC, as it may from RQ's. Our own classes do
    not answer as ABCs, which remember what uninstall() changes.
    """

    def __instancecheck__(cls, instance: Any) -> bool:
        if '_rq_class' not in vars(cls):
            return super().__instancecheck__(instance)
        return type.__instancecheck__(cls, instance) or isinstance(instance, _stood_for_by(cls))

    def __subclasscheck__(cls, subclass: type) -> bool:
        if '_rq_class' not in vars(cls):
            return super().__subclasscheck__(subclass)
        return type.__subclasscheck__(cls, subclass) or issubclass(subclass, _stood_for_by(cls))

    def __eq__(cls, other: object) -> bool:
        return cls is other or other is vars(cls).get('_rq_class', cls)

    def __hash__(cls) -> int:
        return hash(vars(cls)['_rq_class']) if '_rq_class' in vars(cls) else super().__hash__()


def _stood_for_by(registry_class: RegistryType) -> tuple[type, ...]:
    """Return the RQ class whose place this class has taken, if it has taken one."""
    return (vars(registry_class)['_rq_class'],) if stands_for_rq(registry_class) else ()


def stands_for_rq(registry_class: type) -> bool:
    """Tell whether the class passes for the RQ class it is composed of."""
    return '_own_module' in vars(registry_class)


def stand_for_rq(registry_class: Any) -> None:
    """Let the class pass for the RQ class it is composed of, by name too.

    So what is printed or pickled is what plain RQ prints and pickles, and can be read where we are not installed.
    """
    if not stands_for_rq(registry_class):
        registry_class._own_module = registry_class.__module__
        registry_class.__module__ = registry_class._rq_class.__module__


def stand_for_itself(registry_class: Any) -> None:
    """Undo stand_for_rq()."""
    if stands_for_rq(registry_class):
        registry_class.__module__ = registry_class._own_module
        del registry_class._own_module
