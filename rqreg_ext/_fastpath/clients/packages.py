"""The client packages, redis-py and valkey-py: which classes and methods are a package's own, and unpatched."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from ..originals import function_of, is_defined, is_original, undecorated
from . import tracers

PACKAGES = ('redis', 'valkey')
# (answer, pairs of a function and its code, (dict, name, value, dict, name, value, ...)). The answer holds until one of
# these changes, or a class that classes_of_client() or classes_of_pool() returns.
Facts = tuple[Any, tuple[Any, ...], tuple[Any, ...]]


def package_of_client(client_class: type) -> str | None:
    """Return the client package whose client class this is, or is derived from."""
    for base in client_class.__mro__:
        package, _, rest = base.__module__.partition('.')
        if package in PACKAGES and rest == 'client' and base.__qualname__ in ('Redis', 'Valkey'):
            return package
    return None


def package_of_connections(connection_class: type) -> str | None:
    """Return the client package that a connection class comes from, by the base that all of them share."""
    packages = [c.__module__.partition('.')[0] for c in connection_class.__mro__ if c.__name__ == 'AbstractConnection']
    return packages[0] if packages and packages[0] in PACKAGES else None


def package_of_cluster(client_class: type) -> str | None:
    """Return the client package whose class of a cluster's client this is, or is derived from; None for a pipeline."""
    names = {(base.__module__, base.__qualname__) for base in client_class.__mro__}
    for package, name in zip(PACKAGES, ('RedisCluster', 'ValkeyCluster'), strict=True):
        module = f'{package}.cluster'
        if (module, name) in names and (module, 'ClusterPipeline') not in names:
            return package
    return None


def are_original(owner: type, package: str, names: Iterable[str], watched: dict[Any, Any]) -> bool:
    """Tell whether all of these methods of a class are as the client package defines them.

    A release that has no method of one of the names calls none. Adds to `watched` each function that was looked at,
    and its code.
    """
    originals = [_is_original(owner, package, name, watched, _found_on(owner, name)) for name in names]
    return all(originals)


def are_only_traced(owner: type, package: str, names: Iterable[str], watched: dict[Any, Any]) -> bool:
    """Tell whether these methods are as the client package defines them, but for tracers around them."""
    return all(_is_original_inside(owner, package, name, watched) for name in names)


def _is_original_inside(owner: type, package: str, name: str, watched: dict[Any, Any]) -> bool:
    method = _found_on(owner, name)
    within = tracers.inside(method)
    while within is not None:
        method, within = within, tracers.inside(within)
    return _is_original(owner, package, name, watched, method)


def _found_on(owner: type, name: str) -> Any:
    return next((vars(base)[name] for base in owner.__mro__ if name in vars(base)), None)


def _is_original(owner: type, package: str, name: str, watched: dict[Any, Any], method: Any) -> bool:
    if method is None:
        return name.startswith('_')
    function = function_of(method)
    if function is None:
        return False
    watched[function] = function.__code__
    # The class in which the package defines it. Undoing a patch may put the method into a class that inherited it.
    definers = ((base.__module__, f'{base.__qualname__}.{name}') for base in owner.__mro__)
    module, qualname = next(
        (each for each in definers if each[0].startswith(f'{package}.') and is_defined(*each)), ('', '')
    )
    if is_original(method, module, qualname):
        return True
    inside = undecorated(method, f'{package}.utils', 'deprecated_args.decorator.wrapper')
    if inside is None:
        return False
    watched[inside] = inside.__code__
    return is_original(inside, module, qualname)


def is_defined_by(package: str, given: Any) -> bool:
    """Tell whether this is a class of the client package, or none at all; redis-py 8 marks that by an object()."""
    if given is None or type(given) is object:
        return True
    module = sys.modules.get(getattr(given, '__module__', ''))
    name = getattr(given, '__qualname__', '')
    return module is not None and module.__name__.partition('.')[0] == package and vars(module).get(name) is given


def is_set_on(found: Any, *names: str) -> bool:
    """Tell whether the object itself, not only its class, has an attribute of one of these names."""
    return not getattr(found, '__dict__', {}).keys().isdisjoint(names)


def overrides_getattribute(owner: Any) -> bool:
    """Tell whether a class has its own way to find attributes."""
    return owner.__getattribute__ is not object.__getattribute__
