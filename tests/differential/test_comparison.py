"""The comparison notices differences: each test gives it an implementation that is wrong in one way."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import redis
from rq.exceptions import InvalidJobOperation

from .arguments import APipeline, At, TheJob
from .comparison import Call, Comparison, Different, Setup
from .known_differences import known_differences, running_job_needs_no_scan
from .sides import names_of_ours
from .world import AJob, Entry, World

if TYPE_CHECKING:
    from private_redis import PrivateRedis

OURS = names_of_ours()
FAILED = World(jobs=[AJob('a', 'failed'), AJob('b', 'failed', score='expired')])
RUNNING = World(jobs=[AJob('a', 'started')], entries=[Entry('StartedJobRegistry', 'no-colon')])


@pytest.fixture
def wrong(redis_server: PrivateRedis) -> Iterator[Callable[..., Any]]:
    """Compare RQ with a subclass of our registry that overrides something."""
    made: list[Comparison] = []

    def run(
        kind: str, call: Call, world: World = FAILED, setup: Setup | None = None, allowed: Any = None, **overrides: Any
    ) -> None:
        base = OURS[kind]
        made.append(Comparison(redis_server, {**OURS, kind: type(base.__name__, (base,), overrides)}))
        options = {'allowed': allowed} if allowed else {}
        made[-1].run(kind, [call], world, setup, **options)

    yield run
    for comparison in made:
        comparison.close()


@contextmanager
def noticed(pattern: str) -> Iterator[None]:
    with pytest.raises(Different, match=rf'\n  {pattern}'):
        yield


def test_nothing_is_noticed_in_a_subclass_that_changes_nothing(wrong: Callable[..., Any]) -> None:
    wrong('FailedJobRegistry', Call('get_job_ids'))


def test_count_off_by_one_is_noticed(wrong: Callable[..., Any]) -> None:
    with noticed('result'):
        wrong('FailedJobRegistry', Call('get_job_count'), get_job_count=lambda self, cleanup=True: 2)


def test_result_of_other_type_is_noticed(wrong: Callable[..., Any]) -> None:
    with noticed('result'):
        wrong('FailedJobRegistry', Call('get_job_count', cleanup=False), get_job_count=lambda self, cleanup=True: 2.0)


def test_bytes_where_rq_returns_text_are_noticed(wrong: Callable[..., Any]) -> None:
    with noticed('result'):
        wrong('FailedJobRegistry', Call('get_job_ids', cleanup=False), get_job_ids=lambda self, **_: [b'b', b'a'])


def test_ids_in_another_order_are_noticed(wrong: Callable[..., Any]) -> None:
    with noticed('result'):
        wrong('FailedJobRegistry', Call('get_job_ids', cleanup=False), get_job_ids=lambda self, **_: ['a', 'b'])


def test_tuple_instead_of_list_is_noticed(wrong: Callable[..., Any]) -> None:
    with noticed('result'):
        wrong('FailedJobRegistry', Call('get_job_ids', cleanup=False), get_job_ids=lambda self, **_: ('b', 'a'))


def test_entry_not_removed_is_noticed(wrong: Callable[..., Any]) -> None:
    with noticed("database: b'rq:failed:q'"):
        wrong('FailedJobRegistry', Call('remove', 'a'), remove=lambda self, job: 1)


def test_missing_cleanup_is_noticed(wrong: Callable[..., Any]) -> None:
    with noticed("database: b'rq:failed:q'"):
        wrong('FailedJobRegistry', Call('cleanup'), cleanup=lambda self: None)


def test_key_left_behind_is_noticed(wrong: Callable[..., Any]) -> None:
    def remove(self: Any, job: str, delete_job: bool = False) -> int:
        self.connection.zrem(self.key, job)
        return 1

    with noticed("database: only ours has b'rq:job:a'"):
        wrong('FailedJobRegistry', Call('remove', 'a', delete_job=True), remove=remove)


def test_missing_key_is_noticed(wrong: Callable[..., Any]) -> None:
    def remove(self: Any, job: str) -> Any:
        self.connection.delete('rq:job:b')
        return self.connection.zrem(self.key, job)

    with noticed("database: only RQ has b'rq:job:b'"):
        wrong('FailedJobRegistry', Call('remove', 'a'), remove=remove)


def test_other_score_is_noticed(wrong: Callable[..., Any]) -> None:
    def add(self: Any, job: Any, ttl: int) -> Any:
        return self.connection.zadd(self.key, {job.id: At(ttl + 60).seconds + 1})

    with noticed("database: b'rq:finished:q'"):
        wrong('FinishedJobRegistry', Call('add', TheJob('a'), 500), add=add)


@pytest.mark.parametrize('ttl', [None, 4000])
def test_other_expiry_is_noticed(wrong: Callable[..., Any], ttl: int | None) -> None:
    def remove(self: Any, job: str) -> Any:
        self.connection.expire('rq:job:a', ttl) if ttl else self.connection.persist('rq:job:a')
        return self.connection.zrem(self.key, job)

    world = World(jobs=[AJob('a', 'failed', ['hash_expires'])])
    with noticed("database: b'rq:job:a': RQ lets it expire"):
        wrong('FailedJobRegistry', Call('remove', 'a'), world, remove=remove)


def test_other_field_of_hash_is_noticed(wrong: Callable[..., Any]) -> None:
    def requeue(self: Any, job: str) -> Any:
        result = OURS['FailedJobRegistry'].requeue(self, job)
        self.connection.hset('rq:job:a', 'timeout', 181)
        return result

    with noticed("database: b'rq:job:a'"):
        wrong('FailedJobRegistry', Call('requeue', 'a'), requeue=requeue)


def test_time_in_other_format_is_noticed(wrong: Callable[..., Any]) -> None:
    def requeue(self: Any, job: str) -> Any:
        result = OURS['FailedJobRegistry'].requeue(self, job)
        text = self.connection.hget('rq:job:a', 'enqueued_at')
        self.connection.hset('rq:job:a', 'enqueued_at', text[:19] + b'Z')
        return result

    with noticed("database: b'rq:job:a'"):
        wrong('FailedJobRegistry', Call('requeue', 'a'), requeue=requeue)


def test_old_time_instead_of_present_is_noticed(wrong: Callable[..., Any]) -> None:
    def requeue(self: Any, job: str) -> Any:
        result = OURS['FailedJobRegistry'].requeue(self, job)
        self.connection.hset('rq:job:a', 'enqueued_at', '2024-02-29T12:30:00.250000Z')
        return result

    with noticed("database: b'rq:job:a': field b'enqueued_at'"):
        wrong('FailedJobRegistry', Call('requeue', 'a'), requeue=requeue)


def test_other_attribute_of_returned_job_is_noticed(wrong: Callable[..., Any]) -> None:
    def requeue(self: Any, job: str) -> Any:
        result = OURS['FailedJobRegistry'].requeue(self, job)
        result._exc_info = None
        return result

    with noticed('result'):
        wrong('FailedJobRegistry', Call('requeue', 'a'), requeue=requeue)


def test_changed_argument_is_noticed(wrong: Callable[..., Any]) -> None:
    def remove(self: Any, job: Any) -> Any:
        job.description = 'removed'
        return self.connection.zrem(self.key, job.id)

    with noticed('arguments afterwards'):
        wrong('FailedJobRegistry', Call('remove', TheJob('a')), remove=remove)


def test_command_missing_in_pipeline_is_noticed(wrong: Callable[..., Any]) -> None:
    with noticed('pipelines'):
        wrong('FailedJobRegistry', Call('remove', 'a', APipeline()), remove=lambda self, job, pipeline: pipeline)


def test_no_exception_where_rq_raises_is_noticed(wrong: Callable[..., Any]) -> None:
    with noticed('exception'):
        wrong('FailedJobRegistry', Call('requeue', 'missing'), requeue=lambda self, job: None)


def test_other_exception_is_noticed(wrong: Callable[..., Any]) -> None:
    def requeue(self: Any, job: str) -> None:
        raise InvalidJobOperation

    with noticed('exception'):
        wrong('FailedJobRegistry', Call('requeue', 'missing'), requeue=requeue)


def test_other_arguments_of_the_exception_are_noticed(wrong: Callable[..., Any]) -> None:
    def requeue(self: Any, job: str) -> None:
        raise InvalidJobOperation('not in the registry')

    with noticed('exception'):
        wrong('FailedJobRegistry', Call('requeue', TheJob('stale')), World(), requeue=requeue)


def test_missing_log_line_is_noticed(wrong: Callable[..., Any]) -> None:
    def requeue(self: Any, job: str) -> Any:
        logger = logging.getLogger('rq.queue')
        logger.disabled = True
        try:
            return OURS['FailedJobRegistry'].requeue(self, job)
        finally:
            logger.disabled = False

    with noticed('log records'):
        wrong('FailedJobRegistry', Call('requeue', 'a'), requeue=requeue)


def test_additional_log_line_is_noticed(wrong: Callable[..., Any]) -> None:
    def cleanup(self: Any) -> None:
        logging.getLogger('rqreg_ext').debug('cleaning up')
        self.connection.zremrangebyscore(self.key, 0, 2_000_000_000 - 1)

    world = World(jobs=[AJob('a', 'failed', score='inf')])
    with noticed('log records'):
        wrong('FailedJobRegistry', Call('cleanup'), world, cleanup=cleanup)


def test_missing_warning_is_noticed(wrong: Callable[..., Any]) -> None:
    def get_job_ids(self: Any, cleanup: bool) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return OURS['StartedJobRegistry'].get_job_ids(self, cleanup=cleanup)

    with noticed('warnings'):
        wrong('StartedJobRegistry', Call('get_job_ids', cleanup=False), RUNNING, get_job_ids=get_job_ids)


def test_another_text_for_wrong_arguments_is_noticed(wrong: Callable[..., Any]) -> None:
    with noticed('exception'):
        wrong(
            'FailedJobRegistry', Call('get_job_count', no_such_argument=1), get_job_count=lambda self, cleanup=True: 1
        )


def test_another_attribute_of_the_registry_is_noticed(wrong: Callable[..., Any]) -> None:
    with noticed('construction: result'):
        wrong('FailedJobRegistry', Call('len'), key_template='rq:failure:{0}')


def test_change_past_prefixing_client_is_noticed(wrong: Callable[..., Any]) -> None:
    """By a client that puts a prefix before each key of its own."""

    def remove(self: Any, job: str) -> Any:
        removed = super(OURS['FailedJobRegistry'], self).remove(job)
        with redis.Redis(connection_pool=self.connection.connection_pool) as past_the_client:
            past_the_client.zrem(self.key, job)
        return removed

    setup = Setup(client='prefixing: class')
    with noticed("database: b'rq:failed:q'"):
        wrong('FailedJobRegistry', Call('remove', 'a'), setup=setup, remove=remove)


def test_command_that_rq_does_not_send_is_noticed(wrong: Callable[..., Any]) -> None:
    """By a client of a user who may do no more than RQ's call does."""

    def get_job_count(self: Any, cleanup: bool = True) -> Any:
        return self.connection.zcount(self.key, '-inf', '+inf')

    call = Call('get_job_count', cleanup=False)
    wrong('FailedJobRegistry', call, get_job_count=get_job_count)
    with noticed('exception:\n    RQ.*\n    ours .*NoPermissionError'):
        setup = Setup(client="limited: those of RQ's call")
        wrong('FailedJobRegistry', call, setup=setup, get_job_count=get_job_count)


