"""find(): the jobs that a loop over RQ's Job objects would find, and nothing else."""

from __future__ import annotations

import fnmatch
import re
import time
import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
import redis
from clients.recording import Recorder
from differential.database import dump
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.exceptions import NoPermissionError
from rq.job import Job
from rq.results import Result

from rqreg_ext.registry import FailedJobRegistry, StartedJobRegistry
from rqreg_ext.whole.filters import Filters

if TYPE_CHECKING:
    from private_redis import PrivateRedis

MONDAY = datetime(2024, 2, 26, 8, 0, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
TEXT = 'Traceback (most recent call last):\n  File "app/tasks.py", line 7, in charge\nConnectionError: no route to {}\n'


def put_job(client: Any, job_id: str, score: float, **attributes: Any) -> Job:
    """Store a job as RQ does, with its latest result, and enter it in the registry."""
    exception = attributes.pop('exception', None)
    job = Job.create(
        attributes.pop('func_name', 'app.tasks.charge'),
        args=attributes.pop('args', ()),
        connection=client,
        id=job_id,
        origin='q',
        meta=attributes.pop('meta', None),
        description=attributes.pop('description', None),
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
        put_job(client, 'charge-1', 1, worker_name='berlin-1', enqueued_at=MONDAY, ended_at=MONDAY + HOUR),
        put_job(client, 'charge-2', 2, worker_name='berlin-2', exception=TEXT.format('bank'), meta={'tenant': 'acme'}),
        put_job(
            client,
            'mail-1',
            3,
            func_name='app.mails.send',
            description='Mail to Zoë [urgent]',
            meta={'tenant': 'acme', 'tries': 3},
            enqueued_at=MONDAY + HOUR,
            ended_at=MONDAY + 2 * HOUR,
            exception=TEXT.format('mäil'),
        ),
        put_job(
            client,
            'mail-2',
            4,
            func_name='app.mails.Send',
            worker_name='paris-1',
            meta={'tenant': None, 'note': 'é'},
            enqueued_at=MONDAY + timedelta(microseconds=1),
        ),
        put_job(client, 'other', 5, func_name='lib.run', args=('app.tasks',), enqueued_at=MONDAY - 24 * HOUR),
    ]


@pytest.fixture
def registry(any_client: redis.Redis, storing_client: redis.Redis) -> FailedJobRegistry:
    populate(storing_client)
    return FailedJobRegistry('q', connection=any_client)


ALL = ['charge-1', 'charge-2', 'mail-1', 'mail-2', 'other']


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
        ({'description': re.compile(r"\('app.tasks'\)$")}, ['other']),
        ({'exc_info': 'no route'}, ['charge-2', 'mail-1']),
        ({'exc_info': 'to mäil\n'}, ['mail-1']),
        ({'exc_info': 'NO ROUTE'}, []),
        ({'exc_info': re.compile(r'^ConnectionError: .* b', re.MULTILINE)}, ['charge-2']),
        ({'worker_name': 'berlin-*'}, ['charge-1', 'charge-2']),
        ({'worker_name': '*'}, ['charge-1', 'charge-2', 'mail-2']),
        ({'worker_name': re.compile('-1')}, ['charge-1', 'mail-2']),
        ({'meta': 'tenant'}, ['charge-2', 'mail-1', 'mail-2']),
        ({'meta': {'tenant': 'acme'}}, ['charge-2', 'mail-1']),
        ({'meta': {'tenant': 'acme', 'tries': 3}}, ['mail-1']),
        ({'meta': {'tenant': None}}, ['mail-2']),
        ({'meta': {'missing': None}}, []),
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
def test_what_each_filter_finds(registry: FailedJobRegistry, filters: dict[str, Any], found: list[str]) -> None:
    assert list(registry.find(**filters)) == found
    assert list(registry.find(**filters, chunk_size=1, desc=True)) == found[::-1]
    # By score is the matter of what reads the entries.
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
        'exc_info': st.sampled_from(['', 'bank', 'Error: no', 'mäil', 'none']),
        'meta': st.sampled_from(['tenant', 'tries', {'tenant': 'acme'}, {'tries': 3, 'tenant': 'acme'}]),
        'enqueued_before': MOMENT,
        'enqueued_after': MOMENT,
        'ended_before': MOMENT,
        'ended_after': MOMENT,
        'min_score': st.integers(0, 6),
        'max_score': st.integers(0, 6),
    },
)


