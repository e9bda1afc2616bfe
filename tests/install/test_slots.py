"""The search for references to classes in modules: what it finds, and what it does not touch."""

from __future__ import annotations

import importlib.util
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from functools import partial
from types import ModuleType
from typing import Any

import pytest

from rqreg_ext._install.slots import Module, ModuleScan, loaded_modules


class Old:
    """The class that is searched for."""


class New(Old):
    """The class that replaces it."""


class Derived(Old):
    """A class that is not searched."""

    held = Old


def closure_over(value: Any) -> Any:
    def function() -> Any:
        return value

    return function


def empty_closure() -> Any:
    def function() -> Any:
        return value

    if not function:
        value = Old
    return function


def replaced(**namespace: Any) -> tuple[dict[str, Any], list[str]]:
    """Replace Old by New in a module with these globals; return the globals and the paths of the changed slots."""
    paths = []
    for slot, new in ModuleScan([(Old, New)], closed=(Old,)).slots(Module('m', namespace)):
        assert slot.put is not None
        slot.put(new)
        paths.append(slot.path)
    return namespace, paths


def test_global_is_replaced() -> None:
    assert replaced(a=Old, b=Old, c='Old') == ({'a': New, 'b': New, 'c': 'Old'}, ['m.a', 'm.b'])


def test_items_of_lists_and_dicts_are_replaced() -> None:
    namespace, paths = replaced(a=[1, Old, {'k': Old, 2: [Old]}])
    assert namespace == {'a': [1, New, {'k': New, 2: [New]}]}
    assert paths == ['m.a[1]', "m.a[2]['k']", 'm.a[2][2][0]']


def test_items_of_dict_subclasses_are_replaced() -> None:
    table = defaultdict(list, a=Old)
    ordered = OrderedDict(b=1, a=Old, c=2)
    _, paths = replaced(table=table, ordered=ordered)
    assert table == {'a': New}
    assert list(ordered.items()) == [('b', 1), ('a', New), ('c', 2)]
    assert paths == ["m.table['a']", "m.ordered['a']"]


def test_contents_of_partial_are_replaced() -> None:
    pair = ('x', Old)
    function = partial(Old, pair, 1, key=Old)
    function.held = Old  # type: ignore[attr-defined]
    _, paths = replaced(function=function)
    assert (function.func, function.args, function.keywords) == (New, (('x', New), 1), {'key': New})
    assert function.held is Old  # type: ignore[attr-defined]
    assert pair == ('x', Old)
    assert paths == ['m.function.func', 'm.function.args', "m.function.keywords['key']"]
    assert replaced(function=partial(print, 'x'))[1] == []


def test_slot_path_does_not_call_repr_of_key() -> None:
    class Key:
        def __repr__(self) -> str:
            raise AssertionError('asked')

    assert replaced(a={Key(): Old})[1] == ['m.a[...]']


def test_dict_keys_are_not_replaced() -> None:
    namespace, paths = replaced(a={Old: 1}, b={Old})
    assert next(iter(namespace['a'])) is Old
    assert paths == []


def test_tuple_is_copied_once() -> None:
    pair = ('x', Old)
    namespace, paths = replaced(a=pair, b=[pair], c=('y', (pair, [Old])))
    assert namespace == {'a': ('x', New), 'b': [('x', New)], 'c': ('y', (('x', New), [New]))}
    assert namespace['a'] is namespace['b'][0] is namespace['c'][1][0]
    assert pair == ('x', Old)
    assert paths == ['m.a', 'm.b[0]', 'm.c', 'm.c[1][1][0]']


def test_tuple_without_class_is_not_copied() -> None:
    pair = ('x', ())
    assert replaced(a=pair)[0]['a'] is pair


def test_named_tuple_is_not_searched() -> None:
    named = Module('x', {'a': Old})
    assert replaced(a=named)[0]['a'] is named


def test_class_attributes_are_replaced() -> None:
    class View:
        registry = Old
        registries = {'failed': Old}

    _, paths = replaced(View=View)
    assert View.registry is New
    assert View.registries == {'failed': New}
    assert paths == ['m.View.registry', "m.View.registries['failed']"]


def test_metaclass_setattr_is_not_called() -> None:
    class Strict(type):
        def __setattr__(cls, name: str, value: Any) -> None:
            raise AssertionError('asked')

        def __getattribute__(cls, name: str) -> Any:
            raise AssertionError('asked')

    namespace, paths = replaced(Settings=Strict('Settings', (), {'registry': Old}))
    assert type.__getattribute__(namespace['Settings'], 'registry') is New
    assert paths == ['m.Settings.registry']


