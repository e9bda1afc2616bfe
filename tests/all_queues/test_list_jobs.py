"""list_jobs(): the same jobs, in the same order, as reading all of them with RQ's methods and sorting them."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import redis
import rq
from clients.recording import Recorder
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry, FinishedJobRegistry, ScheduledJobRegistry, StartedJobRegistry
from rq.results import Result
from rq.serializers import JSONSerializer

import rqreg_ext
from rqreg_ext._all_queues.list_jobs import JobListing, _Search

if TYPE_CHECKING:
    from every_client import ClientWithout
    from private_redis import PrivateRedis

NEVER = 4_000_000_000
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
CLASSES: dict[str, Any] = {
    'failed': FailedJobRegistry,
    'finished': FinishedJobRegistry,
    'scheduled': ScheduledJobRegistry,
    'started': StartedJobRegistry,
}


class Mine(Job):
    """A custom job class."""


def put(client: Any, queue: str, place: str, job_id: str, minute: int | None, **options: Any) -> None:
    """Store a job that was created and enqueued in this minute, and ended an hour later, in a registry or a queue."""
    job = Job.create('app.task', connection=client, id=job_id, origin=queue, **options)
    if minute is not None:
        job.created_at = START + timedelta(minutes=minute)
        job.enqueued_at = job.created_at
        job.ended_at = job.enqueued_at + timedelta(hours=1)
    job._status = JobStatus.QUEUED if place == 'queued' else JobStatus(place)
    job.save()
    client.sadd('rq:queues', f'rq:queue:{queue}')
    if place == 'queued':
        client.rpush(f'rq:queue:{queue}', job_id)
    else:
        entry = f'{job_id}:execution' if place == 'started' else job_id
        client.zadd(CLASSES[place](queue, connection=client).key, {entry: NEVER + random.randrange(100)})


@pytest.fixture
def filled(connection: redis.Redis) -> redis.Redis:
    """Put 60 jobs into two queues and their registries, in any order of time."""
    minutes = random.sample(range(1000), 60)
    places = ['queued', *CLASSES]
    for number, minute in enumerate(minutes):
        put(connection, 'mail' if number % 3 else 'print', places[number % 5], f'job-{number}', minute)
    return connection


def by_rq(client: Any, queues: list[str], places: list[str], time: str, desc: bool) -> list[str]:
    """Return the ids of all jobs as an application does that joins them."""
    ids: list[str] = []
    for name in queues:
        for place in places:
            source = rq.Queue(name, connection=client) if place == 'queued' else CLASSES[place](name, connection=client)
            ids += source.get_job_ids()
    jobs = [job for job in Job.fetch_many(ids, connection=client) if job]
    return [job.id for job in sorted(jobs, key=lambda job: getattr(job, time), reverse=desc)]


def ids_of(listing: JobListing) -> list[str]:
    return [job.id for job in listing]


@pytest.mark.parametrize('chunk_size', [1, 3, 1000])
@pytest.mark.parametrize('desc', [False, True])
@pytest.mark.parametrize(('order_by', 'time'), [('created_at', 'created_at'), ('end', 'ended_at')])
def test_pages_are_those_of_all_jobs_sorted(
    filled: redis.Redis, chunk_size: int, desc: bool, order_by: Any, time: str
) -> None:
    places: list[Any] = ['queued', 'failed', 'finished', 'started', 'scheduled']
    expected = by_rq(filled, ['mail', 'print'], places, time, desc)
    options: dict[str, Any] = {'order_by': order_by, 'desc': desc, 'chunk_size': chunk_size, 'per_page': 7}
    pages = [rqreg_ext.list_jobs(filled, page=page, **options) for page in range(1, 11)]
    assert [job_id for page in pages for job_id in ids_of(page)] == expected
    assert {(page.total, page.pages) for page in pages} == {(60, 9)}
    some = rqreg_ext.list_jobs(filled, 'mail', ['queued', 'failed'], per_page=100, desc=desc)
    assert ids_of(some) == by_rq(filled, ['mail'], ['queued', 'failed'], 'created_at', desc)
    assert ids_of(rqreg_ext.list_jobs(filled, ['print'], 'started')) == by_rq(
        filled, ['print'], ['started'], 'created_at', False
    )


def test_list_jobs_says_where_jobs_are(filled: redis.Redis) -> None:
    listing = rqreg_ext.list_jobs(filled)
    for job in listing:
        place = 'queued' if job.get_status() == JobStatus.QUEUED else job.get_status().value
        assert listing.found_in[job.id] == (job.origin, place)
    assert repr(listing) == '<JobListing 1 of 1: 60 jobs, of 60 entries>'


def test_filters_select_jobs_and_min_score_is_refused(filled: redis.Redis) -> None:
    put(filled, 'mail', 'failed', 'odd', 5, meta={'tenant': 'acme'}, description='bad')
    assert ids_of(rqreg_ext.list_jobs(filled, meta={'tenant': 'acme'})) == ['odd']
    listing = rqreg_ext.list_jobs(filled, enqueued_before=START + timedelta(minutes=6), job_id='o*')
    assert (ids_of(listing), listing.total) == (['odd'], 1)
    with pytest.raises(TypeError, match='list_jobs\\(\\) takes no min_score'):
        rqreg_ext.list_jobs(filled, min_score=1.0)


def test_job_in_several_places_is_listed_once(connection: redis.Redis) -> None:
    put(connection, 'q', 'failed', 'a', 1)
    put(connection, 'q', 'failed', 'b', 2)
    connection.rpush('rq:queue:q', 'a', 'a')
    connection.zadd('rq:wip:q', {'b:one': NEVER, 'b:two': NEVER})
    listing = rqreg_ext.list_jobs(connection)
    assert (ids_of(listing), listing.total) == (['a', 'b'], 6)
    assert listing.found_in == {'a': ('q', 'queued'), 'b': ('q', 'started')}


@pytest.mark.parametrize('desc', [False, True])
def test_jobs_that_are_gone_or_have_no_time_come_last(connection: redis.Redis, desc: bool) -> None:
    put(connection, 'q', 'failed', 'a', 1)
    put(connection, 'q', 'failed', 'b', 2)
    put(connection, 'q', 'scheduled', 'waits', None)
    connection.hdel('rq:job:waits', 'enqueued_at')
    connection.rpush('rq:queue:q', 'gone')
    options: dict[str, Any] = {'order_by': 'enqueued_at', 'desc': desc}
    listing = rqreg_ext.list_jobs(connection, **options)
    assert ids_of(listing) == [*(['b', 'a'] if desc else ['a', 'b']), 'waits']
    assert (listing.missing, listing.total, listing.found_in['gone']) == (['gone'], 4, ('q', 'queued'))
    assert rqreg_ext.list_jobs(connection, per_page=2, **options).missing == []


def test_list_jobs_cleans_up_as_get_job_ids_does(connection: redis.Redis) -> None:
    put(connection, 'q', 'failed', 'a', 1)
    connection.zadd('rq:failed:q', {'a': 1})
    assert ids_of(rqreg_ext.list_jobs(connection, cleanup=False)) == ['a']
    assert connection.zcard('rq:failed:q') == 1
    assert ids_of(rqreg_ext.list_jobs(connection, registries='queued')) == []
    assert connection.zcard('rq:failed:q') == 1
    assert ids_of(rqreg_ext.list_jobs(connection)) == []
    assert connection.zcard('rq:failed:q') == 0


def test_queue_objects_bring_their_job_class_and_serializer(connection: redis.Redis) -> None:
    put(connection, 'json', 'failed', 'a', 1, serializer=JSONSerializer, meta={'n': 1})
    put(connection, 'other', 'failed', 'b', 2)
    queue = rq.Queue('json', connection=connection, job_class=Mine, serializer=JSONSerializer)
    listing = rqreg_ext.list_jobs(connection, [queue, 'other'], meta={'n': 1})
    assert [(type(job), job.id, job.meta) for job in listing] == [(Mine, 'a', {'n': 1})]
    assert ids_of(rqreg_ext.list_jobs(connection, [queue, 'other'])) == ['a', 'b']
    [job] = rqreg_ext.list_jobs(connection, 'json', job_class=Mine, serializer='rq.serializers.JSONSerializer')
    assert (type(job), job.meta) == (Mine, {'n': 1})


def test_list_jobs_with_results_reads_results_of_listed_jobs(connection: redis.Redis) -> None:
    put(connection, 'q', 'finished', 'a', 1)
    put(connection, 'q', 'queued', 'b', 2)
    Result.create(Job.fetch('a', connection), Result.Type.SUCCESSFUL, ttl=9, return_value=7)
    listing = rqreg_ext.list_jobs(connection, with_results=True)
    assert [job.return_value() for job in listing] == [7, None]
    assert list(listing.results or ()) == ['a', 'b']


def test_queue_that_cannot_be_read_is_left_out(connection: redis.Redis) -> None:
    put(connection, 'good', 'failed', 'a', 1)
    put(connection, 'bad', 'failed', 'b', 1)
    for cleanup in (False, True):
        connection.set('rq:finished:bad', 'text')
        listing = rqreg_ext.list_jobs(connection, cleanup=cleanup)
        assert ids_of(listing) == ['a']
        assert {name: error.key for name, error in listing.errors.items()} == {'bad': 'rq:finished:bad'}  # type: ignore[attr-defined]


@pytest.mark.parametrize('chunk_size', [1, 3, 1000])
@pytest.mark.parametrize('key', ['rq:queue:bad', 'rq:finished:bad', 'rq:wip:bad'])
def test_queue_with_undecodable_entry_is_left_out(connection: redis.Redis, key: str, chunk_size: int) -> None:
    for name in ('good', 'bad', 'worse'):
        for minute in range(3):
            put(connection, name, 'failed', f'{name}-{minute}', minute)
    if 'queue' in key:
        connection.rpush(key, b'\xff', 'bad-0')
    else:
        connection.zadd(key, {b'\xff:1': 4e9, 'bad-0:1': 4e9})
    connection.zadd('rq:failed:worse', {b'\xff': 4e9})
    listing = rqreg_ext.list_jobs(connection, chunk_size=chunk_size)
    assert (ids_of(listing), listing.total) == (['good-0', 'good-1', 'good-2'], 3)
    assert {name: (type(error), error.key) for name, error in listing.errors.items()} == {  # type: ignore[attr-defined]
        'bad': (UnicodeDecodeError, key),
        'worse': (UnicodeDecodeError, 'rq:failed:worse'),
    }


def test_list_jobs_needs_no_rights_but_those_of_rq(connection: redis.Redis, client_without: ClientWithout) -> None:
    for minute in range(30):
        put(connection, 'q', 'failed' if minute % 2 else 'queued', f'job-{minute}', minute)
    expected = ids_of(rqreg_ext.list_jobs(connection, chunk_size=4))
    client = client_without('hmget', 'zcount', 'zrank', 'zrevrank', 'zrevrangebyscore', 'zrevrange', 'evalsha', 'eval')
    assert ids_of(rqreg_ext.list_jobs(client, chunk_size=4)) == expected


def test_listing_of_two_registries_takes_five_round_trips(redis_server: PrivateRedis, filled: redis.Redis) -> None:
    with Recorder(redis_server.port) as recorder, redis_server.client(port=recorder.port) as client:
        rqreg_ext.snapshot(client)
        recorder.clear()
        rqreg_ext.list_jobs(client, registries=['queued', 'failed'], per_page=5)
        shapes = [sorted(set(block)) for block in recorder.blocks]
    assert shapes == [
        ['SMEMBERS'],
        ['LLEN', 'ZCARD', 'ZREMRANGEBYSCORE'],
        ['LRANGE', 'ZRANGE'],
        ['HMGET'],
        ['HGETALL'],
    ]


def test_no_job_is_passed_over_while_workers_take_jobs(connection: redis.Redis) -> None:
    for minute in range(40):
        put(connection, 'q', 'queued', f'job-{minute}', minute)
    taken: list[bytes] = []

    class Taking(Job):
        """Called for each job whose hash is read: another job leaves the beginning of the queue each time."""

        @classmethod
        def key_for(cls, job_id: str) -> str:
            if len(taken) < 20:
                taken.append(connection.lpop('rq:queue:q'))  # type: ignore[arg-type]
            return super().key_for(job_id)

    listing = rqreg_ext.list_jobs(connection, job_class=Taking, chunk_size=6)
    left = {f'job-{minute}' for minute in range(40)} - {job_id.decode() for job_id in taken}
    assert left <= set(ids_of(listing))


@pytest.mark.parametrize(
    ('arguments', 'error', 'words'),
    [
        ({'registries': 'waiting'}, ValueError, r"'waiting' in registries names no registry of RQ \(did you mean 'que"),
        ({'registries': ['failed', 'lost']}, ValueError, "'lost' in registries names no registry of RQ: give some of"),
        ({'registries': 7}, TypeError, 'registries=7 names no registries'),
        ({'order_by': 'score'}, ValueError, "order_by='score' is not an order: give one of 'created_at'"),
        ({'page': 0}, ValueError, 'page=0: pages are counted from 1'),
        ({'chunk_size': 0}, ValueError, 'chunk_size=0'),
        ({'func': 'x'}, TypeError, "there is no filter 'func'"),
    ],
)
def test_list_jobs_refuses_bad_arguments(arguments: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        rqreg_ext.list_jobs(redis.Redis(port=1), **arguments)


def test_list_jobs_refuses_queues_that_do_not_exist(filled: redis.Redis) -> None:
    with pytest.raises(ValueError, match="there is no queue 'mial'"):
        rqreg_ext.list_jobs(filled, 'mial')
    assert ids_of(rqreg_ext.list_jobs(filled, [])) == []


def test_entries_removed_during_the_call_hide_no_others(connection: redis.Redis) -> None:
    """Entries of a queue that were read already are removed, which moves those that were not read yet."""
    for number in range(40):
        put(connection, 'q', 'queued', f'job-{number:02}', number)
    key = 'rq:queue:q'
    find = _Search.find

    def find_and_remove(search: Any, chunk: Any, best: Any) -> None:
        find(search, chunk, best)
        for job_id in connection.lrange(key, -5, -1):
            connection.lrem(key, 1, job_id)

    with mock.patch.object(_Search, 'find', find_and_remove):
        listing = rqreg_ext.list_jobs(connection, 'q', per_page=100, chunk_size=10)
    assert listing.total >= 40
    assert {job.id for job in listing.jobs} == {f'job-{number:02}' for number in range(40)}