def is_meant(job: Job, score: float, filters: dict[str, Any]) -> bool:
    """Tell by the Job that RQ restored."""
    tests = {
        'exc_info': lambda text: job.exc_info is not None and text in job.exc_info,
        'meta': lambda wanted: wanted in job.meta if isinstance(wanted, str) else wanted.items() <= job.meta.items(),
        'enqueued_before': lambda moment: job.enqueued_at is not None and job.enqueued_at < moment,
        'enqueued_after': lambda moment: job.enqueued_at is not None and job.enqueued_at >= moment,
        'ended_before': lambda moment: job.ended_at is not None and job.ended_at < moment,
        'ended_after': lambda moment: job.ended_at is not None and job.ended_at >= moment,
        'min_score': lambda bound: score >= bound,
        'max_score': lambda bound: score <= bound,
    }
    texts = {
        'job_id': job.id,
        'func_name': job.func_name,
        'description': job.description,
        'worker_name': job.worker_name,
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
def test_filters_together(populated: FailedJobRegistry, filters: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)
        expected = [
            job_id
            for job_id, score in populated.iter_entries()
            if is_meant(Job.fetch(job_id, connection=populated.connection), score, filters)
        ]
    assert list(populated.find(**filters)) == expected


# ---- What is told of them


def test_fields(registry: FailedJobRegistry) -> None:
    found = list(registry.find(fields=('func_name', 'meta', 'func_name'), job_id='mail-*'))
    assert found == [
        ('mail-1', {'func_name': 'app.mails.send', 'meta': {'tenant': 'acme', 'tries': 3}}),
        ('mail-2', {'func_name': 'app.mails.Send', 'meta': {'tenant': None, 'note': 'é'}}),
    ]
    assert list(registry.find(fields=['ended_at'], limit=1)) == [('charge-1', {'ended_at': MONDAY + HOUR})]
    assert list(registry.find(fields={'ended_at'}, desc=True, limit=1)) == [('other', {'ended_at': None})]


@pytest.mark.parametrize(('limit', 'count'), [(None, 5), (0, 0), (1, 1), (4, 4), (5, 5), (100, 5)])
def test_limit(registry: FailedJobRegistry, limit: int | None, count: int) -> None:
    assert list(registry.find(limit=limit)) == ALL[:count]
    assert list(registry.find(limit=limit, func_name='*', chunk_size=2)) == ALL[:count]
    assert [job_id for job_id, _ in registry.find(limit=limit, fields=('meta',))] == ALL[:count]


def test_jobs_that_are_gone(connection: redis.Redis) -> None:
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
    # Its results are still there.
    assert connection.exists(Result.get_key('mail-1'))  # type: ignore[no-untyped-call]
    for filters in (
        {'exc_info': ''},
        {'func_name': '*'},
        {'meta': 'tenant'},
        {'enqueued_after': 10**8},
        {'worker_name': '*'},
    ):
        assert not {'mail-1', 'mail-2'} & set(registry.find(**filters))


@pytest.mark.parametrize('spoiled', [('first',), ('last',), ('first', 'last'), ('first', 'second', 'last')])
@pytest.mark.parametrize('of', [Job.key_for, Result.get_key], ids=['hash', 'results'])
def test_keys_of_another_type(connection: redis.Redis, of: Any, spoiled: tuple[str, ...]) -> None:
    """What belongs to one job is never taken for another's."""
    for score, job_id in enumerate(('first', 'second', 'third', 'last')):
        put_job(connection, job_id, score, worker_name=f'{job_id}-1', exception=TEXT.format(f'{job_id} fails'))
    for job_id in spoiled:
        connection.delete(of(job_id))
        connection.set(of(job_id), 'of another type')
    registry = FailedJobRegistry('q', connection=connection)
    for job_id in ('first', 'second', 'third', 'last'):
        sound = [] if job_id in spoiled else [job_id]
        assert list(registry.find(exc_info=f'{job_id} fails')) == sound
        found = [job_id] if of == Result.get_key else sound
        assert list(registry.find(worker_name=f'{job_id}-*')) == found
        assert list(registry.find(worker_name='*', exc_info=re.compile(f'{job_id} fails'))) == sound


def test_a_started_job(connection: redis.Redis) -> None:
    put_job(connection, 'a', 1)
    registry = StartedJobRegistry('q', connection=connection)
    connection.zadd(registry.key, {'a:one': time.time() + 100, 'a:two': time.time() - 100, 'gone:x': 1})
    before = dump(connection)
    assert list(registry.find(func_name='app.*')) == ['a', 'a']
    assert list(registry.find(job_id='a', fields=['origin'])) == [('a', {'origin': 'q'})] * 2
    assert dump(connection) == before


def test_dates_that_rq_wrote_long_ago_and_never(connection: redis.Redis) -> None:
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


def test_a_job_class_with_keys_of_its_own(connection: redis.Redis) -> None:
    class Mine(Job):
        redis_job_namespace_prefix = 'mine:'

    Mine.create('app.mine', connection=connection, id='a').save()
    put_job(connection, 'a', 1)
    registry = FailedJobRegistry('q', connection=connection, job_class=Mine)
    assert list(registry.find(fields=('func_name',))) == [('a', {'func_name': 'app.mine'})]


# ---- What is sent


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
    ],
)
def test_nothing_is_fetched_that_is_not_needed(
    recorder: Recorder, arguments: dict[str, Any], of_jobs: list[str]
) -> None:
    registry = FailedJobRegistry('q', connection=redis.Redis(port=recorder.port))
    registry.get_job_count(cleanup=False)
    recorder.clear()
    list(registry.find(**arguments))
    entries, *rest = recorder.blocks
    assert entries == ['ZRANGEBYSCORE', 'ZREVRANGEBYSCORE', 'ZCOUNT']
    assert rest == ([of_jobs] if of_jobs else [])


