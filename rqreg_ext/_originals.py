"""Whether a function is the one that an installed package defines: not patched, wrapped or replaced.

What stands under a name when somebody first looks proves nothing: it may have been patched before. A function is a
package's own if its globals are those of the package's module, and its code is the code in that module's file.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any


def is_original(found: Any, module_name: str, qualname: str) -> bool:
    """Tell whether `found` is the function that the module defines by this qualified name.

    found: a function, or the classmethod, staticmethod, property or bound method around it.
    False too where the module's code cannot be read again: it is compiled by another compiler, say.
    No round trip. The first call for a module reads its compiled file, a millisecond or two.
    """
    function = function_of(found)
    module = sys.modules.get(module_name)
    if function is None or module is None or function.__globals__ is not vars(module):
        return False
    if hasattr(function, '__wrapped__'):
        return False
    return _is_one_of(original_code(function), _codes_in(module_name).get(qualname, []))


def is_defined(module_name: str, qualname: str) -> bool:
    """Tell whether the module's file defines a function or a class by this qualified name."""
    return qualname in _codes_in(module_name)


def original_code(function: FunctionType) -> CodeType:
    """Return the function's code, or the code that we have put another in the place of."""
    code = function.__code__
    replaced, original = _replaced.get(id(code), (None, code))
    return original if replaced is code else code


def note_replaced_code(replacement: CodeType, original: CodeType) -> None:
    """Take note that we put this code in the place of an original one, and that it does the same."""
    _replaced[id(replacement)] = replacement, original


def code_of(module_name: str, qualname: str) -> CodeType | None:
    """Return the code of the one function that the module's file defines by this name; None where it is not known."""
    codes = _codes_in(module_name).get(qualname, [])
    return codes[0] if len(codes) == 1 else None


# Both codes by the id of the first, which lives as long as it is here: to hash code takes longer.
_replaced: dict[int, tuple[CodeType, CodeType]] = {}


def _is_one_of(code: CodeType, codes: list[CodeType]) -> bool:
    for position, known in enumerate(codes):
        if known is code:
            return True
        if known == code:
            # The next time it is found without a comparison.
            codes[position] = code
            return True
    return False


def undecorated(found: Any, module_name: str, qualname: str) -> FunctionType | None:
    """Return the function inside a decorator's wrapper; None where the wrapper is not the one that the module defines.

    qualname: of the wrapper as it was before functools.wraps() named it after the function inside.
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
    """Return the function behind a method, class method, static method or property; None where there is none."""
    # By its own type: a proxy around one of these passes for what it is around.
    kind = type(found)
    if kind is property:
        found = found.fget
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
    # A name may be defined more than once: by a condition, as a property's setter.
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            name = f'{prefix}{constant.co_name}'
            codes.setdefault(name, []).append(constant)
            _collect(constant, f'{name}.', codes)
