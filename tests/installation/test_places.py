"""Where classes are found in modules, and where nobody looks."""

from __future__ import annotations

import importlib.util
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from functools import partial
from types import ModuleType
from typing import Any

import pytest

from rqreg_ext._replacement.places import Module, Search, loaded_modules


class Old:
    """What is looked for."""


class New(Old):
    """What is to stand there."""


class Derived(Old):
    """What nobody looks into."""

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
    """Put New where Old is in a module of these globals; return the globals, and the paths that were put to."""
    paths = []
    for place, new in Search([(Old, New)], closed=(Old,)).places(Module('m', namespace)):
        assert place.put is not None
        place.put(new)
        paths.append(place.path)
    return namespace, paths


def test_a_global() -> None:
    assert replaced(a=Old, b=Old, c='Old') == ({'a': New, 'b': New, 'c': 'Old'}, ['m.a', 'm.b'])


def test_lists_and_dicts() -> None:
    namespace, paths = replaced(a=[1, Old, {'k': Old, 2: [Old]}])
    assert namespace == {'a': [1, New, {'k': New, 2: [New]}]}
    assert paths == ['m.a[1]', "m.a[2]['k']", 'm.a[2][2][0]']


def test_dicts_of_the_standard_library() -> None:
    table = defaultdict(list, a=Old)
    ordered = OrderedDict(b=1, a=Old, c=2)
    _, paths = replaced(table=table, ordered=ordered)
    assert table == {'a': New}
    assert list(ordered.items()) == [('b', 1), ('a', New), ('c', 2)]
    assert paths == ["m.table['a']", "m.ordered['a']"]


def test_partials() -> None:
    pair = ('x', Old)
    function = partial(Old, pair, 1, key=Old)
    function.held = Old  # type: ignore[attr-defined]
    _, paths = replaced(function=function)
    assert (function.func, function.args, function.keywords) == (New, (('x', New), 1), {'key': New})
    assert function.held is Old  # type: ignore[attr-defined]
    assert pair == ('x', Old)
    assert paths == ['m.function.func', 'm.function.args', "m.function.keywords['key']"]
    assert replaced(function=partial(print, 'x'))[1] == []


def test_an_item_whose_key_has_its_own_repr() -> None:
    class Key:
        def __repr__(self) -> str:
            raise AssertionError('asked')

    assert replaced(a={Key(): Old})[1] == ['m.a[...]']


def test_keys_stay() -> None:
    namespace, paths = replaced(a={Old: 1}, b={Old})
    assert next(iter(namespace['a'])) is Old
    assert paths == []


def test_tuples_are_made_anew_once() -> None:
    pair = ('x', Old)
    namespace, paths = replaced(a=pair, b=[pair], c=('y', (pair, [Old])))
    assert namespace == {'a': ('x', New), 'b': [('x', New)], 'c': ('y', (('x', New), [New]))}
    assert namespace['a'] is namespace['b'][0] is namespace['c'][1][0]
    assert pair == ('x', Old)
    assert paths == ['m.a', 'm.b[0]', 'm.c', 'm.c[1][1][0]']


def test_a_tuple_without_any_stays_the_same_object() -> None:
    pair = ('x', ())
    assert replaced(a=pair)[0]['a'] is pair


def test_a_named_tuple_is_not_taken_for_a_tuple() -> None:
    named = Module('x', {'a': Old})
    assert replaced(a=named)[0]['a'] is named


def test_attributes_of_classes() -> None:
    class View:
        registry = Old
        registries = {'failed': Old}

    _, paths = replaced(View=View)
    assert View.registry is New
    assert View.registries == {'failed': New}
    assert paths == ['m.View.registry', "m.View.registries['failed']"]


def test_a_class_whose_type_has_its_own_setattr() -> None:
    class Strict(type):
        def __setattr__(cls, name: str, value: Any) -> None:
            raise AssertionError('asked')

        def __getattribute__(cls, name: str) -> Any:
            raise AssertionError('asked')

    namespace, paths = replaced(Settings=Strict('Settings', (), {'registry': Old}))
    assert type.__getattribute__(namespace['Settings'], 'registry') is New
    assert paths == ['m.Settings.registry']


def test_classes_derived_from_it_are_left() -> None:
    assert replaced(Derived=Derived)[1] == []
    assert Derived.held is Old


def test_functions() -> None:
    def function(a: Any = Old, *, b: Any = Old) -> Any:
        return a, b

    function.held = Old  # type: ignore[attr-defined]
    _, paths = replaced(function=function)
    assert function() == (New, New)
    assert function.held is New  # type: ignore[attr-defined]
    assert paths == ['m.function.__defaults__', "m.function.__kwdefaults__['b']", "m.function.__dict__['held']"]


def test_closures() -> None:
    function = closure_over(Old)
    assert replaced(function=function)[1] == ['m.function.value.cell_contents']
    assert function() is New


def test_a_closure_whose_variable_is_not_bound() -> None:
    assert replaced(function=empty_closure())[1] == []


def test_methods_of_all_kinds() -> None:
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


def test_what_super_refers_to_stays() -> None:
    class Base:
        def who(self) -> str:
            return 'base'

    class Looked(Base):
        def who(self) -> str:
            return super().who()

    class Other(Looked):
        pass

    search = Search([(Looked, Other)], closed=())
    namespace = {'who': Looked.who}
    assert list(search.places(Module('m', namespace))) == []
    assert Looked().who() == 'base'


def test_cycles_and_depth() -> None:
    cycle: list[Any] = [Old]
    cycle.append(cycle)
    deep: list[Any] = [Old]
    for _ in range(10):
        deep = [deep]
    replaced(cycle=cycle, deep=deep)
    assert cycle[0] is New
    assert 'New' not in str(deep)


def test_keys_are_not_hashed_where_nothing_is_replaced() -> None:
    class Key:
        asked = 0

        def __hash__(self) -> int:
            Key.asked += 1
            return 1

    tables = {Key(): 1}, OrderedDict({Key(): 2}), defaultdict(list, {Key(): 3})
    Key.asked = 0
    assert replaced(tables=list(tables))[1] == []
    assert Key.asked == 0


class Trap:
    """Raises whatever is asked of it."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(name)

    def __eq__(self, other: object) -> bool:
        raise AssertionError('eq')

    def __hash__(self) -> int:
        raise AssertionError('hash')


def test_objects_that_must_not_be_asked() -> None:
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


def test_modules_that_must_not_be_asked(strange_modules: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    found = {module.name: module.namespace for module in loaded_modules()}
    assert {'strange.trap', 'strange.lazy'} <= found.keys()
    assert 'strange.object' not in found
    # The lazy module has not been loaded by being looked at: the Zen of Python is not printed.
    assert 'Zen' not in capsys.readouterr().out


def test_modules_that_are_passed_over() -> None:
    names = {module.name for module in loaded_modules()}
    assert {'os', 'json', 'rqreg_ext', 'rqreg_ext.registry'} & names == set()
    assert {'pytest', 'rq'} & names == {'pytest', 'rq'} & sys.modules.keys()


def test_a_module_of_two_names_is_searched_once() -> None:
    module = ModuleType('one')
    sys.modules['one'] = sys.modules['two'] = module
    try:
        assert [found.name for found in loaded_modules() if found.name in ('one', 'two')] == ['one']
    finally:
        del sys.modules['one'], sys.modules['two']
