"""find(): it finds the same jobs as a loop over RQ's Job objects."""

from __future__ import annotations

import fnmatch
import re
import time
import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import redis
from clients.recording import Recorder
from differential.database import dump
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.exceptions import NoPermissionError
from rq.job import Job, JobStatus
from rq.results import Result

from rqreg_ext._query.filters import Filters
from rqreg_ext.registry import FailedJobRegistry, StartedJobRegistry

if TYPE_CHECKING:
    from private_redis import PrivateRedis

MONDAY = datetime(2024, 2, 26, 8, 0, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
TEXT = 'Traceback (most recent call last):\n  File "app/tasks.py", line 7, in charge\nConnectionError: no route to {}\n'


def put_job(client: Any, job_id: str, score: float, **attributes: Any) -> Job:
    """Store a job and its latest result as RQ does, and add it to the registry."""
    exception = attributes.pop('exception', None)
    job = Job.create(
        attributes.pop('func_name', 'app.tasks.charge'),
        args=attributes.pop('args', ()),
        connection=client,
        id=job_id,
        origin='q',
        meta=attributes.pop('meta', None),
        description=attributes.pop('description', None),
        kwargs=attributes.pop('kwargs', None),
        status=attributes.pop('status', None),
    )
    for name, value in attributes.items():
        setattr(job, name, value)
    job.save()
    if exception is not None:
        Result.create_failure(job, ttl=500, exc_string=exception)
    client.zadd('rq:failed:q', {job_id: score})
    return job


def populate(client: Any) -> list[Job]:
    return [
        put_job(
            client,
            'charge-1',
            1,
            worker_name='berlin-1',
            enqueued_at=MONDAY,
            started_at=MONDAY,
            ended_at=MONDAY + HOUR,
            status=JobStatus.FAILED,
        ),
        put_job(
            client,
            'charge-2',
            2,
            worker_name='berlin-2',
            exception=TEXT.format('bank'),
            meta={'tenant': 'acme'},
            status=JobStatus.CANCELED,
        ),
        put_job(
            client,
            'mail-1',
            3,
            func_name='app.mails.send',
            description='Mail to Zoë [urgent]',
            meta={'tenant': 'acme', 'tries': 3},
            kwargs={'site': 'a', 'to': {'name': 'Zoë', 'age': 7}},
            enqueued_at=MONDAY + HOUR,
            started_at=MONDAY + HOUR,
            ended_at=MONDAY + 2 * HOUR,
            exception=TEXT.format('mäil'),
            status=JobStatus.FAILED,
        ),
        put_job(
            client,
            'mail-2',
            4,
            func_name='app.mails.Send',
            worker_name='paris-1',
            kwargs={'site': 'b', 'to': {}, 'day': MONDAY},
            meta={'tenant': None, 'note': 'é'},
            enqueued_at=MONDAY + timedelta(microseconds=1),
            created_at=MONDAY,
            status=JobStatus.CREATED,
        ),
        put_job(
            client,
            'other',
            5,
            func_name='lib.run',
            args=('app.tasks', 7),
            meta={'user': {'id': 5, 'groups': ['a', 'b']}},
            enqueued_at=MONDAY - 24 * HOUR,
            created_at=MONDAY - 24 * HOUR,
            status=JobStatus.QUEUED,
        ),
    ]


@pytest.fixture
def registry(any_client: redis.Redis, storing_client: redis.Redis) -> FailedJobRegistry:
    populate(storing_client)
    return FailedJobRegistry('q', connection=any_client)


ALL = ['charge-1', 'charge-2', 'mail-1', 'mail-2', 'other']


@pytest.mark.covering(1)
@pytest.mark.parametrize(
    ('filters', 'found'),
    [
        ({}, ALL),
        ({'job_id': 'mail-*'}, ['mail-1', 'mail-2']),
        ({'job_id': '*-[1]'}, ['charge-1', 'mail-1']),
        ({'job_id': 'mail'}, []),
        ({'job_id': 'MAIL-*'}, []),
        ({'job_id': re.compile('^.{6}$')}, ['mail-1', 'mail-2']),
        ({'func_name': 'app.*'}, ALL[:4]),
        ({'func_name': 'app.mails.send'}, ['mail-1']),
        ({'func_name': re.compile('send', re.IGNORECASE)}, ['mail-1', 'mail-2']),
        ({'description': 'Mail to Zoë*'}, ['mail-1']),
        ({'description': '*[[]urgent]'}, ['mail-1']),
        ({'description': 'app.tasks.*'}, ['charge-1', 'charge-2']),
        ({'description': re.compile(r"\('app.tasks', 7\)$")}, ['other']),
        ({'exc_info': 'no route'}, ['charge-2', 'mail-1']),
        ({'exc_info': 'to mäil\n'}, ['mail-1']),
        ({'exc_info': 'NO ROUTE'}, []),
        ({'exc_info': re.compile(r'^ConnectionError: .* b', re.MULTILINE)}, ['charge-2']),
        ({'exc_type': 'ConnectionError'}, ['charge-2', 'mail-1']),
        ({'exc_type': '*Error'}, ['charge-2', 'mail-1']),
        ({'exc_type': 'Connection'}, []),
        ({'exc_type': re.compile('^Conn')}, ['charge-2', 'mail-1']),
        ({'exc_message': 'to mäil'}, ['mail-1']),
        ({'exc_message': 'ConnectionError'}, []),
        ({'exc_message': re.compile('^no route to [bz]')}, ['charge-2']),
        ({'status': 'failed'}, ['charge-1', 'mail-1']),
        ({'status': JobStatus.CANCELED}, ['charge-2']),
        ({'status': ['failed', JobStatus.CANCELED]}, ['charge-1', 'charge-2', 'mail-1']),
        ({'status': {'created'}}, ['mail-2']),
        ({'args': {0: 'app.tasks'}}, ['other']),
        ({'args': {-1: 7}}, ['other']),
        ({'args': {0: 'app.tasks', 1: 8}}, []),
        ({'args': {2: 7}}, []),
        ({'kwargs': 'site'}, ['mail-1', 'mail-2']),
        ({'kwargs': {'site': 'a'}}, ['mail-1']),
        ({'kwargs': {'to': {'name': 'Zoë'}}}, ['mail-1']),
        ({'kwargs': {('to', 'name'): 'Zoë', 'site': 'a'}}, ['mail-1']),
        ({'kwargs': {('to', 'name', 'first'): 'Zoë'}}, []),
        ({'kwargs': {'to': {}}}, ['mail-2']),
        ({'kwargs': {'day': MONDAY}}, ['mail-2']),
        ({'worker_name': 'berlin-*'}, ['charge-1', 'charge-2']),
        ({'worker_name': '*'}, ['charge-1', 'charge-2', 'mail-2']),
        ({'worker_name': re.compile('-1')}, ['charge-1', 'mail-2']),
        ({'meta': 'tenant'}, ['charge-2', 'mail-1', 'mail-2']),
        ({'meta': {'tenant': 'acme'}}, ['charge-2', 'mail-1']),
        ({'meta': {'tenant': 'acme', 'tries': 3}}, ['mail-1']),
        ({'meta': {'tenant': None}}, ['mail-2']),
        ({'meta': {'missing': None}}, []),
        ({'meta': {'user': {'id': 5}}}, ['other']),
        ({'meta': {('user', 'id'): 5}}, ['other']),
        ({'meta': {('user', 'groups'): ['a', 'b']}}, ['other']),
        ({'meta': {'user': {'id': 6}}}, []),
        ({'meta': {'user': {}}}, []),
        ({'created_before': MONDAY}, ['other']),
        ({'created_after': MONDAY + HOUR}, ['charge-1', 'charge-2', 'mail-1']),
        ({'started_before': MONDAY + HOUR}, ['charge-1']),
        ({'started_after': MONDAY + HOUR}, ['mail-1']),
        ({'enqueued_before': MONDAY}, ['other']),
        ({'enqueued_after': MONDAY}, ['charge-1', 'mail-1', 'mail-2']),
        ({'enqueued_after': MONDAY, 'enqueued_before': MONDAY + HOUR}, ['charge-1', 'mail-2']),
        ({'enqueued_after': MONDAY.astimezone(timezone(5 * HOUR))}, ['charge-1', 'mail-1', 'mail-2']),
        ({'enqueued_after': MONDAY.timestamp() + 1}, ['mail-1']),
        ({'enqueued_after': int(MONDAY.timestamp())}, ['charge-1', 'mail-1', 'mail-2']),
        ({'enqueued_before': timedelta(days=1)}, ['charge-1', 'mail-1', 'mail-2', 'other']),
        ({'enqueued_after': timedelta(days=1)}, []),
        (
            {
                'enqueued_after': datetime.min.replace(tzinfo=timezone.utc),
                'enqueued_before': datetime.max.replace(tzinfo=timezone.utc),
            },
            ['charge-1', 'mail-1', 'mail-2', 'other'],
        ),
        ({'ended_before': MONDAY + 2 * HOUR}, ['charge-1']),
        ({'ended_after': MONDAY + 2 * HOUR}, ['mail-1']),
        ({'min_score': 4}, ['mail-2', 'other']),
        ({'max_score': 2.0}, ['charge-1', 'charge-2']),
        ({'min_score': 2, 'max_score': 4, 'meta': 'tenant', 'worker_name': '*'}, ['charge-2', 'mail-2']),
        ({'exc_info': 'no route', 'func_name': '*charge', 'worker_name': 'berlin-2'}, ['charge-2']),
        ({'job_id': 'mail-*', 'enqueued_after': MONDAY, 'meta': {'tries': 3}}, ['mail-1']),
    ],
)
def test_each_filter_finds_matching_jobs(
    registry: FailedJobRegistry, filters: dict[str, Any], found: list[str]
) -> None:
    assert list(registry.find(**filters)) == found
    assert list(registry.find(**filters, chunk_size=1, desc=True)) == found[::-1]
    # The scores are compared where the entries are read.
    by_score = {name: filters[name] for name in ('min_score', 'max_score') if name in filters}
    others = {name: value for name, value in filters.items() if name not in by_score}
    ids = registry.iter_job_ids(**by_score)
    assert Filters.of(**others).matching(registry, ids) == found


GLOB = st.sampled_from(['*', '?*', 'app.*', '*send', '*-1', 'mail-[12]', '[!m]*', 'x', ''])
MOMENT = st.sampled_from([MONDAY, MONDAY + HOUR, MONDAY - HOUR, MONDAY + timedelta(microseconds=1)])
FILTERS = st.fixed_dictionaries(
    {},
    optional={
        'job_id': GLOB,
        'func_name': GLOB,
        'description': GLOB,
        'worker_name': GLOB,
        'exc_info': st.sampled_from(['\n', 'bank', 'Error: no', 'mäil', 'none']),
        'meta': st.sampled_from(['tenant', 'tries', {'tenant': 'acme'}, {'tries': 3, 'tenant': 'acme'}]),
        'exc_type': st.sampled_from(['ConnectionError', 'C*', 'Value*']),
        'exc_message': st.sampled_from(['bank', 'no route', 'mäil']),
        'status': st.sampled_from(['failed', ['failed', 'queued'], 'canceled']),
        'args': st.sampled_from([{0: 'app.tasks'}, {1: 7, 0: 'app.tasks'}, {5: None}]),
        'kwargs': st.sampled_from(['site', {'site': 'a'}, {'site': 'b', 'day': MONDAY}]),
        'created_before': MOMENT,
        'created_after': MOMENT,
        'started_before': MOMENT,
        'started_after': MOMENT,
        'enqueued_before': MOMENT,
        'enqueued_after': MOMENT,
        'ended_before': MOMENT,
        'ended_after': MOMENT,
        'min_score': st.integers(0, 6),
        'max_score': st.integers(0, 6),
    },
).filter(lambda filters: not contradict(filters))


def contradict(filters: dict[str, Any]) -> bool:
    """Return whether a lower bound is above its upper bound, which is refused."""
    events = ('created', 'started', 'enqueued', 'ended')
    bounds = [('min_score', 'max_score'), *((f'{event}_after', f'{event}_before') for event in events)]
    return any(low in filters and high in filters and filters[low] > filters[high] for low, high in bounds)


def is_in_time(time: datetime | None, when: str, moment: datetime) -> bool:
    return time is not None and (time < moment if when == 'before' else time >= moment)


def matches(job: Job, score: float, filters: dict[str, Any]) -> bool:
    """Return whether a job that RQ loaded matches the filters."""
    tests = {
        'exc_info': lambda text: job.exc_info is not None and text in job.exc_info,
        'meta': lambda value: value in job.meta if isinstance(value, str) else value.items() <= job.meta.items(),
        'exc_message': lambda text: (
            job.exc_info is not None and text in job.exc_info.splitlines()[-1].partition(': ')[2]
        ),
        'status': lambda value: job.get_status(refresh=False) in ([value] if isinstance(value, str) else value),
        'args': lambda value: value.items() <= dict(enumerate(job.args)).items(),
        'kwargs': lambda value: (
            value in job.kwargs if isinstance(value, str) else all(job.kwargs.get(n, '') == value[n] for n in value)
        ),
        **{
            f'{event}_{when}': partial(is_in_time, getattr(job, f'{event}_at'), when)
            for event in ('created', 'started', 'enqueued', 'ended')
            for when in ('before', 'after')
        },
        'min_score': lambda bound: score >= bound,
        'max_score': lambda bound: score <= bound,
    }
    texts = {
        'job_id': job.id,
        'func_name': job.func_name,
        'description': job.description,
        'worker_name': job.worker_name,
        'exc_type': job.exc_info and job.exc_info.splitlines()[-1].partition(':')[0],
    }
    return all(
        texts[name] is not None and fnmatch.fnmatchcase(texts[name], value) if name in texts else tests[name](value)
        for name, value in filters.items()
    )


@pytest.fixture(scope='module')
def populated(redis_server: PrivateRedis) -> Iterator[FailedJobRegistry]:
    with redis_server.client(db=3) as client:
        populate(client)
        yield FailedJobRegistry('q', connection=client)
        client.flushdb()


@settings(max_examples=300, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(FILTERS)
def test_random_filters_find_same_jobs_as_loop_over_jobs(populated: FailedJobRegistry, filters: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)
        expected = [
            job_id
            for job_id, score in populated.iter_entries()
            if matches(Job.fetch(job_id, connection=populated.connection), score, filters)
        ]
    assert list(populated.find(**filters)) == expected


# ---- The fields of the jobs


def test_find_returns_requested_fields(registry: FailedJobRegistry) -> None:
    found = list(registry.find(fields=('func_name', 'meta', 'func_name'), job_id='mail-*'))
    assert found == [
        ('mail-1', {'func_name': 'app.mails.send', 'meta': {'tenant': 'acme', 'tries': 3}}),
        ('mail-2', {'func_name': 'app.mails.Send', 'meta': {'tenant': None, 'note': 'é'}}),
    ]
    assert list(registry.find(fields=['ended_at'], limit=1)) == [('charge-1', {'ended_at': MONDAY + HOUR})]
    assert list(registry.find(fields={'ended_at'}, desc=True, limit=1)) == [('other', {'ended_at': None})]


@pytest.mark.parametrize(('limit', 'count'), [(None, 5), (0, 0), (1, 1), (4, 4), (5, 5), (100, 5), (10**30, 5)])
def test_find_returns_at_most_limit_jobs(registry: FailedJobRegistry, limit: int | None, count: int) -> None:
    assert list(registry.find(limit=limit)) == ALL[:count]
    assert list(registry.find(limit=limit, func_name='*', chunk_size=2)) == ALL[:count]
    assert [job_id for job_id, _ in registry.find(limit=limit, fields=('meta',))] == ALL[:count]


def test_find_returns_none_for_fields_of_missing_job(connection: redis.Redis) -> None:
    populate(connection)
    connection.delete(Job.key_for('mail-1'))
    connection.delete(Job.key_for('mail-2'))
    connection.set(Job.key_for('mail-2'), 'of another type')
    registry = FailedJobRegistry('q', connection=connection)
    assert list(registry.find(job_id='mail-*', max_score=3)) == ['mail-1']
    assert list(registry.find(job_id='mail-*', fields=('status', 'meta', 'origin', 'exc_info'))) == [
        ('mail-1', dict.fromkeys(('status', 'meta', 'origin', 'exc_info'))),
        ('mail-2', dict.fromkeys(('status', 'meta', 'origin', 'exc_info'))),
    ]
    # The results still exist.
    assert connection.exists(Result.get_key('mail-1'))  # type: ignore[no-untyped-call]
    for filters in (
        {'exc_info': re.compile('')},
        {'func_name': '*'},
        {'meta': 'tenant'},
        {'enqueued_after': 10**8},
        {'worker_name': '*'},
    ):
        assert not {'mail-1', 'mail-2'} & set(registry.find(**filters))


@pytest.mark.parametrize('spoiled', [('first',), ('last',), ('first', 'last'), ('first', 'second', 'last')])
@pytest.mark.parametrize('of', [Job.key_for, Result.get_key], ids=['hash', 'results'])
def test_find_shifts_no_replies_for_keys_of_wrong_type(
    connection: redis.Redis, of: Any, spoiled: tuple[str, ...]
) -> None:
    """A key of another type does not shift the replies for the other jobs."""
    for score, job_id in enumerate(('first', 'second', 'third', 'last')):
        put_job(connection, job_id, score, worker_name=f'{job_id}-1', exception=TEXT.format(f'{job_id} fails'))
    for job_id in spoiled:
        connection.delete(of(job_id))
        connection.set(of(job_id), 'of another type')
    registry = FailedJobRegistry('q', connection=connection)
    for job_id in ('first', 'second', 'third', 'last'):
        by_exception = [] if job_id in spoiled else [job_id]
        assert list(registry.find(exc_info=f'{job_id} fails')) == by_exception
        by_worker = [job_id] if of == Result.get_key else by_exception
        assert list(registry.find(worker_name=f'{job_id}-*')) == by_worker
        assert list(registry.find(worker_name='*', exc_info=re.compile(f'{job_id} fails'))) == by_exception


def test_find_returns_started_job_once_per_execution(connection: redis.Redis) -> None:
    put_job(connection, 'a', 1)
    registry = StartedJobRegistry('q', connection=connection)
    connection.zadd(registry.key, {'a:one': time.time() + 100, 'a:two': time.time() - 100, 'gone:x': 1})
    before = dump(connection)
    assert list(registry.find(func_name='app.*')) == ['a', 'a']
    assert list(registry.find(job_id='a', fields=['origin'])) == [('a', {'origin': 'q'})] * 2
    assert dump(connection) == before


def test_find_reads_old_and_malformed_dates(connection: redis.Redis) -> None:
    for job_id, date in {'old': '2024-02-26T08:00:00Z', 'bad': 'yesterday', 'long': 'x' * 26 + 'Z', 'none': ''}.items():
        put_job(connection, job_id, 1)
        connection.hset(Job.key_for(job_id), 'enqueued_at', date)
    registry = FailedJobRegistry('q', connection=connection)
    second = timedelta(seconds=1)
    assert list(registry.find(enqueued_after=MONDAY, enqueued_before=MONDAY + second)) == ['old']
    assert list(registry.find(enqueued_after=MONDAY + second / 1000, enqueued_before=MONDAY + second)) == []
    assert dict(registry.find(fields=('enqueued_at',))) == {
        'old': {'enqueued_at': MONDAY},
        'bad': {'enqueued_at': None},
        'long': {'enqueued_at': None},
        'none': {'enqueued_at': None},
    }


def test_find_uses_key_prefix_of_job_class(connection: redis.Redis) -> None:
    class Mine(Job):
        redis_job_namespace_prefix = 'mine:'

    Mine.create('app.mine', connection=connection, id='a').save()
    put_job(connection, 'a', 1)
    registry = FailedJobRegistry('q', connection=connection, job_class=Mine)
    assert list(registry.find(fields=('func_name',))) == [('a', {'func_name': 'app.mine'})]


# ---- The commands that are sent


@pytest.fixture
def recorder(redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[Recorder]:
    populate(connection)
    with Recorder(redis_server.port) as proxy:
        yield proxy


@pytest.mark.parametrize(
    ('arguments', 'of_jobs'),
    [
        ({'job_id': '*-1', 'max_score': 4}, []),
        ({'job_id': 'nothing', 'func_name': '*'}, []),
        ({'job_id': 'mail-*', 'func_name': '*'}, ['HMGET'] * 2),
        ({'worker_name': '*'}, ['HMGET'] * 5),
        ({'exc_info': 'x'}, ['HMGET', 'XREVRANGE'] * 5),
        ({'fields': ('exc_info',), 'limit': 2}, ['HMGET', 'XREVRANGE'] * 2),
        ({'exc_type': '*', 'exc_message': 'x', 'fields': ('exc_type',)}, ['HMGET', 'XREVRANGE'] * 5),
        ({'kwargs': 'site', 'args': {0: 1}, 'status': 'failed', 'started_before': HOUR}, ['HMGET'] * 5),
    ],
)
def test_find_reads_only_needed_fields(recorder: Recorder, arguments: dict[str, Any], of_jobs: list[str]) -> None:
    registry = FailedJobRegistry('q', connection=redis.Redis(port=recorder.port))
    registry.get_job_count(cleanup=False)
    recorder.clear()
    list(registry.find(**arguments))
    entries, *rest = recorder.blocks
    assert entries == ['ZRANGEBYSCORE', 'ZREVRANGEBYSCORE', 'ZCOUNT']
    assert rest == ([of_jobs] if of_jobs else [])


def test_server_error_is_raised_not_taken_for_missing_job(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    populate(connection)
    for denied, filters in (('hgetall', {'worker_name': '*'}), ('xrevrange', {'exc_info': 'x'})):
        connection.acl_setuser(
            'limited',
            enabled=True,
            passwords=['+secret'],
            reset=True,
            keys=['*'],
            commands=['+@all', '-hmget', f'-{denied}'],
            categories=['+@all'],
        )
        with redis_server.client(username='limited', password='secret') as client:
            registry = FailedJobRegistry('q', connection=client)
            with pytest.raises(NoPermissionError, match=denied):
                list(registry.find(**filters))
    connection.acl_deluser('limited')


# ---- Bad input


@pytest.mark.parametrize(
    ('arguments', 'error', 'words'),
    [
        ({'function': 'x'}, TypeError, "no filter 'function'.*: the filters are job_id, func_name, description"),
        ({'func_name': None}, TypeError, 'func_name=None is not a filter: leave func_name out'),
        ({'max_score': None}, TypeError, 'max_score=None is not a filter'),
        ({'job_id': b'a'}, TypeError, "job_id=b'a' is neither a str nor a pattern of str: give a glob like"),
        ({'job_id': ['a']}, TypeError, r"job_id=\['a'\] is neither a str"),
        ({'worker_name': re.compile(b'a')}, TypeError, r"worker_name=re.compile\(b'a'\) is neither"),
        ({'exc_info': 5}, TypeError, 'exc_info=5 is neither a str nor a pattern of str: give a text that it contains'),
        ({'meta': 5}, TypeError, 'meta=5 is neither a str nor a mapping: give a key, or a dict'),
        ({'meta': {}}, ValueError, 'meta={} is empty'),
        ({'kwargs': ['site']}, TypeError, r"kwargs=\['site'\] is neither a str nor a mapping"),
        ({'kwargs': {}}, ValueError, 'kwargs={} is empty'),
        ({'args': ('a',)}, TypeError, r"args=\('a',\) is not a mapping: give a dict of positions and values"),
        ({'args': {}}, ValueError, 'args={} is empty'),
        ({'args': {'site': 'a'}}, TypeError, "'site' is not a position, which are counted from 0"),
        ({'args': {True: 'a'}}, TypeError, 'True is not a position'),
        ({'status': 'fail'}, ValueError, "'fail' in status is not a status: give some of 'canceled', 'created'"),
        ({'status': ['failed', 5]}, ValueError, '5 in status is not a status'),
        ({'status': []}, ValueError, r'status=\[\] is empty'),
        ({'status': 5}, TypeError, 'status=5 is not a status: give a JobStatus'),
        ({'exc_type': KeyError}, TypeError, "exc_type=.* give its name, 'KeyError'"),
        ({'exc_message': ''}, ValueError, "exc_message='' is found in every text"),
        ({'started_after': 5, 'created_before': 5}, ValueError, 'created_before=5 looks like a duration'),
        ({'enqueued_before': '2024-02-26'}, TypeError, "enqueued_before='2024-02-26' is not a time: give a datetime"),
        ({'ended_after': True}, TypeError, 'ended_after=True is not a time'),
        ({'ended_after': float('nan')}, ValueError, 'ended_after=nan is out of the range'),
        ({'ended_before': 1e300}, ValueError, r'ended_before=1e\+300 is out of the range'),
        ({'enqueued_after': timedelta.max}, ValueError, 'is out of the range of a datetime'),
        (
            {'enqueued_after': datetime.max.replace(tzinfo=timezone(-HOUR))},
            ValueError,
            'is out of the range of a datetime',
        ),
        ({'ended_before': float('inf')}, ValueError, 'ended_before=inf is out of the range'),
        (
            {'ended_before': MONDAY.timestamp() * 1000},
            ValueError,
            'is out of the range .*: give a Unix timestamp in seconds',
        ),
        ({'min_score': '1'}, TypeError, "min_score='1' is not a number"),
        ({'fields': 'func_name'}, TypeError, "fields='func_name' is not a collection of names"),
        ({'fields': 5}, TypeError, 'fields=5 is not a collection of names'),
        ({'fields': ['name']}, ValueError, "'name' in fields is not a field: give some of func_name, instance"),
        ({'fields': [None]}, ValueError, 'None in fields is not a field'),
        ({'limit': -1}, ValueError, 'limit=-1: give the greatest number to find'),
        ({'limit': 1.0}, TypeError, 'limit=1.0 is not an int'),
        ({'limit': True}, TypeError, 'limit=True is not an int'),
        ({'chunk_size': 0}, ValueError, 'chunk_size=0'),
    ],
)
def test_bad_arguments_raise_before_iteration(arguments: dict[str, Any], error: type, words: str) -> None:
    nowhere = FailedJobRegistry(connection=redis.Redis(port=1))
    with pytest.raises(error, match=words):
        nowhere.find(**arguments)


def test_value_that_is_nested_too_deeply_is_none(connection: redis.Redis) -> None:
    put_job(connection, 'deep', 1)
    put_job(connection, 'plain', 2)
    connection.hset(Job.key_for('deep'), 'retry_intervals', '[' * 100_000)
    found = dict(FailedJobRegistry('q', connection=connection).find(fields=['retry_intervals']))
    assert found['deep'] == {'retry_intervals': None}
    assert 'plain' in found
