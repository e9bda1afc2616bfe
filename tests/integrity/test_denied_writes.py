"""Users who may not do one of the commands of a repair: the problem is repaired, or everything is as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis
from differential.database import differences, dump
from private_redis import PrivateRedis
from rq.job import JobStatus

import rqreg_ext
from rqreg_ext import Queue
from rqreg_ext._integrity.problems import Problem, ProblemKind

from . import jobs, states

A_MINUTE_AGO = 61
WRITES = ('sadd', 'srem', 'zadd', 'zrem', 'hset', 'rpush', 'expire', 'del')


def defer_with_met_dependency(queue: Queue) -> None:
    parent = states.scheduled(queue, 'parent')
    states.deferred(queue, 'child', parent, ttl=1000)
    parent.set_status(JobStatus.FINISHED)
    queue.finished_job_registry.add(parent, 1000)
    queue.connection.zrem(queue.scheduled_job_registry.key, 'parent')


def defer_without_being_dependent(queue: Queue) -> None:
    states.deferred(queue, 'child', states.scheduled(queue, 'parent'))
    queue.connection.delete('rq:job:parent:dependents', 'rq:job::child:dependencies')


def make_deferred_orphan(queue: Queue) -> None:
    states.deferred(queue, 'child', states.scheduled(queue, 'parent'))
    queue.connection.delete(queue.deferred_job_registry.key, 'rq:job:parent:dependents', 'rq:job::child:dependencies')


def make_queued_orphan(queue: Queue) -> None:
    queue.enqueue(jobs.succeed, job_id='lost')
    queue.connection.delete(queue.key)


def make_rate_limited_orphan(queue: Queue) -> None:
    from rq.rate_limit import RateLimit

    for job_id in ('first', 'second'):
        queue.enqueue(jobs.succeed, job_id=job_id, rate_limit=RateLimit('site', 1))
    queue.connection.delete('rq:rl:site:rate_limited', 'rq:rl-keys', 'rq:rl:site')


STATES: dict[str, tuple[Callable[[Queue], None], ProblemKind]] = {
    'dependencies met': (defer_with_met_dependency, ProblemKind.DEPENDENCIES_MET),
    'not a dependent': (defer_without_being_dependent, ProblemKind.NOT_A_DEPENDENT),
    'deferred orphan': (make_deferred_orphan, ProblemKind.ORPHAN),
    'queued orphan': (make_queued_orphan, ProblemKind.ORPHAN),
}
if hasattr(JobStatus, 'RATE_LIMITED'):
    STATES['rate limited orphan'] = (make_rate_limited_orphan, ProblemKind.ORPHAN)


@pytest.fixture
def user(redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[Callable[..., redis.Redis]]:
    def make(*rules: str) -> redis.Redis:
        connection.execute_command('ACL', 'SETUSER', 'limited', 'reset', 'on', '>x', '~*', '+@all', *rules)
        return redis_server.client(username='limited', password='x')  # type: ignore[no-any-return]

    yield make
    connection.execute_command('ACL', 'DELUSER', 'limited')


def problem_of(connection: redis.Redis, name: str) -> Problem:
    """Make the state, and return its problem as if it had been found a while ago."""
    make, kind = STATES[name]
    make(Queue('q', connection=connection))
    problem = next(problem for problem in rqreg_ext.check(connection, settle=0) if problem.kind is kind)
    assert problem.repair_step is not None
    if name != 'queued orphan':
        return problem
    *arguments, seen_at = problem.repair_step.arguments
    return replace(problem, repair_step=problem.repair_step._replace(arguments=(*arguments, seen_at - A_MINUTE_AGO)))


def repair(client: redis.Redis, problem: Problem) -> Any:
    try:
        return rqreg_ext.repair(client, [problem])
    except redis.ResponseError as error:
        return error.result  # type: ignore[attr-defined]


@pytest.mark.parametrize('denied', WRITES)
@pytest.mark.parametrize('name', STATES)
def test_denied_command_leaves_everything_unchanged(
    user: Callable[..., redis.Redis], connection: redis.Redis, name: str, denied: str
) -> None:
    problem = problem_of(connection, name)
    before = dump(connection)
    report = repair(user(f'-{denied}'), problem)
    if report.repaired:
        assert repair(connection, problem).gone
    else:
        assert len(report.failed) == 1
        assert differences(before, dump(connection)) == []
        assert repair(connection, problem).repaired


SPOILED = {
    'dependencies met': ['rq:job:parent:dependents', 'rq:queue:q', 'rq:ready:q'],
    'not a dependent': ['rq:job:parent:dependents', 'rq:job::child:dependencies'],
    'deferred orphan': ['rq:job:parent:dependents', 'rq:job::child:dependencies', 'rq:deferred:q'],
    'queued orphan': ['rq:queue:q', 'rq:queues'],
    'rate limited orphan': ['rq:rl-keys', 'rq:rl:site', 'rq:rl:site:rate_limited'],
}


@pytest.mark.parametrize(('name', 'key'), [(name, key) for name in STATES for key in SPOILED[name]])
def test_wrong_key_type_leaves_everything_unchanged(connection: redis.Redis, name: str, key: str) -> None:
    problem = problem_of(connection, name)
    connection.delete(key)
    connection.set(key, 'x')
    before = dump(connection)
    report = repair(connection, problem)
    assert report.repaired or differences(before, dump(connection)) == []
    assert connection.get(key) == b'x'
