"""The metaclass of our registries, by which they can impersonate RQ's classes."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any


class RegistryType(ABCMeta):
    """The type of our registry classes. Each derives from a class in C, from the RQ class and from BaseRegistry.

    After install() a program may still refer to RQ's class where it cannot be replaced: as the base of a class, or as
    the type of an instance. Therefore isinstance() and issubclass() treat both classes as one while ours impersonates
    RQ's.

    Our class always equals RQ's class and has the same hash, also without install(). So it finds entries of a dict
    whose key is RQ's class. `is` distinguishes them. So does isinstance() without install(): then an instance of RQ's
    class is not an instance of ours.

    The metaclass derives from ABCMeta so that a program can derive a class from a registry and an ABC, as it can from
    RQ's. Our own classes do not use the checks of ABCMeta, which cache results that uninstall() changes.
    """

    def __instancecheck__(cls, instance: Any) -> bool:
        if '_rq_class' not in vars(cls):
            return super().__instancecheck__(instance)
        return type.__instancecheck__(cls, instance) or isinstance(instance, _impersonated_class(cls))

    def __subclasscheck__(cls, subclass: type) -> bool:
        if '_rq_class' not in vars(cls):
            return super().__subclasscheck__(subclass)
        return type.__subclasscheck__(cls, subclass) or issubclass(subclass, _impersonated_class(cls))

    def __eq__(cls, other: object) -> bool:
        return cls is other or other is vars(cls).get('_rq_class', cls)

    def __hash__(cls) -> int:
        return hash(vars(cls)['_rq_class']) if '_rq_class' in vars(cls) else super().__hash__()


def set_rq_class(registry_class: Any) -> None:
    """Set the attribute `_rq_class` of a class of ours to the RQ class that it derives from."""
    registry_class._rq_class = next(
        base for base in registry_class.__bases__ if base.__module__.partition('.')[0] == 'rq'
    )


def _impersonated_class(registry_class: RegistryType) -> tuple[type, ...]:
    """Return the RQ class that this class impersonates, in a tuple; () if it impersonates none."""
    return (vars(registry_class)['_rq_class'],) if impersonates_rq(registry_class) else ()


def impersonates_rq(registry_class: type) -> bool:
    """Return whether the class impersonates the RQ class that it derives from."""
    return '_own_module' in vars(registry_class)


def impersonate_rq(registry_class: Any) -> None:
    """Make the class impersonate the RQ class that it derives from: in isinstance(), and by its module name.

    So the class is printed and pickled as RQ's class is, and the pickle can be loaded without rqreg_ext.
    """
    if not impersonates_rq(registry_class):
        registry_class._own_module = registry_class.__module__
        registry_class.__module__ = registry_class._rq_class.__module__


def stop_impersonating(registry_class: Any) -> None:
    """Undo impersonate_rq()."""
    if impersonates_rq(registry_class):
        registry_class.__module__ = registry_class._own_module
        del registry_class._own_module
