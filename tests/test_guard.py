"""Guard remembers an answer until something that it depends on changes; methods_of() does, for a type."""

from __future__ import annotations

import gc
import weakref
from types import CodeType, FunctionType, ModuleType
from typing import Any
from unittest import mock

import pytest
import rq.registry

from rqreg_ext import FailedJobRegistry, _core
from rqreg_ext._installed_rq import Method


class Looked:
    """A look() that counts its calls."""

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


def settled(look: Looked) -> _core.Guard:
    """Return a guard that has seen that nothing changes while it looks."""
    guard = _core.Guard(look)
    for _ in range(3):
        guard.holds()
    look.calls = 0
    return guard


def test_answer_is_remembered() -> None:
    look = Looked(True, (), (Owner,), ())
    guard = settled(look)
    assert guard.holds() is True
    assert look.calls == 0


def test_changed_type_is_looked_at_again() -> None:
    look = Looked(True, (), (Derived,), ())
    guard = settled(look)
    with mock.patch.object(Owner, 'method'):
        look.found = (False, *look.found[1:])
        assert guard.holds() is False
        assert look.calls == 1
    look.found = (True, *look.found[1:])
    assert guard.holds() is True


def test_changed_name_is_looked_at_again() -> None:
    module = ModuleType('some')
    names = vars(module)
    value = object()
    names['known'] = value
    look = Looked(True, ((names, 'known', value), (names, 'missing')), (), ())
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


def test_replaced_code_is_looked_at_again() -> None:
    function = FunctionType(Owner.method.__code__, {})
    look = Looked(True, (), (), ((function, function.__code__),))
    guard = settled(look)
    function.__code__ = function.__code__.replace(co_name='other')
    guard.holds()
    assert look.calls == 1


def test_change_while_looking_is_not_missed() -> None:
    def look() -> Any:
        answer = not hasattr(Owner, 'changed')
        # Somebody else, between the look and its end.
        Owner.changed = True  # type: ignore[attr-defined]
        return answer, (), (Owner,), ()

    guard = _core.Guard(look)
    try:
        assert guard.holds() is True
        assert guard.holds() is False
    finally:
        del Owner.changed  # type: ignore[attr-defined]


def test_error_of_look_is_raised_and_nothing_remembered() -> None:
    look = Looked(True, (), (), ())
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
def test_malformed_answer_is_refused(found: Any) -> None:
    with pytest.raises(TypeError):
        _core.Guard(lambda: found).holds()


def test_guard_is_collected_in_a_cycle() -> None:
    class Look:
        def __call__(self) -> Any:
            return True, (), (), ()

    look = Look()
    look.guard = _core.Guard(look)  # type: ignore[attr-defined]
    look.guard.holds()  # type: ignore[attr-defined]
    gone = weakref.ref(look)
    del look
    gc.collect()
    assert gone() is None


# ---- methods_of()


def is_in_front(method: Method, owner: type = FailedJobRegistry) -> bool:
    return bool(_core.methods_of(owner)[0] & method)


def is_called(method: Method, owner: type = FailedJobRegistry) -> bool:
    return bool(_core.methods_of(owner)[1] & method)


def test_patched_method_of_rq_is_not_behind_ours() -> None:
    assert is_in_front(Method.REMOVE)
    with mock.patch.object(rq.registry.BaseRegistry, 'remove'):
        assert not is_in_front(Method.REMOVE)
        assert is_in_front(Method.REQUEUE)
    assert is_in_front(Method.REMOVE)


def test_override_is_called_and_ours_is_still_in_front_of_rqs() -> None:
    class Audited(FailedJobRegistry):
        def remove(self, *args: Any, **kwargs: Any) -> Any:
            return super().remove(*args, **kwargs)

    assert is_in_front(Method.REMOVE, Audited)
    assert not is_called(Method.REMOVE, Audited)
    assert is_called(Method.REQUEUE, Audited)


def test_mixin_between_our_class_and_rqs_base_is_heard() -> None:
    class Audit(rq.registry.BaseRegistry):
        def remove(self, *args: Any, **kwargs: Any) -> Any:
            return 'audited'

    class Audited(FailedJobRegistry, Audit):
        pass

    assert not is_in_front(Method.REMOVE, Audited)
    assert Audited('q', mock.Mock()).remove('a') == 'audited'


def test_class_that_answers_for_its_attributes_is_asked_by_rq() -> None:
    class Answering(FailedJobRegistry):
        def __getattribute__(self, name: str) -> Any:
            return super().__getattribute__(name)

    assert _core.methods_of(Answering)[:2] == (0, 0)


def test_replaced_code_of_rq_is_noticed() -> None:
    function = vars(rq.registry.BaseRegistry)['remove']
    code: CodeType = function.__code__
    assert is_in_front(Method.REMOVE)
    try:
        function.__code__ = code.replace(co_name='other')
        assert not is_in_front(Method.REMOVE)
    finally:
        function.__code__ = code
    assert is_in_front(Method.REMOVE)


def test_methods_of_no_type_is_refused() -> None:
    with pytest.raises(TypeError, match='no type'):
        _core.methods_of(1)  # type: ignore[arg-type]


def test_many_types_are_told_apart() -> None:
    kept = []
    for number in range(200):
        patched = number % 2 == 0
        namespace = {'get_job_ids': lambda self: []} if patched else {}
        owner = type(FailedJobRegistry)(f'Registry{number}', (FailedJobRegistry,), namespace)
        kept.append((owner, patched))
    for _ in range(2):
        for owner, patched in kept:
            assert is_called(Method.GET_JOB_IDS, owner) is not patched


def test_answers_stay_right_after_many_patches() -> None:
    # CPython 3.13 gives a class no more versions after a thousand: then nothing is remembered.
    class Registry(FailedJobRegistry):
        pass

    def get_job_ids(self: Any) -> list[str]:
        return []

    guard = _core.Guard(lambda: ('get_job_ids' not in vars(Registry), (), (Registry,), ()))
    for _ in range(1100):
        Registry.get_job_ids = get_job_ids  # type: ignore[method-assign, assignment]
        assert not is_called(Method.GET_JOB_IDS, Registry)
        assert not guard.holds()
        del Registry.get_job_ids  # type: ignore[misc]
        assert is_called(Method.GET_JOB_IDS, Registry)
        assert guard.holds()
