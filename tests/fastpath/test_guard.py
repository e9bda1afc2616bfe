"""Guard, which caches an answer until something that it depends on changes, and methods_of(), which does for a type."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from types import CodeType, FunctionType, ModuleType
from typing import Any
from unittest import mock

import pytest
import rq.registry

from rqreg_ext import FailedJobRegistry, _core
from rqreg_ext._fastpath.releases import Method


class Look:
    """A function for Guard() that counts its calls."""

    def __init__(self, *found: Any) -> None:
        self.found = found
        self.calls = 0

    def __call__(self) -> Any:
        self.calls += 1
        return self.found


class Owner:
    def method(self) -> int:
        return 1


class Derived(Owner):
    pass


def settled(look: Look) -> _core.Guard:
    """Return a guard that has cached the answer, because nothing changed between two checks."""
    guard = _core.Guard(look)
    for _ in range(3):
        guard.holds()
    look.calls = 0
    return guard


def test_guard_caches_answer() -> None:
    look = Look(True, (), (Owner,), ())
    guard = settled(look)
    assert guard.holds() is True
    assert look.calls == 0


def test_guard_checks_again_after_type_changed() -> None:
    look = Look(True, (), (Derived,), ())
    guard = settled(look)
    with mock.patch.object(Owner, 'method'):
        look.found = (False, *look.found[1:])
        assert guard.holds() is False
        assert look.calls == 1
    look.found = (True, *look.found[1:])
    assert guard.holds() is True


def test_guard_checks_again_after_name_changed() -> None:
    module = ModuleType('some')
    names = vars(module)
    value = object()
    names['known'] = value
    look = Look(True, ((names, 'known', value), (names, 'missing')), (), ())
    guard = settled(look)
    guard.holds()
    assert look.calls == 0
    names['known'] = object()
    guard.holds()
    assert look.calls == 1
    names['known'] = value
    look.calls = 0
    guard.holds()
    assert look.calls == 0
    names['missing'] = 1
    guard.holds()
    assert look.calls == 1
    del names['missing'], names['known']
    guard.holds()
    assert look.calls == 2


def test_guard_checks_names_of_each_dict() -> None:
    value = object()
    first, second = {'known': value}, {'known': value}
    look = Look(True, ((first, 'known', value), (second, 'known', value), (first, 'missing')), (), ())
    guard = settled(look)
    for names in (first, second):
        # A change that is not about the names does not lead to a new look.
        names['other'] = 1
        guard.holds()
        assert look.calls == 0
        names['known'] = object()
        guard.holds()
        assert look.calls == 1
        names['known'] = value
        guard.holds()
        look.calls = 0


def test_guard_checks_again_while_name_is_changed() -> None:
    """An answer is not taken for right because the dict has not changed since the last check."""
    names: dict[str, object] = {'known': 1}
    look = Look(True, ((names, 'known', names['known']),), (), ())
    guard = settled(look)
    names['known'] = 2
    for calls in (1, 2, 3):
        guard.holds()
        assert look.calls == calls


def test_guard_checks_again_after_code_was_replaced() -> None:
    function = FunctionType(Owner.method.__code__, {})
    look = Look(True, (), (), ((function, function.__code__),))
    guard = settled(look)
    function.__code__ = function.__code__.replace(co_name='other')
    guard.holds()
    assert look.calls == 1


def test_guard_notices_change_during_check() -> None:
    def look() -> Any:
        answer = not hasattr(Owner, 'changed')
        # As if another thread did this during the check.
        Owner.changed = True  # type: ignore[attr-defined]
        return answer, (), (Owner,), ()

    guard = _core.Guard(look)
    try:
        assert guard.holds() is True
        assert guard.holds() is False
    finally:
        del Owner.changed  # type: ignore[attr-defined]


def test_guard_raises_error_and_does_not_cache_it() -> None:
    look = Look(True, (), (), ())
    guard = _core.Guard(look)
    look.found = ()
    with pytest.raises(TypeError, match='look'):
        guard.holds()
    look.found = (True, (), (), ())
    assert guard.holds() is True

    def fail() -> Any:
        raise KeyError('once')

    with pytest.raises(KeyError, match='once'):
        _core.Guard(fail).holds()


@pytest.mark.parametrize(
    'found',
    [
        (True, ((),), (), ()),
        (True, ((1, 'name'),), (), ()),
        (True, (), (1,), ()),
        (True, (), (), ((1, 2),)),
        (True, (), (), (1,)),
        (True, [], (), ()),
        None,
    ],
    ids=str,
)
def test_guard_refuses_malformed_answer(found: Any) -> None:
    with pytest.raises(TypeError):
        _core.Guard(lambda: found).holds()


def test_guard_in_cycle_is_collected() -> None:
    class Owning:
        def __call__(self) -> Any:
            return True, (), (), ()

    look = Owning()
    look.guard = _core.Guard(look)  # type: ignore[attr-defined]
    look.guard.holds()  # type: ignore[attr-defined]
    gone = weakref.ref(look)
    del look
    gc.collect()
    assert gone() is None


# ---- methods_of()


def calls_rqs(method: Method, owner: type = FailedJobRegistry) -> bool:
    """Return whether the method that ours would call is RQ's own."""
    return bool(_core.methods_of(owner)[0] & method)


