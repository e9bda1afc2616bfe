"""Whether a job class leaves RQ's methods as they are, so that a script may do their work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from types import CodeType
from typing import Any

from rq.job import Job

from .originals import codes_of

# Attributes that Python puts into a class, and special methods that RQ's methods do not call.
_HARMLESS = frozenset(
    (
        '__abstractmethods__',
        '__annotate__',
        '__annotate_func__',
        '__annotations__',
        '__annotations_cache__',
        '__class_getitem__',
        '__classcell__',
        '__dict__',
        '__doc__',
        '__eq__',
        '__firstlineno__',
        '__hash__',
        '__init_subclass__',
        '__module__',
        '__orig_bases__',
        '__parameters__',
        '__qualname__',
        '__repr__',
        '__static_attributes__',
        '__str__',
        '__type_params__',
        '__weakref__',
    )
)


_OF_JOB = 'rq.job.Job.'


def keeps_behavior(job_class: Any, functions: tuple[str, ...]) -> bool:
    """Return whether some of RQ's functions do the same with jobs of this class as with those of rq.job.Job.

    They do if the class, and each of its bases other than RQ's, defines none of the names that these functions use.
    What Job defines itself is the business of the guards in guards.py.

    Args:
        job_class: Any object.
        functions: The functions, as 'rq.module.Class.name'. Classes among them are left out.
    """
    if job_class is Job:
        return True
    # A metaclass may give any attribute.
    if type(job_class) is not type or not issubclass(job_class, Job):
        return False
    used = _names_used_by(functions)
    return all(
        _is_unused(base, name, used) for base in job_class.__mro__[:-1] if base is not Job for name in vars(base)
    )


def _is_unused(owner: type, name: str, used: frozenset[str]) -> bool:
    if name.startswith('__') and name.endswith('__'):
        return name in _HARMLESS
    # A prefix of keys, say, may be given once more.
    return name not in used or (type(vars(owner)[name]) is str and vars(owner)[name] == vars(Job).get(name))


@cache
def _names_used_by(functions: tuple[str, ...]) -> frozenset[str]:
    """Return the names of the functions, and of all attributes and globals in their code, as RQ's files have it."""
    names = {name for dotted in functions for code in _codes(dotted) for name in _names_in(code)}
    return frozenset(names.union(dotted.rpartition('.')[2] for dotted in functions if dotted.startswith(_OF_JOB)))


def _codes(dotted: str) -> Iterable[CodeType]:
    package, module, qualname = dotted.split('.', 2)
    # The body of a class has all of its names, and is not a function.
    if qualname[0].isupper() and '.' not in qualname:
        return ()
    return codes_of(f'{package}.{module}', qualname)


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)
