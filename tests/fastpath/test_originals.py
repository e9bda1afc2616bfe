"""is_original(): it recognises a package's own functions, even if the first call comes after a patch."""

from __future__ import annotations

import functools
import types
from unittest import mock

import pytest
import redis
import redis.commands.core
import rq.job
import rq.registry

from rqreg_ext._fastpath.originals import code_of, is_defined, is_original, note_replaced_code, original_code

OWN = [
    (rq.registry.BaseRegistry, 'remove', 'rq.registry', 'BaseRegistry.remove'),
    (rq.registry.BaseRegistry, 'count', 'rq.registry', 'BaseRegistry.count'),
    (rq.registry.StartedJobRegistry, 'cleanup', 'rq.registry', 'StartedJobRegistry.cleanup'),
    (rq.job.Job, 'fetch', 'rq.job', 'Job.fetch'),
    (rq.job.Job, 'delete', 'rq.job', 'Job.delete'),
    (redis.Redis, 'execute_command', 'redis.client', 'Redis.execute_command'),
    (redis.Redis, 'zcard', 'redis.commands.core', 'SortedSetCommands.zcard'),
]


@pytest.mark.parametrize(('owner', 'name', 'module', 'qualname'), OWN, ids=lambda value: str(value))
def test_function_of_package_is_original(owner: type, name: str, module: str, qualname: str) -> None:
    assert is_original(getattr(owner, name), module, qualname)


@pytest.mark.parametrize(('owner', 'name', 'module', 'qualname'), OWN, ids=lambda value: str(value))
def test_mock_is_not_original(owner: type, name: str, module: str, qualname: str) -> None:
    with mock.patch.object(owner, name):
        assert not is_original(getattr(owner, name), module, qualname)
    assert is_original(getattr(owner, name), module, qualname)


def test_wrapper_is_not_original() -> None:
    original = rq.job.Job.delete

    @functools.wraps(original)
    def wrapper(*args: object, **kwargs: object) -> object:
        return original(*args, **kwargs)

    assert wrapper.__qualname__ == 'Job.delete'
    assert wrapper.__module__ == 'rq.job'
    assert not is_original(wrapper, 'rq.job', 'Job.delete')


class Proxy:
    """Imitates the wrapped object, as the wrappers of tracing libraries do."""

    def __init__(self, wrapped: object) -> None:
        self._wrapped = wrapped

    @property
    def __class__(self) -> type:
        return type(self._wrapped)

    def __getattr__(self, name: str) -> object:
        return getattr(self._wrapped, name)


@pytest.mark.parametrize(('owner', 'name'), [(rq.job.Job, 'fetch'), (rq.job.Job, 'key'), (rq.job.Job, 'delete')])
def test_proxy_is_not_original(owner: type, name: str) -> None:
    proxy = Proxy(vars(owner)[name])
    assert isinstance(proxy, type(vars(owner)[name]))
    assert is_original(vars(owner)[name], 'rq.job', f'Job.{name}')
    assert not is_original(proxy, 'rq.job', f'Job.{name}')


def test_other_function_of_package_is_not_original() -> None:
    assert not is_original(rq.job.Job.save, 'rq.job', 'Job.delete')


def test_function_with_other_globals_is_not_original() -> None:
    original = rq.job.Job.delete
    copied = types.FunctionType(original.__code__, {**original.__globals__}, original.__name__)
    assert not is_original(copied, 'rq.job', 'Job.delete')


def test_function_with_replaced_code_is_not_original() -> None:
    function, code = rq.job.Job.delete, rq.job.Job.delete.__code__
    try:
        function.__code__ = (lambda self, pipeline=None, remove_from_queue=True, delete_dependents=False: None).__code__
        assert not is_original(function, 'rq.job', 'Job.delete')
    finally:
        function.__code__ = code
    assert is_original(function, 'rq.job', 'Job.delete')


def test_builtin_is_not_original() -> None:
    assert not is_original(len, 'rq.job', 'Job.delete')
    assert not is_original(None, 'rq.job', 'Job.delete')


def test_code_replaced_by_install_counts_as_original() -> None:
    function, code = rq.job.Job.delete, rq.job.Job.delete.__code__
    ours = code.replace(co_name='ours')
    try:
        function.__code__ = ours
        assert not is_original(function, 'rq.job', 'Job.delete')
        note_replaced_code(ours, code)
        assert is_original(function, 'rq.job', 'Job.delete')
        assert original_code(function) is code
    finally:
        function.__code__ = code


def test_definitions_are_read_from_module_file() -> None:
    assert is_defined('rq.job', 'Job.delete')
    assert is_defined('rq.job', 'Job')
    assert not is_defined('rq.job', 'as_text')
    code = code_of('rq.registry', 'clean_registries')
    assert code is not None
    assert code.co_name == 'clean_registries'
    # There are two of this name: the property and its setter.
    assert code_of('rq.job', 'Job.data') is None
