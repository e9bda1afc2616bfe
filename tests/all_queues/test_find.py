"""rqreg_ext.find(): the jobs of a registry of many queues, in one order."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import redis
import rq
from rq.job import Job, JobStatus

import rqreg_ext

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
QUEUES = ('a', 'b', 'c')


def put(client: Any, queue: str, job_id: str, minute: int | None, score: float, **options: Any) -> None:
    """Store a job that failed in this minute."""
    job = Job.create('len', connection=client, id=job_id, origin=queue, **options)
    job._status = JobStatus.FAILED
    if minute is not None:
        job.ended_at = START + timedelta(minutes=minute)
    job.save()
    client.sadd('rq:queues', f'rq:queue:{queue}')
    client.zadd(f'rq:failed:{queue}', {job_id: score})


@pytest.fixture
def filled(connection: redis.Redis) -> redis.Redis:
    """Twelve failed jobs in three queues. Their scores are in the order of their numbers, their ends in the other."""
    for number, queue in zip(range(12), itertools.cycle(QUEUES)):
        description = 'odd' if number % 2 else 'even'
        put(connection, queue, f'job-{number:02}', 30 - number, 4_000_000_000 + number, description=description)
    put(connection, 'd', 'unknown', None, 4_000_000_100)
    connection.sadd('rq:queues', 'rq:queue:empty')
    return connection


ALL = [(queue, f'job-{number:02}') for number, queue in zip(range(12), itertools.cycle(QUEUES))] + [('d', 'unknown')]


@pytest.mark.parametrize('chunk_size', [1, 2, 1000])
def test_jobs_are_ordered_by_score_over_all_queues(filled: redis.Redis, chunk_size: int) -> None:
    assert list(rqreg_ext.find(filled, chunk_size=chunk_size)) == ALL
    assert list(rqreg_ext.find(filled, desc=True, chunk_size=chunk_size)) == ALL[::-1]
    odd = [found for found in ALL[:-1] if int(found[1][-2:]) % 2]
    assert list(rqreg_ext.find(filled, chunk_size=chunk_size, description='odd')) == odd
    assert list(rqreg_ext.find(filled, chunk_size=chunk_size, description='odd', desc=True, limit=2)) == odd[:-3:-1]
    in_bounds = list(rqreg_ext.find(filled, min_score=4_000_000_002, max_score=4_000_000_004, chunk_size=chunk_size))
    assert in_bounds == ALL[2:5]


def test_jobs_are_ordered_by_end_over_all_queues(filled: redis.Redis) -> None:
    by_end = [*ALL[11::-1], ('d', 'unknown')]
    assert list(rqreg_ext.find(filled, order_by='end', limit=100)) == by_end
    assert list(rqreg_ext.find(filled, order_by='end', limit=10**30)) == by_end
    assert list(rqreg_ext.find(filled, order_by='end', limit=5)) == by_end[:5]
    newest = rqreg_ext.find(filled, order_by='end', desc=True, limit=5, fields=['description', 'end'])
    assert list(newest) == [
        (queue, job_id, {'description': ['even', 'odd'][number % 2], 'end': START + timedelta(minutes=30 - number)})
        for number, (queue, job_id) in enumerate(ALL[:5])
    ]
    assert list(rqreg_ext.find(filled, order_by='end', desc=True, limit=100))[-1] == ('d', 'unknown')
    (first,) = rqreg_ext.find(filled, order_by='end', desc=True, limit=1, fields=['description'])
    assert first == ('a', 'job-00', {'description': 'even'})


def test_queues_and_registries_are_selected(filled: redis.Redis) -> None:
    assert list(rqreg_ext.find(filled, queues='b')) == ALL[1:-1:3]
    of_b = list(rqreg_ext.find(filled, queues=[rqreg_ext.Queue('b', connection=filled), 'd'], fields=['status']))
    assert of_b == [(*found, {'status': JobStatus.FAILED}) for found in [*ALL[1:-1:3], ALL[-1]]]
    assert list(rqreg_ext.find(filled, 'finished')) == []
    filled.zadd('rq:wip:a', {'job-00:first': 5_000_000_000, 'job-03:second': 5_000_000_001})
    filled.zadd('rq:wip:b', {'job-01:third': 5_000_000_000.5})
    started = list(rqreg_ext.find(filled, 'started', fields=['description']))
    assert [found[:2] for found in started] == [('a', 'job-00'), ('b', 'job-01'), ('a', 'job-03')]


def test_find_yields_what_find_of_each_registry_yields(filled: redis.Redis) -> None:
    for options in ({}, {'desc': True}, {'description': 'even'}):
        found = list(rqreg_ext.find(filled, fields=['func_name'], **options))  # type: ignore[call-overload]
        for queue in QUEUES:
            registry = rqreg_ext.FailedJobRegistry(queue, connection=filled)
            alone = list(registry.find(fields=['func_name'], **options))  # type: ignore[call-overload]
            assert [(job_id, fields) for name, job_id, fields in found if name == queue] == alone


def test_nothing_is_read_before_it_is_asked_for(filled: redis.Redis) -> None:
    filled.config_resetstat()
    found = rqreg_ext.find(filled, chunk_size=2)
    assert 'cmdstat_zrange' not in filled.info('commandstats')
    assert next(found) == ALL[0]
    assert list(itertools.islice(found, 3)) == ALL[1:4]
    assert len(list(found)) == 9


def test_times_are_the_same_for_all_queues(filled: redis.Redis) -> None:
    ago = rq.utils.now() - (START + timedelta(minutes=28, seconds=30))
    assert list(rqreg_ext.find(filled, ended_after=ago)) == ALL[:2]


def test_key_of_another_type_is_named(filled: redis.Redis) -> None:
    filled.set('rq:failed:empty', 'text')
    for options in ({}, {'order_by': 'end', 'limit': 3}):
        with pytest.raises(redis.ResponseError, match='WRONGTYPE') as raised:
            list(rqreg_ext.find(filled, **options))  # type: ignore[call-overload]
        assert raised.value.key == 'rq:failed:empty'  # type: ignore[attr-defined]
    assert len(list(rqreg_ext.find(filled, queues=QUEUES))) == 12


@pytest.mark.parametrize(
    ('given', 'error', 'words'),
    [
        ({'registry': 'lost'}, ValueError, "registry='lost' names no registry"),
        ({'queues': ['mial']}, ValueError, "there is no queue 'mial'"),
        ({'fields': ['name']}, ValueError, "'name' in fields is not a field"),
        ({'limit': -1}, ValueError, 'limit=-1'),
        ({'chunk_size': 0}, ValueError, 'chunk_size=0'),
        ({'order_by': 'age'}, ValueError, "order_by='age' is not an order"),
        ({'order_by': 'end'}, ValueError, "order_by='end' needs limit="),
        ({'colour': 'red'}, TypeError, "there is no filter 'colour'"),
        ({'ended_after': 5}, ValueError, 'looks like a duration'),
    ],
)
def test_wrong_arguments_are_refused_at_once(
    filled: redis.Redis, given: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        rqreg_ext.find(filled, **given)
