"""Which of RQ's functions implements a method at this moment, and whether names in RQ's modules are still RQ's own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from .originals import function_of, is_defined, is_original

CORE = 'rqreg_ext._core'

# A module's name and a qualified name in it, as in ('rq.registry', 'BaseRegistry.remove').
Origin = tuple[str, str]


class Forwarded:
    """Shows in a class of ours the method that replaces RQ's in RQ's class, for as long as it is there."""

    def __init__(self, name: str, registry_class: Any) -> None:
        self._name = name
        self._class = registry_class

    def __get__(self, instance: Any, owner: Any) -> Any:
        origin = find(self._class._rq_class, self._name).origin
        # RQ's again: our method in front of it comes next.
        start = self._class if origin is not None else _core_class(self._class, self._name)
        return getattr(super(start, owner if instance is None else instance), self._name)


class Found(NamedTuple):
    """The result of looking up a method: RQ's function that defines it, or None if the method is not RQ's."""

    origin: Origin | None
    # The function whose code was looked at, if any.
    function: FunctionType | None
    code: CodeType | None


NOTHING = Found(None, None, None)


def find(owner: type, name: str) -> Found:
    """Find out which of RQ's functions a caller of the method gets, by itself or through our method in front of it."""
    for _, found in definitions(owner, name):
        return found
    return NOTHING


def definitions(owner: type, name: str) -> Iterator[tuple[bool, Found]]:
    """Yield each definition that is not ours, and whether a class of the core precedes it directly in the MRO."""
    follows_core = False
    for defining in owner.__mro__:
        namespace = vars(defining)
        if name not in namespace or _is_ours(defining, name):
            continue
        if is_core(defining):
            follows_core = True
            continue
        yield follows_core, _found(namespace[name], (defining.__module__, f'{defining.__qualname__}.{name}'))
        follows_core = False


def _is_ours(defining: type, name: str) -> bool:
    """Tell whether a class of ours has this method of its own, which calls RQ's."""
    namespace = vars(defining)
    value = namespace[name]
    if type(value) is Forwarded:
        return True
    if '_rq_class' not in namespace:
        return False
    module = namespace.get('_own_module', namespace['__module__'])
    return is_original(value, module, f'{defining.__qualname__}.{name}')


def _core_class(owner: type, name: str) -> type:
    return next(base for base in owner.__mro__ if name in vars(base) and is_core(base))


def is_core(owner: type) -> bool:
    """Tell whether a class is one of the core's."""
    return vars(owner).get('__module__') == CORE


def _found(value: Any, origin: Origin) -> Found:
    function = function_of(value)
    # Read before the function is examined, so that a replacement during the examination is noticed.
    code = None if function is None else function.__code__
    return Found(origin if is_original(value, *origin) else None, function, code)


# ---- Requirements


class Requirement(NamedTuple):
    """A global of one of RQ's modules, or a method of a class there, and the function of RQ that it must be.

    What no release defines under that name is not required of it.
    """

    module: str
    # None for a global.
    class_name: str | None
    name: str
    origin: Origin


class ClassRequirement(NamedTuple):
    """A global of one of RQ's modules that must be RQ's class of that name, or ours in its place."""

    module: str
    name: str
    home: str


class ConstantRequirement(NamedTuple):
    """An attribute of one of RQ's classes that must be the object that it was when we read it."""

    module: str
    class_name: str
    name: str
    value: Any


AnyRequirement = Requirement | ClassRequirement | ConstantRequirement


def is_class_of_rq(found: Any, module: str, name: str) -> bool:
    """Tell whether this is RQ's class of that name, or ours in its place."""
    if not isinstance(found, type):
        return False
    rq_class = vars(found).get('_rq_class', found)
    return isinstance(rq_class, type) and (rq_class.__module__, rq_class.__qualname__) == (module, name)


class RequirementCheck:
    """One look at all requirements: whether they are met, and what the answer depends on, as _core.Guard takes it."""

    def __init__(self) -> None:
        self.is_met = True
        self._names: dict[tuple[int, str], tuple[Any, ...]] = {}
        self._types: dict[int, type] = {}
        self._functions: dict[int, tuple[Any, Any]] = {}

    def result(self) -> tuple[bool, tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]:
        """Return the result of Guard's look()."""
        return (
            self.is_met,
            tuple(self._names.values()),
            tuple(self._types.values()),
            tuple(self._functions.values()),
        )

    def at(self, required: AnyRequirement) -> None:
        """Look at one requirement."""
        module = sys.modules.get(required.module)
        if type(module) is not ModuleType:
            self.is_met = False
        elif isinstance(required, ClassRequirement):
            self.is_met &= is_class_of_rq(self._global(module, required.name), required.home, required.name)
        elif isinstance(required, ConstantRequirement):
            owner = self._class(module, required.class_name)
            self.is_met &= owner is not None and getattr(owner, required.name, None) is required.value
        elif required.class_name is None:
            self._note(_found(self._global(module, required.name), required.origin), required.origin)
        else:
            owner = self._class(module, required.class_name)
            self._note(NOTHING if owner is None else find(owner, required.name), required.origin)

    def _global(self, module: ModuleType, name: str) -> Any:
        namespace = vars(module)
        found = namespace.get(name, self)
        # As Guard has it: two for a name that is missing.
        self._names[id(namespace), name] = (namespace, name) if found is self else (namespace, name, found)
        return found

    def _class(self, module: ModuleType, name: str) -> type | None:
        owner = self._global(module, name)
        if not isinstance(owner, type):
            return None
        self._types[id(owner)] = owner
        return owner

    def _note(self, found: Found, expected: Origin) -> None:
        if found.function is not None:
            self._functions[id(found.function)] = found[1:]
        self.is_met &= found.origin == expected


def make_look(names: Callable[[], Iterable[AnyRequirement]]) -> Callable[[], Any]:
    """Return the look() of a Guard that holds where all requirements are met; they are asked for at the first look."""
    required: list[AnyRequirement] = []

    def look() -> Any:
        if not required:
            required.extend(names())
        looking = RequirementCheck()
        for one in required:
            looking.at(one)
        return looking.result()

    return look


def required_of(names: Iterable[str], homes: Mapping[str, str]) -> Iterator[AnyRequirement]:
    """Yield what is required of 'rq.module.name', 'rq.module.Class' or 'rq.module.Class.name'; see Requirement.

    homes: the modules that define what other modules of RQ import, by its name.
    """
    for dotted in names:
        package, module_name, name, *attribute = dotted.split('.')
        module = f'{package}.{module_name}'
        home = homes.get(name, module)
        if attribute:
            qualname = f'{name}.{attribute[0]}'
            if is_defined(module, qualname):
                yield Requirement(module, name, attribute[0], (module, qualname))
        elif is_defined(home, name) and name in vars(import_module(module)):
            is_class = name[0].isupper()
            yield ClassRequirement(module, name, home) if is_class else Requirement(module, None, name, (home, name))
