"""A patch of RQ's classes is called as RQ would call it, whenever it is made, until it is removed."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from private_redis import PrivateRedis

from .running import output_of

PROGRAM = Path(__file__).with_name('program.py')

# What is patched, how, and the value of what is mocked.
CASES: dict[str, tuple[str, str, Any]] = {
    'remove': ('rq.registry:BaseRegistry.remove', 'mock', 1),
    'remove code': ('rq.registry:BaseRegistry.remove', 'code', None),
    'remove of failed': ('rq.registry:FailedJobRegistry.remove', 'mock', 1),
    'requeue': ('rq.registry:BaseRegistry.requeue', 'mock', None),
    'get_job_ids': ('rq.registry:BaseRegistry.get_job_ids', 'mock', ['j1']),
    'get_job_ids wrapped': ('rq.registry:BaseRegistry.get_job_ids', 'wrap', None),
    'get_job_count': ('rq.registry:BaseRegistry.get_job_count', 'mock', 41),
    'count': ('rq.registry:BaseRegistry.count', 'property', 42),
    'contains': ('rq.registry:BaseRegistry.__contains__', 'mock', False),
    'len': ('rq.registry:BaseRegistry.__len__', 'mock', 43),
    'cleanup': ('rq.registry:BaseRegistry.cleanup', 'mock', None),
    'cleanup of failed': ('rq.registry:FailedJobRegistry.cleanup', 'mock', None),
    'cleanup of started': ('rq.registry:StartedJobRegistry.cleanup', 'mock', None),
    'contains of started': ('rq.registry:StartedJobRegistry.__contains__', 'mock', False),
    'parse_job_id': ('rq.registry:BaseRegistry.parse_job_id', 'wrap', None),
    'parse_job_id of started': ('rq.registry:StartedJobRegistry.parse_job_id', 'wrap', None),
    'executions of started': ('rq.registry:StartedJobRegistry.get_job_and_execution_ids', 'mock', []),
    'get_expired_job_ids': ('rq.registry:BaseRegistry.get_expired_job_ids', 'mock', []),
    'get_expiration_time': ('rq.registry:BaseRegistry.get_expiration_time', 'mock', None),
    'as_text': ('rq.registry:as_text', 'wrap', None),
    'current_timestamp': ('rq.registry:current_timestamp', 'mock', 10**11),
    'init': ('rq.registry:BaseRegistry.__init__', 'wrap', None),
    'Job.fetch': ('rq.job:Job.fetch', 'wrap', None),
    'Job.delete': ('rq.job:Job.delete', 'mock', None),
    'Job.cancel': ('rq.job:Job.cancel', 'mock', None),
    'Job.save': ('rq.job:Job.save', 'wrap', None),
    'Job._remove_from_registries': ('rq.job:Job._remove_from_registries', 'wrap', None),
    'Queue._enqueue_job': ('rq.queue:Queue._enqueue_job', 'tracer', None),
    'Queue.push_job_id': ('rq.queue:Queue.push_job_id', 'wrap', None),
    'Queue.remove': ('rq.queue:Queue.remove', 'wrap', None),
    'Queue.failed_job_registry': ('rq.queue:Queue.failed_job_registry', 'property', None),
    'remove of canceled': ('rq.registry:CanceledJobRegistry.add', 'wrap', None),
    'executions': ('rq.executions:ExecutionRegistry.delete', 'wrap', None),
    'date': ('rq.job:str_to_date', 'wrap', None),
    'utcparse': ('rq.utils:utcparse', 'wrap', None),
    'as_text of utils': ('rq.utils:as_text', 'wrap', None),
    'decode_redis_hash': ('rq.job:decode_redis_hash', 'wrap', None),
    'setattr': ('rq.job:Job.__setattr__', 'wrap', None),
    'getattribute': ('rq.job:Job.__getattribute__', 'wrap', None),
    'current_timestamp of executions': ('rq.executions:current_timestamp', 'wrap', None),
    'now': ('rq.utils:now', 'wrap', None),
}
MODES = ['import line', 'install']
# Each of these is patched in a process of its own, in which it is the first thing that happens.
FIRST = [
    'remove',
    'remove of failed',
    'requeue',
    'get_job_ids',
    'get_job_count',
    'count',
    'contains',
    'cleanup of failed',
    'cleanup of started',
    'parse_job_id',
    'current_timestamp',
    'Job.fetch',
    'Job.delete',
    'Job.cancel',
    'Queue._enqueue_job',
    'Queue.remove',
    'utcparse',
    'setattr',
    'getattribute',
]
# These are asked as often as a call happens to need them.
HELPERS = [
    'as_text',
    'as_text of utils',
    'current_timestamp',
    'current_timestamp of executions',
    'date',
    'decode_redis_hash',
    'getattribute',
    'init',
    'now',
    'parse_job_id',
    'setattr',
    'utcparse',
]
# Ours asks more often than RQ's loop does: what an entry is before the first chunk, how many there are.
MANY = ['purge', 'requeue_all', 'remove_many', 'cancel_many', 'purge of all queues']


def run(server: PrivateRedis, mode: str, moment: str, cases: dict[str, Any]) -> Any:
    wanted = {'mode': mode, 'moment': moment, 'cases': cases, 'socket': str(server.socket_path)}
    return output_of(str(PROGRAM), json.dumps(wanted))


@cache
def by_rq(server: PrivateRedis) -> Any:
    """Return what RQ's own calls and loops do under each patch."""
    return run(server, 'plain', 'after first call', CASES)['under']


def check(plain: dict[str, Any], output: dict[str, Any], is_helper: bool) -> None:
    for call, expected in plain.items():
        found = output[call]
        assert found['keys'] == expected['keys'], call
        assert found['value'] == expected['value'], call
        if call in MANY or is_helper:
            assert found['calls'] > 0 or not expected['calls'], call
        else:
            assert found['calls'] == expected['calls'], call


@pytest.mark.covering(1)
@pytest.mark.parametrize('case', FIRST)
@pytest.mark.parametrize('moment', ['before import', 'before first call'])
@pytest.mark.parametrize('mode', MODES)
def test_patch_is_called_as_by_rq(redis_server: PrivateRedis, mode: str, moment: str, case: str) -> None:
    output = run(redis_server, mode, moment, {case: CASES[case]})
    check(by_rq(redis_server)[case], output['under'][case], case in HELPERS)
    assert all(not left for left in output['left'].values()), output['left']


@pytest.mark.parametrize('mode', MODES)
def test_successive_patches_are_called_as_by_rq(redis_server: PrivateRedis, mode: str) -> None:
    output = run(redis_server, mode, 'after first call', CASES)
    for case, expected in by_rq(redis_server).items():
        check(expected, output['under'][case], case in HELPERS)
    assert all(not left for left in output['left'].values()), output['left']


def test_each_patch_is_called_by_some_rq_call(redis_server: PrivateRedis) -> None:
    for case, calls in by_rq(redis_server).items():
        assert any(of_call['calls'] for of_call in calls.values()), case


@pytest.mark.parametrize('mode', MODES)
def test_without_patches_no_function_of_rq_runs(redis_server: PrivateRedis, mode: str) -> None:
    assert all(not left for left in run(redis_server, mode, 'before first call', {})['left'].values())
