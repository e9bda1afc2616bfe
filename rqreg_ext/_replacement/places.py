"""Where the modules of a program hold classes: in their globals, and in what stands in these.

Nothing here runs code of the modules: no attribute of theirs is asked for, and nothing is compared but by identity.
"""

from __future__ import annotations

import gc
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import CellType, FunctionType, ModuleType
from typing import Any, NamedTuple

# A table of views of registries: module -> class -> attribute -> dict -> list. Deeper is not looked.
DEPTH = 5
# Whatever a module's or a class's own type does on attribute access.
_module_namespace: Callable[[ModuleType], dict[str, Any]] = ModuleType.__dict__['__dict__'].__get__  # type: ignore[index]
_class_namespace: Callable[[type], Mapping[str, Any]] = type.__dict__['__dict__'].__get__


class Place(NamedTuple):
    """A variable, an attribute or an item: its path from the module on, what stands in it, and how to change that."""

    path: str
    value: Any
    put: Callable[[Any], object]


class Kind(NamedTuple):
    """A kind of object that holds others: what it holds, by which keys, and how one of them is changed and named."""

    items: Callable[[Any], Iterable[tuple[Any, Any]]]
    # None where it cannot be changed, only what it holds can.
    put: Callable[[Any, Any, Any], object] | None
    path: str


class Module(NamedTuple):
    """A loaded module: the first name it is loaded by, and its globals."""

    name: str
    namespace: dict[str, Any]


def loaded_modules() -> list[Module]:
    """Return the loaded modules that may hold a third party's classes: all but the standard library's and ours."""
    modules: dict[int, Module] = {}
    for name, module in list(sys.modules.items()):
        if issubclass(type(module), ModuleType) and not _is_passed_over(name):
            modules.setdefault(id(module), Module(name, _module_namespace(module)))
    return list(modules.values())


def package_of(module_name: Any) -> str:
    """Return the package that a module of this name belongs to; nothing for what is no name."""
    return module_name.partition('.')[0] if type(module_name) is str else ''


def _is_passed_over(module_name: Any) -> bool:
    package = package_of(module_name)
    return package in ('', 'rqreg_ext') or (package in sys.stdlib_module_names and package != '__main__')


class Search:
    """The search for the places that hold certain classes."""

    def __init__(self, changes: list[tuple[type, type]], closed: tuple[type, ...], package: str = '') -> None:
        """Take pairs of what is looked for and what is to stand there; subclasses of `closed` are not entered.

        Nor are classes of other packages than `package`, if one is named: a new import has nothing of its own in them.
        """
        self._changes: dict[int, Any] = {id(old): new for old, new in changes}
        self._closed = closed
        self._package = package
        # By the id of the type, whose own hash is the program's code.
        self._kinds: dict[int, Kind | None] = {id(held): kind for held, kind in _KINDS.items()}
        self._seen: set[int] = set()
        # What no other object may get the id of.
        self._held: list[Any] = []

    def places(self, module: Module) -> list[tuple[Place, Any]]:
        """Return the places in a module that hold one of the classes, each with what is to stand there instead."""
        return list(self._inside(_NAMESPACE, module.namespace, (module.name,), DEPTH))

    def _inside(self, kind: Kind, holder: Any, path: tuple[Any, ...], depth: int) -> Iterator[tuple[Place, Any]]:
        # Most of a program goes through here: names are made of what was found, not of what was looked at.
        for key, value in kind.items(holder):
            inner = self._kinds.get(id(type(value)), _UNDECIDED)
            if inner is _UNDECIDED:
                inner = self._kind_of(type(value))
            if inner is None:
                continue
            here = (*path, kind.path, key)
            new = self._changed(value, depth)
            if new is not value and kind.put is not None:
                yield Place(_spelled(here), value, partial(kind.put, holder, key)), new
            if depth and id(value) not in self._seen and (inner is not _CLASS or self._is_open(value)):
                self._seen.add(id(value))
                yield from self._inside(inner, value, here, depth - 1)

    def _kind_of(self, held: type) -> Kind | None:
        self._held.append(held)
        kind = self._kinds[id(held)] = _CLASS if issubclass(held, type) else None
        return kind

    def _changed(self, value: Any, depth: int) -> Any:
        """Return what is to stand instead of the value: a class, or a tuple made anew; or the value itself."""
        if id(value) in self._changes:
            return self._changes[id(value)]
        if type(value) is not tuple or depth == 0:
            return value
        items = [self._changed(item, depth - 1) for item in value]
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        self._held.append(value)
        return self._changes.setdefault(id(value), tuple(items))

    def _is_open(self, value: type) -> bool:
        module_name = _class_namespace(value).get('__module__')
        if _is_passed_over(module_name) or issubclass(value, self._closed):
            return False
        return not self._package or package_of(module_name) == self._package


def _spelled(path: tuple[Any, ...]) -> str:
    """Return the path as a reader of the program would write it: a module, then by turns a kind of step and its key."""
    text = path[0]
    for form, key in zip(path[1::2], path[2::2], strict=True):
        # The repr of anything else is the program's own code.
        text += form.format(
            repr(key) if form == _ITEM and type(key) in (str, int) else key if type(key) is str else '...'
        )
    return str(text)


_ITEM = '[{}]'
_ATTRIBUTE = '.{}'


def _in_dict(value: dict[Any, Any]) -> Iterable[tuple[Any, Any]]:
    # As a plain dict: an OrderedDict would hash the program's keys.
    return list(dict.items(value))


def _in_partial(value: partial[Any]) -> Iterable[tuple[Any, Any]]:
    return [('func', value.func), ('args', value.args), ('keywords', value.keywords)]


def _put_in_partial(value: partial[Any], name: str, new: Any) -> None:
    state = {**dict(_in_partial(value)), name: new}
    # Its own attributes, if it has any, are set anew with the rest.
    value.__setstate__((*state.values(), value.__dict__ or None))  # type: ignore[attr-defined]


def _in_list(value: list[Any]) -> Iterable[tuple[Any, Any]]:
    return enumerate(list(value))


def _in_class(value: type) -> Iterable[tuple[Any, Any]]:
    return list(_class_namespace(value).items())


def _in_function(function: FunctionType) -> Iterable[tuple[Any, Any]]:
    if function.__defaults__ is not None:
        yield '__defaults__', function.__defaults__
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        # What super() without arguments refers to stays what it is.
        if name != '__class__':
            yield name, cell
    # Its attributes, if it has any: asking for __dict__ would give it some.
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


_NAMESPACE = Kind(_in_dict, dict.__setitem__, _ATTRIBUTE)
_CLASS = Kind(_in_class, type.__setattr__, _ATTRIBUTE)
_KINDS = {
    dict: Kind(_in_dict, dict.__setitem__, _ITEM),
    defaultdict: Kind(_in_dict, dict.__setitem__, _ITEM),
    OrderedDict: Kind(_in_dict, OrderedDict.__setitem__, _ITEM),
    list: Kind(_in_list, list.__setitem__, _ITEM),
    tuple: Kind(enumerate, None, _ITEM),
    FunctionType: Kind(_in_function, setattr, _ATTRIBUTE),
    CellType: Kind(_in_cell, setattr, _ATTRIBUTE),
    staticmethod: Kind(_in_wrapper, None, _ATTRIBUTE),
    classmethod: Kind(_in_wrapper, None, _ATTRIBUTE),
    property: Kind(_in_property, None, _ATTRIBUTE),
    partial: Kind(_in_partial, _put_in_partial, _ATTRIBUTE),
}
_UNDECIDED = Kind(enumerate, None, _ITEM)
