"""A package's own functions are told by what they are, whenever somebody first looks."""

from __future__ import annotations

import functools
import types
from unittest import mock

import pytest
import redis
import redis.commands.core
import rq.job
import rq.registry

from rqreg_ext._originals import is_original

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
def test_function_of_the_package_is_its_own(owner: type, name: str, module: str, qualname: str) -> None:
    assert is_original(getattr(owner, name), module, qualname)


@pytest.mark.parametrize(('owner', 'name', 'module', 'qualname'), OWN, ids=lambda value: str(value))
def test_mock_is_not(owner: type, name: str, module: str, qualname: str) -> None:
    with mock.patch.object(owner, name):
        assert not is_original(getattr(owner, name), module, qualname)
    assert is_original(getattr(owner, name), module, qualname)


def test_wrapper_is_not() -> None:
    original = rq.job.Job.delete

    @functools.wraps(original)
    def wrapper(*args: object, **kwargs: object) -> object:
        return original(*args, **kwargs)

    assert wrapper.__qualname__ == 'Job.delete'
    assert wrapper.__module__ == 'rq.job'
    assert not is_original(wrapper, 'rq.job', 'Job.delete')


def test_another_function_of_the_package_is_not() -> None:
    assert not is_original(rq.job.Job.save, 'rq.job', 'Job.delete')


def test_same_code_with_other_globals_is_not() -> None:
    original = rq.job.Job.delete
    copied = types.FunctionType(original.__code__, {**original.__globals__}, original.__name__)
    assert not is_original(copied, 'rq.job', 'Job.delete')


def test_replaced_code_is_not() -> None:
    function, code = rq.job.Job.delete, rq.job.Job.delete.__code__
    try:
        function.__code__ = (lambda self, pipeline=None, remove_from_queue=True, delete_dependents=False: None).__code__
        assert not is_original(function, 'rq.job', 'Job.delete')
    finally:
        function.__code__ = code
    assert is_original(function, 'rq.job', 'Job.delete')


def test_builtin_is_not() -> None:
    assert not is_original(len, 'rq.job', 'Job.delete')
    assert not is_original(None, 'rq.job', 'Job.delete')