def test_what_the_server_refuses_is_not_taken_for_no_job(redis_server: PrivateRedis, connection: redis.Redis) -> None:
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
        ({'function': 'x'}, TypeError, "there is no filter 'function': the filters are job_id, func_name, description"),
        ({'func_name': None}, TypeError, 'func_name=None is no filter: leave func_name out'),
        ({'max_score': None}, TypeError, 'max_score=None is no filter'),
        ({'job_id': b'a'}, TypeError, "job_id=b'a' is neither a str nor a pattern of str: give a glob like"),
        ({'job_id': ['a']}, TypeError, r"job_id=\['a'\] is neither a str"),
        ({'worker_name': re.compile(b'a')}, TypeError, r"worker_name=re.compile\(b'a'\) is neither"),
        ({'exc_info': 5}, TypeError, 'exc_info=5 is neither a str nor a pattern of str: give a text that is in it'),
        ({'meta': 5}, TypeError, 'meta=5 is neither a str nor a mapping: give a key, or a dict'),
        ({'meta': {}}, ValueError, 'meta={} asks for nothing'),
        ({'enqueued_before': '2024-02-26'}, TypeError, "enqueued_before='2024-02-26' is no moment: give a datetime"),
        ({'ended_after': True}, TypeError, 'ended_after=True is no moment'),
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
        ({'min_score': '1'}, TypeError, "min_score='1' is no number"),
        ({'fields': 'func_name'}, TypeError, "fields='func_name' is no collection of names"),
        ({'fields': 5}, TypeError, 'fields=5 is no collection of names'),
        ({'fields': ['name']}, ValueError, "'name' in fields is none of those that can be read: func_name, instance"),
        ({'fields': [None]}, ValueError, 'None in fields is none of those'),
        ({'limit': -1}, ValueError, 'limit=-1: give how many to find at most'),
        ({'limit': 1.0}, TypeError, 'limit=1.0 is no int'),
        ({'limit': True}, TypeError, 'limit=True is no int'),
        ({'chunk_size': 0}, ValueError, 'chunk_size=0'),
    ],
)
def test_bad_arguments_are_told_at_once(arguments: dict[str, Any], error: type, words: str) -> None:
    nowhere = FailedJobRegistry(connection=redis.Redis(port=1))
    with pytest.raises(error, match=words):
        nowhere.find(**arguments)