def test_subclasses_are_not_searched() -> None:
    assert replaced(Derived=Derived)[1] == []
    assert Derived.held is Old


def test_defaults_and_attributes_of_functions_are_replaced() -> None:
    def function(a: Any = Old, *, b: Any = Old) -> Any:
        return a, b

    function.held = Old  # type: ignore[attr-defined]
    _, paths = replaced(function=function)
    assert function() == (New, New)
    assert function.held is New  # type: ignore[attr-defined]
    assert paths == ['m.function.__defaults__', "m.function.__kwdefaults__['b']", "m.function.__dict__['held']"]


def test_variables_of_closures_are_replaced() -> None:
    function = closure_over(Old)
    assert replaced(function=function)[1] == ['m.function.value.cell_contents']
    assert function() is New


def test_closure_with_unbound_variable_is_left() -> None:
    assert replaced(function=empty_closure())[1] == []


def test_defaults_of_methods_and_properties_are_replaced() -> None:
    class View:
        @staticmethod
        def a(held: Any = Old) -> Any:
            return held

        @classmethod
        def b(cls, held: Any = Old) -> Any:
            return held

        @property
        def c(self, held: Any = Old) -> Any:
            return held

    replaced(View=View)
    assert (View.a(), View.b(), View().c) == (New, New, New)


def test_class_cell_is_not_replaced() -> None:
    class Base:
        def who(self) -> str:
            return 'base'

    class Found(Base):
        def who(self) -> str:
            return super().who()

    class Other(Found):
        pass

    search = ModuleScan([(Found, Other)], closed=())
    namespace = {'who': Found.who}
    assert list(search.slots(Module('m', namespace))) == []
    assert Found().who() == 'base'


def test_search_ends_at_cycles_and_depth() -> None:
    cycle: list[Any] = [Old]
    cycle.append(cycle)
    deep: list[Any] = [Old]
    for _ in range(10):
        deep = [deep]
    replaced(cycle=cycle, deep=deep)
    assert cycle[0] is New
    assert 'New' not in str(deep)


def test_keys_are_not_hashed_if_nothing_is_replaced() -> None:
    class Key:
        hashed = 0

        def __hash__(self) -> int:
            Key.hashed += 1
            return 1

    tables = {Key(): 1}, OrderedDict({Key(): 2}), defaultdict(list, {Key(): 3})
    Key.hashed = 0
    assert replaced(tables=list(tables))[1] == []
    assert Key.hashed == 0


class Trap:
    """Raises an error on attribute access, comparison and hashing."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(name)

    def __eq__(self, other: object) -> bool:
        raise AssertionError('eq')

    def __hash__(self) -> int:
        raise AssertionError('hash')


def test_search_calls_no_method_of_objects() -> None:
    assert replaced(a=Trap(), b=[Trap(), Old], c=(Trap(), Old))[1] == ['m.b[1]', 'm.c']


class TrapModule(ModuleType):
    """A module whose attributes raise on access."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


@pytest.fixture
def strange_modules() -> Iterator[dict[str, Any]]:
    lazy_spec = importlib.util.find_spec('this')
    assert lazy_spec is not None
    assert lazy_spec.loader is not None
    lazy_spec.loader = importlib.util.LazyLoader(lazy_spec.loader)
    lazy = importlib.util.module_from_spec(lazy_spec)
    lazy_spec.loader.exec_module(lazy)
    modules = {'strange.trap': TrapModule('strange.trap'), 'strange.lazy': lazy, 'strange.object': Trap()}
    sys.modules.update(modules)  # type: ignore[arg-type]
    yield modules
    for name in modules:
        del sys.modules[name]


def test_search_does_not_load_lazy_modules(strange_modules: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    found = {module.name: module.namespace for module in loaded_modules()}
    assert {'strange.trap', 'strange.lazy'} <= found.keys()
    assert 'strange.object' not in found
    # Loading the lazy module would print the Zen of Python.
    assert 'Zen' not in capsys.readouterr().out


def test_modules_of_python_and_ours_are_skipped() -> None:
    names = {module.name for module in loaded_modules()}
    assert {'os', 'json', 'rqreg_ext', 'rqreg_ext.registry'} & names == set()
    assert {'pytest', 'rq'} & names == {'pytest', 'rq'} & sys.modules.keys()


def test_module_with_two_names_is_searched_once() -> None:
    module = ModuleType('one')
    sys.modules['one'] = sys.modules['two'] = module
    try:
        assert [found.name for found in loaded_modules() if found.name in ('one', 'two')] == ['one']
    finally:
        del sys.modules['one'], sys.modules['two']
