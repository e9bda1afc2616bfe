"""WaitingJobs: the list of a queue, read as a registry is."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import redis
import rq
from depth import IS_DEEP
from redis.exceptions import ResponseError

import rqreg_ext
from rqreg_ext import WaitingJobs
from rqreg_ext._query.list_cursor import ListCursor

KEY = 'rq:queue:q'
IDS = [f'job-{number:03}' for number in range(300)]


@pytest.fixture
def waiting(any_client: Any) -> WaitingJobs:
    """The entries of 300 jobs that have no hashes."""
    any_client.rpush(KEY, *IDS)
    return WaitingJobs('q', connection=any_client)


def test_reads_of_waiting_jobs_equal_those_of_rq_queue(waiting: WaitingJobs) -> None:
    queue = rq.Queue('q', connection=waiting.connection)
    assert waiting.count == len(waiting) == queue.count
    assert waiting.get_job_ids() == queue.get_job_ids() == IDS
    assert waiting.get_job_ids(2, 4) == queue.get_job_ids(2, 3) == IDS[2:5]
    assert waiting.get_job_ids(desc=True) == IDS[::-1]
    assert waiting.get_job_ids(0, 1, desc=True) == [IDS[-1], IDS[-2]]
    assert waiting.get_job_ids(-2) == IDS[-2:]
    for job_id in ('job-000', 'job-299', 'nothing', '', '\ud800'):
        assert (job_id in waiting) is (job_id in IDS)
    assert waiting.contains_many(['x', *IDS[:3], '\ud800']) == [False, True, True, True, False]
    assert waiting.contains_many([]) == []


@pytest.mark.covering(1)
@pytest.mark.parametrize('desc', [False, True])
@pytest.mark.parametrize('chunk_size', [1, 7, 100, 299, 300, 301, 1000])
def test_iteration_yields_each_id_once_in_order(waiting: WaitingJobs, chunk_size: int, desc: bool) -> None:
    assert list(waiting.iter_job_ids(chunk_size, desc)) == (IDS[::-1] if desc else IDS)
    pages = list(ListCursor(waiting.connection, KEY, chunk_size, desc).pages())
    places = {member: place for page in pages for member, place in zip(page.members, page.places, strict=True)}
    assert places == {member: len(IDS) - index for index, member in enumerate(IDS)}


@pytest.mark.covering(1)
@pytest.mark.parametrize('desc', [False, True])
@pytest.mark.parametrize('per_page', [1, 100, 299, 2**70])
def test_pages_have_total_and_ids_in_order(waiting: WaitingJobs, per_page: int, desc: bool) -> None:
    page = waiting.get_page(per_page=per_page, desc=desc)
    expected = IDS[::-1] if desc else IDS
    assert (page.total, page.job_ids) == (300, expected[:per_page])
    assert waiting.get_page(2, per_page, desc).job_ids == expected[per_page : 2 * per_page]
    assert waiting.get_page(page.pages + 1, per_page, desc).job_ids == []
    assert repr(waiting.get_page(2, 100)) == '<Page 2 of 3: 100 of 300 entries>'


def test_empty_queue_has_no_jobs_and_pages(any_client: Any) -> None:
    waiting = WaitingJobs('q', connection=any_client)
    assert (waiting.count, list(waiting.iter_job_ids()), list(waiting.iter_job_ids(desc=True))) == (0, [], [])
    assert (waiting.get_page().pages, 'a' in waiting, list(waiting.find())) == (0, False, [])


# ---- Jobs


def contents(connection: Any) -> Any:
    return connection.lrange(KEY, 0, -1), sorted(connection.keys('*'))


@pytest.fixture
def jobs(job_client: Any, storing_client: Any) -> WaitingJobs:
    """Jobs of two functions, one of them without a hash."""
    queue = rq.Queue('q', connection=storing_client)
    for number in range(6):
        queue.enqueue('os.getpid' if number % 2 else 'time.time', job_id=f'job-{number}', meta={'n': number})
    storing_client.hset('rq:job:job-5', 'enqueued_at', '2026-01-01T00:00:00.000000Z')
    storing_client.delete('rq:job:job-3')
    return WaitingJobs('q', connection=job_client)


def test_find_selects_waiting_jobs_and_changes_nothing(jobs: WaitingJobs) -> None:
    before = contents(jobs.connection)
    assert list(jobs.find(func_name='os.*')) == ['job-1', 'job-5']
    assert list(jobs.find(func_name='os.*', desc=True, limit=1)) == ['job-5']
    assert list(jobs.find(enqueued_before=timedelta(days=30), fields=('func_name', 'status'))) == [
        ('job-5', {'func_name': 'os.getpid', 'status': 'queued'})
    ]
    assert list(jobs.find(job_id='job-[23]')) == ['job-2', 'job-3']
    assert list(jobs.find(meta={'n': 4}, chunk_size=2)) == ['job-4']
    assert list(jobs.find(limit=2)) == ['job-0', 'job-1']
    assert list(jobs.find(limit=10**30)) == list(jobs.find())
    assert contents(jobs.connection) == before


def test_count_by_groups_waiting_jobs(jobs: WaitingJobs) -> None:
    groups = jobs.count_by('func_name', 'queue')
    assert {group.values['func_name']: group.count for group in groups} == {'time.time': 3, 'os.getpid': 2}
    assert (groups.skipped, groups[0].values['queue']) == (Counter({'no such job': 1}), 'q')
    found = next(group for group in groups if group.values['func_name'] == 'os.getpid')
    assert found.first == datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert jobs.count_by('func_name', func_name='os.*').total == 2


def test_get_jobs_leaves_out_missing_jobs_and_changes_nothing(jobs: WaitingJobs) -> None:
    before = contents(jobs.connection)
    page = jobs.get_jobs(per_page=4)
    assert ([job.id for job in page], page.missing, page.total) == (['job-0', 'job-1', 'job-2'], ['job-3'], 6)
    assert [job and job.id for job in jobs.get_jobs(ids=['job-5', 'job-3'])] == ['job-5', None]
    assert page.jobs[0] in jobs
    assert jobs.contains_many(page.jobs) == [True, True, True]
    # Queue.get_jobs() has removed the entry of the job that is gone.
    assert contents(jobs.connection) == before


def test_waiting_jobs_of_queue_have_its_job_class_and_serializer(connection: redis.Redis) -> None:
    class OwnJob(rq.job.Job):
        pass

    queue = rqreg_ext.Queue('q', connection=connection, job_class=OwnJob, serializer='rq.serializers.JSONSerializer')
    waiting = queue.waiting_jobs
    job = queue.enqueue('os.getpid')
    assert (waiting.name, waiting.key, waiting.count) == ('q', queue.key, 1)
    assert type(waiting.get_jobs().jobs[0]) is OwnJob
    assert list(waiting.find(func_name='os.getpid')) == [job.id]
    assert (
        repr(waiting) == f"<WaitingJobs 'q' redis://127.0.0.1:{connection.connection_pool.connection_kwargs['port']}/0>"
    )


@pytest.mark.parametrize(
    ('call', 'error', 'words'),
    [
        (lambda w: w.find(min_score=5), TypeError, 'find.. of jobs that wait takes no min_score'),
        (lambda w: w.count_by('func_name', max_score=5), TypeError, 'takes no max_score'),
        (lambda w: w.find(enqueued_after=5), ValueError, 'looks like a duration'),
        (lambda w: w.find(function='x'), TypeError, "there is no filter 'function'"),
        (lambda w: w.get_page(0), ValueError, 'pages are counted from 1'),
        (lambda w: w.iter_job_ids(0), ValueError, 'chunk_size=0'),
        (lambda w: w.get_jobs(2, ids=['a']), ValueError, 'either a page or ids='),
        (lambda w: w.contains_many('a'), TypeError, 'not a collection of job ids'),
        (lambda w: 5.5j in w, TypeError, 'is not a job id'),
        (lambda w: WaitingJobs('q'), TypeError, 'connection=None is not a client'),
    ],
)
def test_wrong_arguments_of_reads_raise(
    call: Callable[[WaitingJobs], Any], error: type[Exception], words: str, connection: redis.Redis
) -> None:
    with pytest.raises(error, match=words):
        call(WaitingJobs('q', connection=connection))


def test_key_of_another_type_raises_wrongtype(any_client: Any) -> None:
    any_client.set(KEY, 'text')
    waiting = WaitingJobs('q', connection=any_client)
    for read in (
        lambda: waiting.count,
        lambda: 'a' in waiting,
        lambda: list(waiting.iter_job_ids()),
        lambda: list(waiting.iter_job_ids(desc=True)),
        waiting.get_page,
    ):
        with pytest.raises(ResponseError, match='WRONGTYPE'):
            read()


def test_membership_of_waiting_job_is_found_without_right_to_lpos(client_without: Any, connection: redis.Redis) -> None:
    connection.rpush(KEY, *IDS)
    waiting = WaitingJobs('q', connection=client_without('lpos'))
    assert ('job-200' in waiting, 'nothing' in waiting) == (True, False)


# ---- While the queue changes


class Others:
    """What workers and other clients do to a queue while it is read, at random."""

    def __init__(self, connection: redis.Redis, chances: random.Random, size: int) -> None:
        self._connection = connection
        self._random = chances
        self._size = size
        self._number = 0

    def act(self, read: list[str]) -> None:
        """Change the queue, of which these were read."""
        connection, pick = self._connection, self._random
        for _ in range(pick.randrange(4)):
            count = pick.choice([1, 3, 50, 200, self._size])
            kind = pick.randrange(6)
            if kind == 0:
                connection.lpop(KEY, pick.choice([1, 3, 50]))
            elif kind in (1, 2):
                self._number += count
                added = [f'new-{number}' for number in range(self._number - count, self._number)]
                (connection.rpush if kind == 1 else connection.lpush)(KEY, *added)
            elif read:
                # What was read is what is removed, mostly.
                for job_id in pick.sample(read, min(count, len(read))):
                    connection.lrem(KEY, 1, job_id)
            else:
                connection.ltrim(KEY, 0, -1 - pick.randrange(3))


@pytest.mark.parametrize('seed', range(200 if IS_DEEP else 30))
def test_each_job_that_stays_is_listed_once(connection: redis.Redis, seed: int) -> None:
    chances = random.Random(seed)
    ids = [f'job-{number}' for number in range(chances.choice([5, 300, 2000]))]
    connection.rpush(KEY, *ids)
    others = Others(connection, chances, chances.choice([10, 300]))
    found: list[str] = []
    chunks = ListCursor(connection, KEY, chances.choice([3, 100, 500]), desc=bool(seed % 2)).member_chunks()
    for chunk in chunks:
        found += chunk
        others.act(found)
    stayed = {job_id.decode() for job_id in connection.lrange(KEY, 0, -1)} & set(ids)  # type: ignore[union-attr]
    assert stayed - set(found) == set()
    assert [job_id for job_id, count in Counter(found).items() if count > 1] == []


@pytest.mark.parametrize('desc', [False, True])
@pytest.mark.parametrize('chunk_size', [10, 1000])
def test_listed_jobs_can_be_removed_during_iteration(connection: redis.Redis, chunk_size: int, desc: bool) -> None:
    ids = [f'job-{number}' for number in range(2500)]
    connection.rpush(KEY, *ids)
    found = []
    for job_id in WaitingJobs('q', connection=connection).iter_job_ids(chunk_size, desc):
        found.append(job_id)
        if job_id[-1] != '7':
            connection.lrem(KEY, 1, job_id)
    assert found == (ids[::-1] if desc else ids)


def test_iteration_ends_although_jobs_are_added(connection: redis.Redis) -> None:
    connection.rpush(KEY, *IDS)
    found = []
    for number, job_id in enumerate(WaitingJobs('q', connection=connection).iter_job_ids(10)):
        found.append(job_id)
        connection.rpush(KEY, *(f'new-{number}-{index}' for index in range(5)))
    assert found[:300] == IDS
    assert len(found) < 400
