"""What is easily given wrong, in the calls that find and change jobs: each error names the value and the remedy."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import redis
from rq import Queue
from rq.job import Job

import rqreg_ext
from rqreg_ext.registry import FailedJobRegistry

DAY = timedelta(days=1)
MOMENT = datetime(2026, 1, 1, tzinfo=timezone.utc)

Call = Callable[[Any], Any]


def a_job(failed: Any) -> Job:
    return Job.create('len', id='a-job', connection=failed.connection)


MISTAKES: list[tuple[Call, type[Exception], str]] = [
    (lambda failed: failed.purge(DAY), TypeError, r'purge\(\) takes .* by name: .* ended_before=datetime.timedelta'),
    (lambda failed: failed.purge(MOMENT.date()), TypeError, r'ended_before=datetime\.date\(2026, 1, 1\)'),
    (lambda failed: failed.requeue_all(MOMENT), TypeError, r'requeue_all\(\) .* ended_before=datetime\.datetime\(2026'),
    (lambda failed: failed.find('app.*'), TypeError, r"find\(\) .* give func_name='app\.\*', .* exc_info='app\.\*'"),
    (lambda failed: failed.purge(True), TypeError, r'purge\(\) .* by name: True has none\. Write dry_run=True'),
    (
        lambda failed: failed.purge(exc_info='*Down*'),
        ValueError,
        r"exc_info='\*Down\*' .*: give 'Down', .* re\.compile",
    ),
    (lambda failed: failed.requeue_all(exc_info='Down*'), ValueError, r"exc_info='Down\*' .*: give 'Down'"),
    (lambda failed: failed.purge(dryrun=True), TypeError, r"no filter 'dryrun' \(did you mean 'dry_run'\?\)"),
    (lambda failed: failed.find(func='x'), TypeError, r"no filter 'func' \(did you mean 'func_name'"),
    (lambda failed: failed.find(func_name=len), TypeError, r"func_name=<built-in .*: give its name, 'builtins\.len'"),
    (lambda failed: failed.find(exc_info=KeyError), TypeError, r"exc_info=<class .*: give its name, 'KeyError', or"),
    (
        lambda failed: failed.find(exc_info=redis.RedisError),
        TypeError,
        r"exc_info=.*: give its name, 'redis\.exceptions\.RedisError', or",
    ),
    (lambda failed: failed.purge(exc_info=''), ValueError, r"exc_info='' .* every text: .* leave exc_info out"),
    (lambda failed: failed.requeue_all(exc_info=''), ValueError, "exc_info=''"),
    (lambda failed: failed.find(exc_info=''), ValueError, "exc_info=''"),
    (
        lambda failed: failed.purge(ended_after=MOMENT + DAY, ended_before=MOMENT),
        ValueError,
        r'ended_after=datetime.* is later than ended_before=datetime.*: swap them',
    ),
    (
        lambda failed: failed.find(enqueued_after=DAY, enqueued_before=7 * DAY),
        ValueError,
        r'enqueued_after=datetime.timedelta\(days=1\) is later than enqueued_before=datetime.timedelta\(days=7\)',
    ),
    (lambda failed: failed.purge(min_score=2, max_score=1), ValueError, 'min_score=2 is greater than max_score=1'),
    (
        lambda failed: failed.purge(order_by='end'),
        TypeError,
        r'takes no order_by: give order_by to find\(\), and .* to remove_many\(\), requeue_many\(\)',
    ),
    (lambda failed: failed.requeue_all(delete_job=True), TypeError, 'this call takes no delete_job'),
    (lambda failed: failed.find(dry_run=True), TypeError, 'this call takes no dry_run'),
    (lambda failed: failed.find(job_id=a_job(failed)), TypeError, r"job_id=Job\('a-job'.*: give its id, 'a-job'"),
    (lambda failed: failed.find(job_id=['a', 'b']), TypeError, r"job_id=\['a', 'b'\] .*for several re\.compile"),
    (lambda failed: failed.remove_many(a_job(failed)), TypeError, r"Job\('a-job'.* give a list of one"),
    (lambda failed: failed.requeue_many('a-job'), TypeError, "'a-job' is not a collection .* give a list of one"),
    (lambda failed: failed.cancel_many([7]), TypeError, r'7 is not a job: give job ids \(str\) or Job objects'),
    (lambda failed: failed.contains_many([None]), TypeError, 'None is not a job id: give ids, or Job objects'),
]
IN_ALL_QUEUES: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    ((DAY,), {}, ValueError, r'registry=datetime\.timedelta.*, and the time as ended_before='),
    (('faild',), {}, ValueError, r"registry='faild' .*: give one of .* \(did you mean 'failed'\?\)"),
    (('failed_job_registry',), {}, ValueError, r"\(did you mean 'failed'\?\)"),
    ((FailedJobRegistry,), {}, ValueError, "registry=<class .*: give one of 'finished', 'failed'"),
    ((FailedJobRegistry('q', connection=redis.Redis()),), {}, ValueError, 'registry=<.*: give one of'),
    (('queued',), {}, ValueError, r"registry='queued' .*\. Jobs that wait are .* no registry: take WaitingJobs"),
    (('orders',), {}, ValueError, r"registry='orders' .*\. The names of queues go into queues="),
    ((), {'queues': b'q'}, TypeError, r"queues=b'q' names no queues: give names or Queue objects"),
    ((), {'queues': DAY}, TypeError, r'queues=datetime\.timedelta.* names no queues: give names or Queue objects'),
    ((), {'queues': [7]}, TypeError, '7 in queues is not a queue: give a name or a Queue object'),
    ((), {'exc_info': ''}, ValueError, "exc_info=''"),
    ((), {'ended_after': DAY, 'ended_before': 7 * DAY}, ValueError, 'ended_after=.* is later than ended_before='),
    ((), {'min_score': 2, 'max_score': 1}, ValueError, 'min_score=2 is greater than max_score=1'),
    ((), {'desc': True}, TypeError, 'this call takes no desc'),
    ((), {'dryrun': True}, TypeError, r"no filter 'dryrun' \(did you mean 'dry_run'\?\)"),
]


@pytest.mark.parametrize(('call', 'error', 'words'), MISTAKES, ids=[words for _, _, words in MISTAKES])
def test_mistake_is_refused_with_the_remedy(
    connection: redis.Redis, call: Call, error: type[Exception], words: str
) -> None:
    failed = FailedJobRegistry('q', connection=connection)
    connection.zadd(failed.key, {'a-job': 4e9})
    with pytest.raises(error, match=words):
        call(failed)
    assert connection.zcard(failed.key) == 1


@pytest.mark.parametrize('method', [rqreg_ext.purge, rqreg_ext.requeue_all])
@pytest.mark.parametrize(
    ('arguments', 'options', 'error', 'words'), IN_ALL_QUEUES, ids=[words for *_, words in IN_ALL_QUEUES]
)
def test_mistake_in_all_queues_is_refused_with_the_remedy(
    connection: redis.Redis, method: Any, arguments: Any, options: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        method(connection, *arguments, **options)


def test_one_queue_is_given_as_it_is(connection: redis.Redis) -> None:
    queue = Queue('q', connection=connection)
    connection.zadd('rq:failed:q', {'gone': 4e9})
    for queues in ('q', queue, ['q'], [queue]):
        assert list(rqreg_ext.purge(connection, queues=queues, dry_run=True)) == ['q']


def test_text_with_a_star_inside_is_searched_for(connection: redis.Redis) -> None:
    failed = FailedJobRegistry('q', connection=connection)
    connection.zadd(failed.key, {'a-job': 4e9})
    connection.hset('rq:job:a-job', mapping={'exc_info': b'failed: SELECT * FROM t', 'created_at': 'x'})
    assert list(failed.find(exc_info='SELECT * FROM')) == ['a-job']


def test_help_still_shows_the_arguments() -> None:
    assert list(inspect.signature(FailedJobRegistry.purge).parameters)[:2] == ['self', 'delete_job']
    assert list(inspect.signature(FailedJobRegistry.find).parameters)[:2] == ['self', 'fields']
