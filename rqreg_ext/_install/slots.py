"""Searching the modules of a program for references to classes: in globals, and in the objects that these hold.

Nothing here runs code of the program: attributes are read without the program's descriptors, and objects are compared
by identity only.
"""

from __future__ import annotations

import gc
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import CellType, FunctionType, ModuleType
from typing import Any, NamedTuple

# How deep the search goes: module -> class -> attribute -> dict -> list is 5.
DEPTH = 5
# These read `__dict__` without calling an overridden `__getattribute__`.
_module_namespace: Callable[[ModuleType], dict[str, Any]] = ModuleType.__dict__['__dict__'].__get__  # type: ignore[index]
_class_namespace: Callable[[type], Mapping[str, Any]] = type.__dict__['__dict__'].__get__


class Slot(NamedTuple):
    """A variable, attribute or item: its path from the module on, its value, and a function that sets the value."""

    path: str
    value: Any
    put: Callable[[Any], object]


class ContainerType(NamedTuple):
    """How to search a type of object: to list (key, value) of what it holds, to set a value, and to format a key."""

    items: Callable[[Any], Iterable[tuple[Any, Any]]]
    # None if the object is immutable. The objects that it holds are searched all the same.
    put: Callable[[Any, Any, Any], object] | None
    key_format: str


class Module(NamedTuple):
    """A loaded module: its first name in sys.modules, and its globals."""

    name: str
    namespace: dict[str, Any]


def loaded_modules() -> list[Module]:
    """Return the loaded modules that may hold RQ's classes: all except the standard library's and ours."""
    modules: dict[int, Module] = {}
    for name, module in list(sys.modules.items()):
        if issubclass(type(module), ModuleType) and not _is_skipped(name):
            modules.setdefault(id(module), Module(name, _module_namespace(module)))
    return list(modules.values())


def package_of(module_name: Any) -> str:
    """Return the top-level package of a module name; '' if it is not a str."""
    return module_name.partition('.')[0] if type(module_name) is str else ''


def _is_skipped(module_name: Any) -> bool:
    package = package_of(module_name)
    return package in ('', 'rqreg_ext') or (package in sys.stdlib_module_names and package != '__main__')


class ModuleScan:
    """A search for references to certain classes."""

    def __init__(self, changes: list[tuple[type, type]], closed: tuple[type, ...], package: str = '') -> None:
        """Prepare a search.

        Args:
            changes: (class to find, class that is to replace it), for each class.
            closed: Subclasses of these are not searched.
            package: If given, only classes of this package are searched.
        """
        self._changes: dict[int, Any] = {id(old): new for old, new in changes}
        self._closed = closed
        self._package = package
        # By id, because the hash of a class may be computed by a metaclass of the program.
        self._container_types: dict[int, ContainerType | None] = {
            id(held): container_type for held, container_type in _CONTAINER_TYPES.items()
        }
        self._seen: set[int] = set()
        # Keeps these objects alive, so that their ids are not reused.
        self._kept_alive: list[Any] = []

    def slots(self, module: Module) -> list[tuple[Slot, Any]]:
        """Return the slots in a module that hold one of the classes, each with the value that is to replace it."""
        return list(self._inside(_NAMESPACE, module.namespace, (module.name,), DEPTH))

    def _inside(
        self, container_type: ContainerType, holder: Any, path: tuple[Any, ...], depth: int
    ) -> Iterator[tuple[Slot, Any]]:
        # This runs for most objects of a program. So the text of a path is only made when something was found.
        for key, value in container_type.items(holder):
            inner = self._container_types.get(id(type(value)), _UNDECIDED)
            if inner is _UNDECIDED:
                inner = self._container_type_of(type(value))
            if inner is None:
                continue
            here = (*path, container_type.key_format, key)
            new = self._changed(value, depth)
            if new is not value and container_type.put is not None:
                yield Slot(_path_text(here), value, partial(container_type.put, holder, key)), new
            if depth and id(value) not in self._seen and (inner is not _CLASS or self._is_open(value)):
                self._seen.add(id(value))
                yield from self._inside(inner, value, here, depth - 1)

    def _container_type_of(self, held: type) -> ContainerType | None:
        self._kept_alive.append(held)
        found = self._container_types[id(held)] = _CLASS if issubclass(held, type) else None
        return found

    def _changed(self, value: Any, depth: int) -> Any:
        """Return the replacement of the value: a class, or a copy of a tuple; or the value itself."""
        if id(value) in self._changes:
            return self._changes[id(value)]
        if type(value) is not tuple or depth == 0:
            return value
        items = [self._changed(item, depth - 1) for item in value]
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        self._kept_alive.append(value)
        return self._changes.setdefault(id(value), tuple(items))

    def _is_open(self, value: type) -> bool:
        module_name = _class_namespace(value).get('__module__')
        if _is_skipped(module_name) or issubclass(value, self._closed):
            return False
        return not self._package or package_of(module_name) == self._package


