"""purge(keep_newest=N): the newest of the jobs that match stay, even if others come during the call."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from unittest import mock

import pytest
import redis
from rq import Queue
from rq.job import Job, JobStatus
from rq.results import Result

import rqreg_ext
from rqreg_ext._bulk import newest
from rqreg_ext.registry import CanceledJobRegistry, FailedJobRegistry, StartedJobRegistry

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
NEVER = 4_000_000_000


def put(client: Any, job_id: str, minute: int | None, score: float | None = None, **options: Any) -> None:
    """Store a job that failed in this minute, with any score."""
    job = Job.create('len', connection=client, id=job_id, origin='q', **options)
    job._status = JobStatus.FAILED
    if minute is not None:
        job.ended_at = START + timedelta(minutes=minute)
    job.save()
    client.zadd('rq:failed:q', {job_id: NEVER + random.randrange(1000) if score is None else score})


@pytest.fixture
def failed(connection: redis.Redis) -> FailedJobRegistry:
    """Store 20 failed jobs, each of which ended a minute after the other, half of them of another tenant."""
    for minute in random.sample(range(20), 20):
        put(connection, f'job-{minute:02}', minute, description='odd' if minute % 2 else 'even')
    return FailedJobRegistry('q', connection=connection)


def left(registry: Any) -> list[str]:
    return sorted(registry.get_job_ids(cleanup=False))


@pytest.mark.parametrize('chunk', [1, 3, 1000])
@pytest.mark.parametrize('keep', [1, 5, 19, 20, 100])
def test_keep_newest_keeps_jobs_that_ended_last(
    failed: FailedJobRegistry, monkeypatch: pytest.MonkeyPatch, keep: int, chunk: int
) -> None:
    monkeypatch.setattr(newest, '_CHUNK', chunk)
    expected = [f'job-{minute:02}' for minute in range(20)][-keep:]
    would = failed.purge(keep_newest=keep, dry_run=True)
    assert (would.done, len(left(failed))) == (20 - len(expected), 20)
    result = failed.purge(keep_newest=keep)
    assert (result.done, result.total, left(failed)) == (20 - len(expected), 20 - len(expected), expected)
    assert not Job.exists('job-00', failed.connection) or keep >= 20


def test_keep_newest_counts_only_jobs_that_match(failed: FailedJobRegistry) -> None:
    result = failed.purge(description='odd', ended_before=START + timedelta(minutes=16), keep_newest=2)
    assert result.done == 6
    gone = {f'job-{minute:02}' for minute in range(1, 12, 2)}
    assert left(failed) == [f'job-{minute:02}' for minute in range(20) if f'job-{minute:02}' not in gone]


def test_keep_newest_keeps_jobs_without_end_and_drops_entries_of_missing_jobs(
    failed: FailedJobRegistry, connection: redis.Redis
) -> None:
    put(connection, 'unknown', None)
    put(connection, 'by-result', None)
    Result.create_failure(Job.fetch('by-result', connection), ttl=100, exc_string='boom')
    connection.zadd('rq:failed:q', {'gone': NEVER + 5000})
    result = failed.purge(keep_newest=3)
    assert left(failed) == ['by-result', 'job-18', 'job-19', 'unknown']
    assert (result.done, dict(result.skipped)) == (18, {'no known end': 1, 'no such job': 1})


def test_keep_newest_keeps_job_that_fails_meanwhile(failed: FailedJobRegistry, connection: redis.Redis) -> None:
    matching = newest.NewestByEnd.find

    def find(self: Any) -> None:
        matching(self)
        # It expires first of all.
        put(connection, 'new', 99, score=NEVER - 1)

    with mock.patch.object(newest.NewestByEnd, 'find', find):
        failed.purge(keep_newest=2)
    assert left(failed) == ['job-18', 'job-19', 'new']


def test_keep_newest_counts_job_once_that_fails_again_meanwhile(
    connection: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    for minute in range(10):
        put(connection, f'job-{minute}', minute, score=NEVER + minute)
    monkeypatch.setattr(newest, '_CHUNK', 1)
    read = newest._ids

    def fail_again(*arguments: Any) -> Iterator[str]:
        for job_id in read(*arguments):
            yield job_id
            if job_id == 'job-7':
                put(connection, 'job-7', 20, score=NEVER + 8.5)

    monkeypatch.setattr(newest, '_ids', fail_again)
    registry = FailedJobRegistry('q', connection=connection)
    assert registry.purge(keep_newest=4).done == 6
    assert left(registry) == ['job-6', 'job-7', 'job-8', 'job-9']


def test_keep_newest_does_not_count_expired_entries(failed: FailedJobRegistry, connection: redis.Redis) -> None:
    put(connection, 'expired', 99, score=1)
    failed.purge(keep_newest=2)
    assert left(failed) == ['job-18', 'job-19']


@pytest.mark.parametrize('chunk', [1, 2, 1000])
def test_keep_newest_goes_by_score_in_other_registries(
    connection: redis.Redis, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(newest, '_CHUNK', chunk)
    registry = CanceledJobRegistry('q', connection=connection)
    for number in range(6):
        job = Job.create('len', connection=connection, id=f'job-{number}', origin='q', description='ab'[number % 2])
        job._status = JobStatus.CANCELED
        job.save()
        connection.zadd(registry.key, {job.id: 1000 + number})
    connection.zadd(registry.key, {'gone': 2000})
    assert registry.purge(description='a', keep_newest=2).done == 1
    assert left(registry) == ['gone', 'job-1', 'job-2', 'job-3', 'job-4', 'job-5']
    assert registry.purge(keep_newest=2, max_score=1003).done == 1
    assert left(registry) == ['gone', 'job-2', 'job-3', 'job-4', 'job-5']
    assert registry.purge(keep_newest=2).done == 2
    assert left(registry) == ['gone', 'job-4', 'job-5']
    assert registry.purge(keep_newest=9).total == 0


def test_keep_newest_uses_overridden_get_job_ids(connection: redis.Redis) -> None:
    class Even(FailedJobRegistry):
        def get_job_ids(self, *arguments: Any, **options: Any) -> list[str]:
            return [job_id for job_id in super().get_job_ids(*arguments, **options) if int(job_id[-1]) % 2 == 0]

    for minute in range(10):
        put(connection, f'job-{minute}', minute)
    assert Even('q', connection=connection).purge(keep_newest=2).done == 3
    assert left(FailedJobRegistry('q', connection=connection)) == sorted(
        ['job-6', 'job-8', *(f'job-{minute}' for minute in range(1, 10, 2))]
    )


def test_keep_newest_cleans_up_registry_once(failed: FailedJobRegistry, connection: redis.Redis) -> None:
    cleanups = []

    class Noting(FailedJobRegistry):
        def cleanup(self, *arguments: Any, **options: Any) -> None:
            cleanups.append(arguments)
            super().cleanup(*arguments, **options)

    registry = Noting('q', connection=connection)
    assert registry.purge(keep_newest=15, dry_run=True).done == 5
    assert cleanups == []
    assert registry.purge(keep_newest=15).done == 5
    assert len(cleanups) == 1


def test_keep_newest_counts_per_queue(failed: FailedJobRegistry, connection: redis.Redis) -> None:
    Queue('q', connection=connection).enqueue('len', (), job_id='waits')
    connection.sadd('rq:queues', 'rq:queue:other')
    put(connection, 'elsewhere', 1)
    connection.zrem('rq:failed:q', 'elsewhere')
    connection.zadd('rq:failed:other', {'elsewhere': NEVER})
    result = rqreg_ext.purge(connection, keep_newest=4)
    assert {name: each.done for name, each in result.items()} == {'other': 0, 'q': 16}


@pytest.mark.parametrize(
    ('value', 'error', 'words'),
    [
        (0, ValueError, 'keep_newest=0: give how many jobs to keep, at least 1'),
        (-1, ValueError, 'keep_newest=-1'),
        ('5', TypeError, "keep_newest='5' is not an int"),
        (True, TypeError, 'keep_newest=True is not an int'),
    ],
)
def test_keep_newest_refuses_bad_arguments(
    connection: redis.Redis, value: Any, error: type[Exception], words: str
) -> None:
    for call in (
        FailedJobRegistry('q', connection=connection).purge,
        lambda **options: rqreg_ext.purge(connection, **options),
    ):
        with pytest.raises(error, match=words):
            call(keep_newest=value)
    with pytest.raises(NotImplementedError):
        StartedJobRegistry('q', connection=connection).purge(keep_newest=1)
    with pytest.raises(TypeError, match='this call takes no keep_newest'):
        FailedJobRegistry('q', connection=connection).requeue_all(keep_newest=1)  # type: ignore[call-arg]
