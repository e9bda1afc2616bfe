"""Checks whether a function is the one that an installed package defines: not patched, wrapped or replaced.

The function that a name is bound to when we first look may have been patched before. So a function counts as original
if its globals are those of the package's module, and its code equals the code in that module's file.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache, cached_property
from importlib import import_module
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any


def is_original(found: Any, module_name: str, qualname: str) -> bool:
    """Return whether `found` is the function that the module defines under this qualified name.

    It is False too if the module's code cannot be read, because it was compiled by Cython, say. The first call for a
    module reads its compiled file, which takes a millisecond or two.

    Args:
        found: A function, or the classmethod, staticmethod, property or bound method of one.
        module_name: The module that should define it.
        qualname: Its qualified name in that module.
    """
    function = function_of(found)
    module = sys.modules.get(module_name)
    if function is None or module is None or function.__globals__ is not vars(module):
        return False
    if hasattr(function, '__wrapped__'):
        return False
    return _is_one_of(original_code(function), _codes_in(module_name).get(qualname, []))


def is_defined(module_name: str, qualname: str) -> bool:
    """Return whether the module's file defines a function or a class of this qualified name."""
    return qualname in _codes_in(module_name)


def original_code(function: FunctionType) -> CodeType:
    """Return the function's code; if install() has replaced it, the code before that."""
    code = function.__code__
    replaced, original = _replaced.get(id(code), (None, code))
    return original if replaced is code else code


def note_replaced_code(replacement: CodeType, original: CodeType) -> None:
    """Record that install() replaces the original code by this code, which does the same."""
    _replaced[id(replacement)] = replacement, original


def code_of(module_name: str, qualname: str) -> CodeType | None:
    """Return the code of the function of this name in the module's file; None if there is none, or more than one."""
    codes = _codes_in(module_name).get(qualname, [])
    return codes[0] if len(codes) == 1 else None


def codes_of(module_name: str, qualname: str) -> Sequence[CodeType]:
    """Return the code of all functions of this name in the module's file, as a property has two."""
    return _codes_in(module_name).get(qualname, ())


# (replacement, original) by the id of the replacement: hashing a code object would take longer.
_replaced: dict[int, tuple[CodeType, CodeType]] = {}


def _is_one_of(code: CodeType, codes: list[CodeType]) -> bool:
    for position, known in enumerate(codes):
        if known is code:
            return True
        if known == code:
            # Found by identity the next time, which is faster than comparing.
            codes[position] = code
            return True
    return False


def undecorated(found: Any, module_name: str, qualname: str) -> FunctionType | None:
    """Return the function that a decorator has wrapped; None if the wrapper is not the one that the module defines.

    Args:
        found: The wrapper.
        module_name: The module that defines the decorator.
        qualname: The qualified name that the wrapper had before functools.wraps() changed it.
    """
    wrapper = function_of(found)
    module = sys.modules.get(module_name)
    if wrapper is None or module is None or wrapper.__globals__ is not vars(module):
        return None
    if not _is_one_of(wrapper.__code__, _codes_in(module_name).get(qualname, [])):
        return None
    inside = getattr(wrapper, '__wrapped__', None)
    called = [cell.cell_contents for cell in wrapper.__closure__ or () if _is_filled(cell)]
    return inside if type(inside) is FunctionType and any(value is inside for value in called) else None


def _is_filled(cell: CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def function_of(found: Any) -> FunctionType | None:
    """Return the function of a method, class method, static method or (cached) property; None if there is none."""
    # type(), because a proxy object may give the type of the wrapped object as its __class__.
    kind = type(found)
    if kind is property:
        found = found.fget
    elif kind is cached_property:
        found = found.func
    elif kind in (staticmethod, classmethod, MethodType):
        found = found.__func__
    return found if type(found) is FunctionType else None


@cache
def _codes_in(module_name: str) -> dict[str, list[CodeType]]:
    """Return the code of each function and class in a module's file, by qualified name."""
    codes: dict[str, list[CodeType]] = {}
    code = _code_of(module_name)
    if code is not None:
        _collect(code, '', codes)
    return codes


def _code_of(module_name: str) -> CodeType | None:
    loader = getattr(getattr(import_module(module_name), '__spec__', None), 'loader', None)
    get_code = getattr(loader, 'get_code', None)
    if get_code is None:
        return None
    try:
        code = get_code(module_name)
    except (ImportError, OSError, SyntaxError):
        return None
    return code if isinstance(code, CodeType) else None


def _collect(code: CodeType, prefix: str, codes: dict[str, list[CodeType]]) -> None:
    # A name may be defined more than once: in the branches of an `if`, or as a property's getter and setter.
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            name = f'{prefix}{constant.co_name}'
            codes.setdefault(name, []).append(constant)
            _collect(constant, f'{name}.', codes)