def is_ours_or_rqs(method: Method, owner: type = FailedJobRegistry) -> bool:
    """Return whether the method that a caller gets is ours or RQ's own."""
    return bool(_core.methods_of(owner)[1] & method)


def test_methods_of_notices_patched_method_of_rq() -> None:
    assert calls_rqs(Method.REMOVE)
    with mock.patch.object(rq.registry.BaseRegistry, 'remove'):
        assert not calls_rqs(Method.REMOVE)
        assert calls_rqs(Method.REQUEUE)
    assert calls_rqs(Method.REMOVE)


def test_methods_of_leaves_out_overridden_method_only() -> None:
    class Audited(FailedJobRegistry):
        def remove(self, *args: Any, **kwargs: Any) -> Any:
            return super().remove(*args, **kwargs)

    assert calls_rqs(Method.REMOVE, Audited)
    assert not is_ours_or_rqs(Method.REMOVE, Audited)
    assert is_ours_or_rqs(Method.REQUEUE, Audited)


def test_mixin_between_our_class_and_rqs_base_is_called() -> None:
    class Audit(rq.registry.BaseRegistry):
        def remove(self, *args: Any, **kwargs: Any) -> Any:
            return 'audited'

    class Audited(FailedJobRegistry, Audit):
        pass

    assert not calls_rqs(Method.REMOVE, Audited)
    assert Audited('q', mock.Mock()).remove('a') == 'audited'


def test_methods_of_returns_none_for_class_with_own_getattribute() -> None:
    class Answering(FailedJobRegistry):
        def __getattribute__(self, name: str) -> Any:
            return super().__getattribute__(name)

    assert _core.methods_of(Answering)[:2] == (0, 0)


def test_methods_of_notices_replaced_code_of_rq() -> None:
    function = vars(rq.registry.BaseRegistry)['remove']
    code: CodeType = function.__code__
    assert calls_rqs(Method.REMOVE)
    try:
        function.__code__ = code.replace(co_name='other')
        assert not calls_rqs(Method.REMOVE)
    finally:
        function.__code__ = code
    assert calls_rqs(Method.REMOVE)


def test_methods_of_refuses_argument_that_is_no_type() -> None:
    with pytest.raises(TypeError, match='is not a type'):
        _core.methods_of(1)  # type: ignore[arg-type]


def test_methods_of_distinguishes_many_types() -> None:
    kept = []
    for number in range(200):
        patched = number % 2 == 0
        namespace = {'get_job_ids': lambda self: []} if patched else {}
        owner = type(FailedJobRegistry)(f'Registry{number}', (FailedJobRegistry,), namespace)
        kept.append((owner, patched))
    for _ in range(2):
        for owner, patched in kept:
            assert is_ours_or_rqs(Method.GET_JOB_IDS, owner) is not patched


def test_answers_are_right_after_many_patches() -> None:
    # CPython 3.13 assigns a class at most a thousand versions. After that nothing can be cached.
    class Registry(FailedJobRegistry):
        pass

    def get_job_ids(self: Any) -> list[str]:
        return []

    guard = _core.Guard(lambda: ('get_job_ids' not in vars(Registry), (), (Registry,), ()))
    for _ in range(1100):
        Registry.get_job_ids = get_job_ids  # type: ignore[method-assign, assignment]
        assert not is_ours_or_rqs(Method.GET_JOB_IDS, Registry)
        assert not guard.holds()
        del Registry.get_job_ids  # type: ignore[misc]
        assert is_ours_or_rqs(Method.GET_JOB_IDS, Registry)
        assert guard.holds()


GUARDS = """
from rqreg_ext import _core
from rqreg_ext._fastpath import guards, rq_methods

looks = 0

class Check(rq_methods.RequirementCheck):
    def result(self):
        global looks
        looks += 1
        return super().result()

rq_methods.RequirementCheck = Check
for name, guard in vars(guards).items():
    if isinstance(guard, _core.Guard):
        looks = 0
        for _ in range(9):
            guard.holds()
        print(name, looks)
"""


def test_guards_cache_their_answer_where_some_classes_were_never_used() -> None:
    """CPython gives a class a version when something is first looked up in it."""
    ended = subprocess.run([sys.executable, '-c', GUARDS], capture_output=True, text=True, check=True)
    looks = dict(line.split() for line in ended.stdout.splitlines())
    assert {'delete_guard', 'requeue_guard', 'cancel_guard', 'stop_guard'} <= set(looks)
    assert set(looks.values()) == {'2'}