@pytest.mark.parametrize(
    ('client', 'what'),
    [
        ('zcard fixed in the class', 'log records'),
        ('zcard raises in the instance', 'exception'),
        ("observed: redis-py's classes", 'commands observed'),
        ('observed: class', 'commands observed'),
    ],
)
def test_call_past_methods_of_client_is_noticed(wrong: Callable[..., Any], client: str, what: str) -> None:
    def get_job_count(self: Any, cleanup: bool = True) -> Any:
        with redis.Connection(**self.connection.connection_pool.connection_kwargs) as connection:
            connection.send_command('ZCARD', self.key)
            return connection.read_response()

    with noticed(what):
        setup = Setup(client=client)
        wrong('FailedJobRegistry', Call('get_job_count', cleanup=False), setup=setup, get_job_count=get_job_count)


@pytest.mark.parametrize('rights', ['no HGETALL', 'no cleanup'])
def test_fewer_rights_are_enough_for_a_removal_only(comparison: Comparison, rights: str) -> None:
    setup = Setup(client=f'limited: {rights}')
    call = Call('remove', 'a', delete_job=True)
    comparison.run('FailedJobRegistry', [call], FAILED, setup, known_differences(setup))
    with noticed('exception'):
        comparison.run('FailedJobRegistry', [call], FAILED, setup)
    # As a restart of the server does, in another test.
    user = comparison.rq.client(setup.connection, setup.client).connection_pool.connection_kwargs['username']
    comparison.model.execute_command('ACL', 'DELUSER', user)
    with noticed('exception'):
        comparison.run('FailedJobRegistry', [call], FAILED, setup)
    refused = Call('requeue', 'a') if rights == 'no HGETALL' else Call('count')
    outcomes = comparison.run('FailedJobRegistry', [refused], FAILED, setup)
    assert isinstance(outcomes[0].error, redis.exceptions.NoPermissionError)


def test_known_difference_is_allowed_only_for_running_job(wrong: Callable[..., Any]) -> None:
    overrides = {'allowed': running_job_needs_no_scan, '__contains__': lambda self, item: True}
    wrong('StartedJobRegistry', Call('in', 'a'), RUNNING, **overrides)
    with noticed('result'):
        wrong('StartedJobRegistry', Call('in', 'b'), RUNNING, **overrides)
    with noticed('warnings'):
        wrong('StartedJobRegistry', Call('in', 'a'), RUNNING, __contains__=lambda self, item: True)
