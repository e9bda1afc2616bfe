"""Replacing RQ's registry classes by ours in the modules of a program, and undoing it."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from .._fastpath import releases
from .._fastpath.registry_type import impersonate_rq, impersonates_rq, stop_impersonating
from ..executions import ExecutionRegistry
from ..registry import COMPOSED, BaseRegistry
from .cleaning_function import CleaningFunction, replace_cleaning
from .derived_classes import derived_before, names_used
from .own_names import own_names
from .patched_methods import PatchedMethod, show_patches
from .self_references import SelfReference, self_references
from .slots import Module, ModuleScan, Slot, loaded_modules, package_of

logger = logging.getLogger('rqreg_ext')

OURS: list[Any] = [*COMPOSED, ExecutionRegistry]
RQ_BASE: type = BaseRegistry._rq_class  # type: ignore[attr-defined]
RQ = 'rq'
ANOTHER_COPY = 'a copy of RQ other than the one that rqreg_ext was loaded with'


class Replaced(NamedTuple):
    """A place that now holds our class: its path, such as "package.module.NAME", and the name of the class."""

    place: str
    name: str


class Left(NamedTuple):
    """A place that still holds RQ's class, and the reason."""

    place: str
    name: str
    reason: str


class Replacement:
    """The replacement in this process. It records what was changed, so that it can be undone."""

    def __init__(self) -> None:
        self.replaced: list[Replaced] = []
        self.left: list[Left] = []
        # The changed modules by id, because a program may remove a module from sys.modules.
        self._modules: dict[int, Module] = {}
        # The places that held our classes before install().
        self._held_before: set[str] = set()
        self._references: list[SelfReference] = []
        self._cleaning: list[CleaningFunction] = []
        self._patched: list[PatchedMethod] = []
        # (new, original) of each tuple that was replaced by a copy.
        self._tuples: list[tuple[Any, Any]] = []

    @property
    def notes(self) -> list[str]:
        """The notes of the InstallReport."""
        notes = [f'{patched.path} was patched before, and the patch stays in effect' for patched in self._patched]
        if not releases.is_known:
            version = '.'.join(map(str, releases.installed_version))
            notes.append(f'RQ {version} is newer than those tested: RQ itself cleans up, deletes and requeues')
        return notes

    def replace(self, in_all_modules: bool) -> None:
        """Replace RQ's classes in all loaded modules; or, when rq has just been imported, in those of rq only."""
        modules = [module for module in loaded_modules() if in_all_modules or package_of(module.name) == RQ]
        # When rq has just been imported, no other package can hold its classes.
        package = '' if in_all_modules else RQ
        if in_all_modules and not self.replaced:
            ours_before = _search([(ours, ours._rq_class) for ours in OURS])
            self._held_before = {slot.path for module in modules for slot, _ in ours_before.slots(module)}
        self.left = [Left(module.name, '*', ANOTHER_COPY) for module in modules if _is_another_copy(module)]
        self._cleaning = self._cleaning or replace_cleaning()
        needed_paths, needed_names = self._needed_by_subclasses()
        replacing = [ours for ours in OURS if ours.__name__ not in needed_names]
        for ours in replacing:
            self._prepare(ours)
        needed_paths |= {reference.path for reference in self._references}
        search = _search([(ours._rq_class, ours) for ours in replacing], package)
        for module in modules:
            for slot, new in search.slots(module):
                if slot.path not in needed_paths:
                    self._put(module, slot, new)
        for left in self.left:
            logger.debug('left %s: %s', left.place, left.reason)

    def _prepare(self, ours: Any) -> None:
        """Prepare a class of ours to replace RQ's: keep what RQ's methods need, and take RQ's module name."""
        if not impersonates_rq(ours):
            for reference in self_references(ours._rq_class):
                reference.keep()
                self._references.append(reference)
            self._patched += show_patches(ours)
            impersonate_rq(ours)

    def _put(self, module: Module, slot: Slot, new: Any) -> None:
        if type(new) is tuple:
            self._tuples.append((new, slot.value))
        slot.put(new)
        self._modules[id(module.namespace)] = module
        self.replaced.append(Replaced(slot.path, _class_name(new)))
        logger.debug('replaced %s', slot.path)

    def _needed_by_subclasses(self) -> tuple[set[str], set[str]]:
        """Return the paths and class names that subclasses use to refer to RQ's class; add the reason to `left`."""
        paths: set[str] = set()
        names: set[str] = set()
        for ours in OURS:
            rq_class = ours._rq_class
            for derived in derived_before(rq_class, BaseRegistry):
                who = f'{vars(derived)["__module__"]}.{derived.__qualname__}'
                by_global, in_other_ways = names_used(derived, rq_class)
                for path in sorted(by_global - paths):
                    self.left.append(Left(path, ours.__name__, f'{who}, derived from it before, uses it by this name'))
                if in_other_ways and ours.__name__ not in names:
                    reason = f'{who}, derived from it before, uses it through its module or by an import in a method'
                    self.left.append(Left(f'{rq_class.__module__}.{ours.__name__}', ours.__name__, reason))
                    names.add(ours.__name__)
                paths |= by_global
        return paths, names

    def restore(self) -> None:
        """Put RQ's classes and the original tuples back, except where the program itself imported ours."""
        changes = [(ours, ours._rq_class) for ours in OURS if impersonates_rq(ours)]
        search = _search([*changes, *self._tuples])
        for module in {**self._modules, **{id(module.namespace): module for module in loaded_modules()}}.values():
            slots = list(search.slots(module))
            imported = self._imported_from_us(module) if slots else set()
            for slot, old in slots:
                if slot.path not in self._held_before and slot.path not in imported:
                    slot.put(old)
        for ours in OURS:
            stop_impersonating(ours)
        for patched in self._patched:
            patched.hide()
        for reference in self._references:
            reference.restore()
        for function in self._cleaning:
            function.restore_code()
        logger.debug('uninstalled: the registries are those of RQ again')

    @staticmethod
    def _imported_from_us(module: Module) -> set[str]:
        return {f'{module.name}.{name}' for name in own_names(module.namespace)}


def _search(changes: list[tuple[Any, Any]], package: str = '') -> ModuleScan:
    return ModuleScan(changes, closed=(RQ_BASE,), package=package)


def _is_another_copy(module: Module) -> bool:
    if module.name != 'rq.registry' and not module.name.endswith('.rq.registry'):
        return False
    base = module.namespace.get('BaseRegistry')
    return base is not None and base is not BaseRegistry and base is not RQ_BASE


def _class_name(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else 'several'