def _path_text(path: tuple[Any, ...]) -> str:
    """Format a path as an expression in Python. It holds a module name, then a format and a key for each step."""
    text = path[0]
    for form, key in zip(path[1::2], path[2::2], strict=True):
        # Not the repr of other keys, which may be the program's code.
        text += form.format(
            repr(key) if form == _ITEM and type(key) in (str, int) else key if type(key) is str else '...'
        )
    return str(text)


_ITEM = '[{}]'
_ATTRIBUTE = '.{}'


def _in_dict(value: dict[Any, Any]) -> Iterable[tuple[Any, Any]]:
    # dict.items(), because that of an OrderedDict hashes the keys, which may run the program's code.
    return list(dict.items(value))


def _in_partial(value: partial[Any]) -> Iterable[tuple[Any, Any]]:
    return [('func', value.func), ('args', value.args), ('keywords', value.keywords)]


def _put_in_partial(value: partial[Any], name: str, new: Any) -> None:
    state = {**dict(_in_partial(value)), name: new}
    # __setstate__() also sets the attributes of the partial object itself, if there are any.
    value.__setstate__((*state.values(), value.__dict__ or None))  # type: ignore[attr-defined]


def _in_list(value: list[Any]) -> Iterable[tuple[Any, Any]]:
    return enumerate(list(value))


def _in_class(value: type) -> Iterable[tuple[Any, Any]]:
    return list(_class_namespace(value).items())


def _in_function(function: FunctionType) -> Iterable[tuple[Any, Any]]:
    if function.__defaults__ is not None:
        yield '__defaults__', function.__defaults__
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        # super() without arguments refers to this cell: it must not be replaced.
        if name != '__class__':
            yield name, cell
    # The function's __dict__, if it has one: reading the attribute would create it.
    surroundings = (function.__globals__, getattr(function, '__builtins__'))  # noqa: B009 - typeshed does not know it
    for referent in gc.get_referents(function):
        if type(referent) is dict and not any(referent is known for known in surroundings):
            yield '__kwdefaults__' if referent is function.__kwdefaults__ else '__dict__', referent


def _in_cell(cell: CellType) -> Iterable[tuple[Any, Any]]:
    try:
        return [('cell_contents', cell.cell_contents)]
    except ValueError:
        return []


def _in_wrapper(value: Any) -> Iterable[tuple[Any, Any]]:
    return [('__func__', value.__func__)]


def _in_property(value: property) -> Iterable[tuple[Any, Any]]:
    return [('fget', value.fget), ('fset', value.fset), ('fdel', value.fdel)]


_NAMESPACE = ContainerType(_in_dict, dict.__setitem__, _ATTRIBUTE)
_CLASS = ContainerType(_in_class, type.__setattr__, _ATTRIBUTE)
_CONTAINER_TYPES = {
    dict: ContainerType(_in_dict, dict.__setitem__, _ITEM),
    defaultdict: ContainerType(_in_dict, dict.__setitem__, _ITEM),
    OrderedDict: ContainerType(_in_dict, OrderedDict.__setitem__, _ITEM),
    list: ContainerType(_in_list, list.__setitem__, _ITEM),
    tuple: ContainerType(enumerate, None, _ITEM),
    FunctionType: ContainerType(_in_function, setattr, _ATTRIBUTE),
    CellType: ContainerType(_in_cell, setattr, _ATTRIBUTE),
    staticmethod: ContainerType(_in_wrapper, None, _ATTRIBUTE),
    classmethod: ContainerType(_in_wrapper, None, _ATTRIBUTE),
    property: ContainerType(_in_property, None, _ATTRIBUTE),
    partial: ContainerType(_in_partial, _put_in_partial, _ATTRIBUTE),
}
_UNDECIDED = ContainerType(enumerate, None, _ITEM)
