"""ExecutionRegistry, and how StartedJobRegistry handles executions, compared with RQ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import rq.executions
from differential.arguments import APipeline, At, TheExecution, TheJob
from differential.comparison import Call, Setup
from differential.observe import Outcome
from differential.world import AJob, Entry, World
from redis import Redis

import rqreg_ext
import rqreg_ext.executions

Same = Callable[..., Outcome]

# A running execution, an abandoned one, and one whose hash is missing.
RUNNING = World(jobs=[AJob('a', 'started', ['running', 'abandoned'])])
LOST = World(jobs=[AJob('a', 'started', ['lost_execution'])])


def test_count_drops_expired_executions(same_as_rq: Same) -> None:
    outcome = same_as_rq('ExecutionRegistry', Call('count'), world=RUNNING)
    assert outcome.value == 2
    assert [member for member, _ in outcome.database[b'rq:executions:a'].content] == [b'live', b'run']


def test_get_execution_ids_returns_ids_by_score(same_as_rq: Same) -> None:
    assert same_as_rq('ExecutionRegistry', Call('get_execution_ids'), world=RUNNING).value == ['live', 'run']


@pytest.mark.parametrize(('start', 'end'), [(0, 0), (1, 5), (-1, -1), (5, 9)])
def test_get_execution_ids_returns_those_of_a_range(same_as_rq: Same, start: int, end: int) -> None:
    call = Call('get_execution_ids', start, end=end)
    assert len(same_as_rq('ExecutionRegistry', call, world=RUNNING).value) == (0 if start == 5 else 1)


def test_get_job_ids_returns_execution_ids(same_as_rq: Same) -> None:
    call = Call('get_job_ids', desc=True, cleanup=False)
    assert same_as_rq('ExecutionRegistry', call, world=RUNNING).value == ['run', 'live', 'dead']


def test_get_executions_returns_executions_of_rq(same_as_rq: Same) -> None:
    outcome = same_as_rq('ExecutionRegistry', Call('get_executions'), world=RUNNING)
    assert [type(execution) for execution in outcome.value] == [rq.executions.Execution] * 2


def test_get_executions_raises_if_hash_is_missing(same_as_rq: Same) -> None:
    assert isinstance(same_as_rq('ExecutionRegistry', Call('get_executions'), world=LOST).error, ValueError)


@pytest.mark.parametrize('item', ['live', 'dead', 'missing', None, b'live'])
def test_membership_of_execution_equals_rq(same_as_rq: Same, item: Any) -> None:
    same_as_rq('ExecutionRegistry', Call('in', item), world=RUNNING)


def test_cleanup_drops_executions_that_expired_by_given_time(same_as_rq: Same) -> None:
    assert b'rq:executions:a' not in same_as_rq('ExecutionRegistry', Call('cleanup', At(2000)), world=RUNNING).database


@pytest.mark.parametrize('member', ['é', b'\xff'])
def test_non_ascii_execution_ids_have_same_outcome_as_rq(same_as_rq: Same, member: str | bytes) -> None:
    world = World(entries=[Entry('ExecutionRegistry', member)])
    same_as_rq('ExecutionRegistry', Call('get_execution_ids'), world=world)


def test_add_of_execution_sets_expiry(same_as_rq: Same) -> None:
    call = Call('add', TheExecution('a', 'new'), 500, APipeline())
    assert same_as_rq('ExecutionRegistry', call).database[b'rq:executions:a'].expires is not None


def test_remove_removes_entry(same_as_rq: Same) -> None:
    outcome = same_as_rq('ExecutionRegistry', Call('remove', TheExecution('a', 'live'), APipeline()), world=RUNNING)
    assert len(outcome.database[b'rq:executions:a'].content) == 2


def test_delete_of_executions_equals_rq(same_as_rq: Same) -> None:
    outcome = same_as_rq('ExecutionRegistry', Call('delete', TheJob('a'), APipeline()), world=RUNNING)
    assert b'rq:executions:a' not in outcome.database


@pytest.mark.parametrize('call', [Call('get_queue'), Call('==', None), Call('requeue', 'a')])
def test_unsupported_calls_raise_as_in_rq(same_as_rq: Same, call: Call) -> None:
    assert isinstance(same_as_rq('ExecutionRegistry', call, world=RUNNING).error, AttributeError)


@pytest.mark.parametrize('client', ['decode_responses', 'resp2', 'resp3', 'unix', 'single', 'url'])
def test_get_execution_ids_works_on_every_kind_of_connection(same_as_rq: Same, client: str) -> None:
    setup = Setup(connection=client)
    assert same_as_rq('ExecutionRegistry', Call('get_execution_ids'), world=RUNNING, setup=setup).value == [
        'live',
        'run',
    ]


@pytest.mark.parametrize('registry_class', [rq.executions.ExecutionRegistry, rqreg_ext.ExecutionRegistry])
def test_constructed_registry_has_same_attributes(connection: Redis, registry_class: Any) -> None:
    registry = registry_class('a', connection)
    assert (registry.job_id, registry.key, registry.connection) == ('a', 'rq:executions:a', connection)
    assert not hasattr(registry, 'name')
    with pytest.raises(TypeError, match='connection'):
        registry_class('a')


def test_module_has_every_name_of_rqs() -> None:
    names = [name for name in vars(rq.executions) if not name.startswith('__')]
    assert [name for name in names if not hasattr(rqreg_ext.executions, name)] == []


# The started registry


def test_add_execution_without_ttl_scores_infinity(same_as_rq: Same) -> None:
    call = Call('add_execution', TheExecution('a', 'new'), APipeline(), -1)
    content = same_as_rq('StartedJobRegistry', call).database[b'rq:wip:q'].content
    assert content == [(b'a:new', b'inf')]


def test_remove_execution_with_delete_job_equals_rq(same_as_rq: Same) -> None:
    call = Call('remove_execution', TheExecution('a', 'live'), delete_job=True)
    outcome = same_as_rq('StartedJobRegistry', call, world=RUNNING)
    assert b'a:live' not in dict(outcome.database[b'rq:wip:q'].content)


def test_remove_executions_leaves_entries_of_dead_ones(same_as_rq: Same) -> None:
    outcome = same_as_rq('StartedJobRegistry', Call('remove_executions', TheJob('a')), world=RUNNING)
    assert [member for member, _ in outcome.database[b'rq:wip:q'].content] == [b'a:dead']
