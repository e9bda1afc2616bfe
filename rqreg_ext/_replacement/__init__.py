"""Our registries in the places of RQ's, and back."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from .. import _installed_rq
from .._registry_type import stand_for_itself, stand_for_rq, stands_for_rq
from ..executions import ExecutionRegistry
from ..registry import COMPOSED, BaseRegistry
from .clean_registries import CleaningFunction, take_over_cleaning
from .derived_classes import derived_before, names_used
from .own_names import own_names
from .patched_methods import PatchedMethod, show_patches
from .places import Module, Place, Search, loaded_modules, package_of
from .self_references import SelfReference, self_references

logger = logging.getLogger('rqreg_ext')

OURS: list[Any] = [*COMPOSED, ExecutionRegistry]
RQ_BASE: type = BaseRegistry._rq_class  # type: ignore[attr-defined]
RQ = 'rq'
ANOTHER_COPY = 'a copy of RQ other than the one that rqreg_ext was loaded with'


class Replaced(NamedTuple):
    """A place that holds our class now: its path, as in "package.module.NAME", and the name of the class."""

    place: str
    name: str


class Left(NamedTuple):
    """A place that holds RQ's class still, and why."""

    place: str
    name: str
    reason: str


class Replacement:
    """The one replacement of a process: what it did, and how to undo it."""

    def __init__(self) -> None:
        self.replaced: list[Replaced] = []
        self.left: list[Left] = []
        # Those that were changed, by their ids: a program may drop one of them from sys.modules.
        self._modules: dict[int, Module] = {}
        # The places that the program gave our classes to by itself.
        self._held_before: set[str] = set()
        self._references: list[SelfReference] = []
        self._cleaning: list[CleaningFunction] = []
        self._patched: list[PatchedMethod] = []
        # Tuples are made anew: each with the one it stands for, which is to come back.
        self._tuples: list[tuple[Any, Any]] = []

    @property
    def notes(self) -> list[str]:
        """What whoever reads the report should know of this RQ."""
        notes = [f'{patched.path} was replaced before, and stays as it is' for patched in self._patched]
        if not _installed_rq.is_known:
            version = '.'.join(map(str, _installed_rq.installed_version))
            notes.append(f'RQ {version} is newer than those tested: clean-ups, deleting and requeueing are left to RQ')
        return notes

    def replace(self, everywhere: bool) -> None:
        """Put our classes where RQ's are: in all loaded modules, or in RQ's own, which alone have them at first."""
        modules = [module for module in loaded_modules() if everywhere or package_of(module.name) == RQ]
        # Of a program that has only just imported rq, nothing but rq can hold either.
        package = '' if everywhere else RQ
        if everywhere and not self.replaced:
            ours_before = _search([(ours, ours._rq_class) for ours in OURS])
            self._held_before = {place.path for module in modules for place, _ in ours_before.places(module)}
        self.left = [Left(module.name, '*', ANOTHER_COPY) for module in modules if _is_another_copy(module)]
        self._cleaning = self._cleaning or take_over_cleaning()
        needed, kept = self._needed()
        standing = [ours for ours in OURS if ours.__name__ not in kept]
        for ours in standing:
            self._let_stand(ours)
        needed |= {reference.path for reference in self._references}
        search = _search([(ours._rq_class, ours) for ours in standing], package)
        for module in modules:
            for place, new in search.places(module):
                if place.path not in needed:
                    self._put(module, place, new)
        for left in self.left:
            logger.debug('left %s: %s', left.place, left.reason)

    def _let_stand(self, ours: Any) -> None:
        if not stands_for_rq(ours):
            for reference in self_references(ours._rq_class):
                reference.keep()
                self._references.append(reference)
            self._patched += show_patches(ours)
            stand_for_rq(ours)

    def _put(self, module: Module, place: Place, new: Any) -> None:
        if type(new) is tuple:
            self._tuples.append((new, place.value))
        place.put(new)
        self._modules[id(module.namespace)] = module
        self.replaced.append(Replaced(place.path, _class_name(new)))
        logger.debug('replaced %s', place.path)

    def _needed(self) -> tuple[set[str], set[str]]:
        """Return the paths and the names of classes that stay RQ's for classes derived from them; note why."""
        paths: set[str] = set()
        names: set[str] = set()
        for ours in OURS:
            rq_class = ours._rq_class
            for derived in derived_before(rq_class, BaseRegistry):
                who = f'{vars(derived)["__module__"]}.{derived.__qualname__}'
                by_global, otherwise = names_used(derived, rq_class)
                for path in sorted(by_global - paths):
                    self.left.append(Left(path, ours.__name__, f'{who}, derived from it before, uses it by this name'))
                if otherwise and ours.__name__ not in names:
                    reason = f'{who}, derived from it before, uses it through the module or by an import of its own'
                    self.left.append(Left(f'{rq_class.__module__}.{ours.__name__}', ours.__name__, reason))
                    names.add(ours.__name__)
                paths |= by_global
        return paths, names

    def restore(self) -> None:
        """Put RQ's classes, and the tuples that held them, back, but where the program asked for ours."""
        changes = [(ours, ours._rq_class) for ours in OURS if stands_for_rq(ours)]
        search = _search([*changes, *self._tuples])
        for module in {**self._modules, **{id(module.namespace): module for module in loaded_modules()}}.values():
            places = list(search.places(module))
            own = self._chosen(module) if places else set()
            for place, old in places:
                if place.path not in self._held_before and place.path not in own:
                    place.put(old)
        for ours in OURS:
            stand_for_itself(ours)
        for patched in self._patched:
            patched.forget()
        for reference in self._references:
            reference.give_back()
        for function in self._cleaning:
            function.give_back()
        logger.debug('uninstalled: the registries are those of RQ again')

    @staticmethod
    def _chosen(module: Module) -> set[str]:
        return {f'{module.name}.{name}' for name in own_names(module.namespace)}


def _search(changes: list[tuple[Any, Any]], package: str = '') -> Search:
    return Search(changes, closed=(RQ_BASE,), package=package)


def _is_another_copy(module: Module) -> bool:
    if module.name != 'rq.registry' and not module.name.endswith('.rq.registry'):
        return False
    base = module.namespace.get('BaseRegistry')
    return base is not None and base is not BaseRegistry and base is not RQ_BASE


def _class_name(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else 'several'
