"""What a careful person writes by hand, who knows RQ's keys and redis-py: few round trips, no more than is needed.

What a function leaves in Redis is compared with what RQ leaves. What it takes for granted of the jobs stands in
its docstring: RQ, and what is measured against it, look.
"""

from __future__ import annotations

import pickle
import zlib
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from itertools import islice
from time import time
from typing import Any

JOBS, QUEUES, EXECUTIONS = 'rq:job:', 'rq:queue:', 'rq:executions:'
STARTED, FINISHED, FAILED, DEFERRED = 'rq:wip:{}', 'rq:finished:{}', 'rq:failed:{}', 'rq:deferred:{}'
SCHEDULED, CANCELED, READY = 'rq:scheduled:{}', 'rq:canceled:{}', 'rq:ready:{}'
REGISTRIES = (STARTED, FINISHED, FAILED, DEFERRED, SCHEDULED, CANCELED, READY)
# The keys of a job, by its id.
KEYS = ('rq:job:{0}', 'rq:job:{0}:dependents', 'rq:job::{0}:dependencies', 'rq:results:{0}')

# The glob that needs no look.
EVERY = '*'
CHUNK = 1000
DEFAULT_TIMEOUT = 180
NO_EXC_INFO = zlib.compress(b'')


def _chunks(items: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def _together(client: Any, commands: Callable[[Any], None]) -> list[Any]:
    """Send commands in one write, without MULTI."""
    with client.pipeline(transaction=False) as pipeline:
        commands(pipeline)
        replies: list[Any] = pipeline.execute()
    return replies


def count(client: Any, queue: str) -> int:
    """Drop what has expired and count, in one round trip."""
    key = FAILED.format(queue)
    return int(_together(client, lambda pipeline: pipeline.zremrangebyscore(key, 0, int(time())).zcard(key))[-1])


def counts(client: Any, queues: Sequence[str]) -> list[int]:
    """Do the same for many queues, in one round trip."""

    def commands(pipeline: Any) -> None:
        now = int(time())
        for queue in queues:
            key = FAILED.format(queue)
            pipeline.zremrangebyscore(key, 0, now).zcard(key)

    return list(map(int, _together(client, commands)[1::2]))


def is_failed(client: Any, queue: str, job_id: str) -> bool:
    """Ask for the entry's score."""
    return client.zscore(FAILED.format(queue), job_id) is not None


def are_failed(client: Any, queue: str, job_ids: Sequence[str]) -> list[bool]:
    """Ask for all scores with one command."""
    return [score is not None for score in client.zmscore(FAILED.format(queue), job_ids)]


def is_started(client: Any, queue: str, job_id: str) -> bool:
    """Ask the job's own executions first, and look through the whole registry only where they do not tell."""
    key = STARTED.format(queue)
    executions = [execution.decode() for execution in client.zrange(EXECUTIONS + job_id, 0, -1)]
    if executions and any(
        score is not None for score in client.zmscore(key, [f'{job_id}:{execution}' for execution in executions])
    ):
        return True
    prefix = f'{job_id}:'.encode()
    return any(entry.startswith(prefix) for entry in client.zrange(key, 0, -1))


def job_ids(client: Any, queue: str) -> list[str]:
    """Drop what has expired and list, in one round trip."""
    key = FAILED.format(queue)
    replies = _together(client, lambda pipeline: pipeline.zremrangebyscore(key, 0, int(time())).zrange(key, 0, -1))
    return [entry.decode() for entry in replies[-1]]


def scan_ids(client: Any, queue: str) -> Iterator[str]:
    """Iterate in constant memory, in no order; an entry may come twice."""
    for entry, _ in client.zscan_iter(FAILED.format(queue), count=CHUNK):
        yield entry.decode()


def scan_entries(client: Any, queue: str) -> Iterator[tuple[str, float]]:
    """Do the same with the scores."""
    for entry, score in client.zscan_iter(FAILED.format(queue), count=CHUNK):
        yield entry.decode(), score


def remove(client: Any, queue: str, job_id: str) -> int:
    """Remove one entry."""
    return int(client.zrem(FAILED.format(queue), job_id))


def remove_many(client: Any, queue: str, ids: Iterable[str]) -> int:
    """Remove many entries, a thousand a command."""
    return sum(client.zrem(FAILED.format(queue), *chunk) for chunk in _chunks(ids))


def _still_failed(client: Any, ids: Sequence[str], description: str, *others: str) -> Iterator[tuple[str, list[Any]]]:
    """Yield the ids of the jobs whose status still is failed and whose description matches, and their other fields."""
    fields = ('status', *([] if description == EVERY else ['description']), *others)

    def ask(pipeline: Any) -> None:
        for job_id in ids:
            if len(fields) > 1:
                pipeline.hmget(JOBS + job_id, *fields)
            else:
                # Its reply is read faster.
                pipeline.hget(JOBS + job_id, *fields)

    for job_id, reply in zip(ids, _together(client, ask), strict=True):
        status, *found = reply if len(fields) > 1 else [reply]
        if status == b'failed' and (description == EVERY or fnmatchcase(found.pop(0).decode(), description)):
            yield job_id, found


def delete(client: Any, queue: str, ids: Sequence[str], description: str = EVERY) -> int:
    """Delete jobs with their entries, in two round trips: those whose status still is failed.

    Taken for granted: they stand on no queue, run nowhere, and have no group and no rate limit.
    """
    failed = [job_id for job_id, _ in _still_failed(client, ids, description)]
    if failed:
        keys = [key.format(job_id) for job_id in failed for key in KEYS]
        _together(client, lambda pipeline: pipeline.zrem(FAILED.format(queue), *failed).unlink(*keys))
    return len(failed)


def requeue(client: Any, queue: str, ids: Sequence[str], description: str = EVERY) -> int:
    """Put jobs back on their queue, in two round trips: those whose status still is failed.

    Taken for granted: their hashes have every field that RQ writes, and no rate limit, metadata or result.
    """
    failed = list(_still_failed(client, ids, description, 'origin', 'timeout', 'ttl'))

    def change(pipeline: Any) -> None:
        now = datetime.now(timezone.utc).strftime('%Y-%m-%dT%H:%M:%S.%fZ')
        origins: dict[str, list[str]] = {}
        for job_id, (origin, timeout, ttl) in failed:
            fields = {'status': 'queued', 'enqueued_at': now, 'started_at': '', 'ended_at': '', 'exc_info': NO_EXC_INFO}
            pipeline.hset(JOBS + job_id, mapping={**fields, 'timeout': timeout or DEFAULT_TIMEOUT})
            if ttl:
                pipeline.expire(JOBS + job_id, int(ttl))
            origins.setdefault(origin.decode(), []).append(job_id)
        for origin, of_origin in origins.items():
            pipeline.rpush(QUEUES + origin, *of_origin)
        pipeline.zrem(FAILED.format(queue), *(job_id for job_id, _ in failed))

    if failed:
        _together(client, change)
    return len(failed)


def cancel(client: Any, queue: str, ids: Sequence[str]) -> int:
    """Cancel jobs, in two round trips: those whose status still is failed.

    Taken for granted: they stand on no queue and have no rate limit.
    """
    failed = [job_id for job_id, _ in _still_failed(client, ids, EVERY)]

    def change(pipeline: Any) -> None:
        for job_id in failed:
            pipeline.hset(JOBS + job_id, 'status', 'canceled')
        pipeline.zadd(CANCELED.format(queue), dict.fromkeys(failed, int(time())))
        pipeline.zrem(FAILED.format(queue), *failed)

    if failed:
        _together(client, change)
    return len(failed)


def change_first(client: Any, queue: str, count: int, change: Callable[[Any, str, Sequence[str]], int]) -> int:
    """Change the first jobs of the registry, a thousand at a time; what is left standing is stepped over."""
    key, done, left = FAILED.format(queue), 0, 0
    while ids := [entry.decode() for entry in client.zrange(key, left, left + min(CHUNK, count - done - left) - 1)]:
        changed = change(client, queue, ids)
        done += changed
        left += len(ids) - changed
        if done + left == count:
            break
    return done


def page(client: Any, queue: str, start: int, size: int) -> tuple[list[str], int]:
    """Drop what has expired, and return the ids of a page and how many there are in all, in one round trip."""
    key = FAILED.format(queue)

    def commands(pipeline: Any) -> None:
        pipeline.zremrangebyscore(key, 0, int(time())).zrange(key, start, start + size - 1).zcard(key)

    _, entries, total = _together(client, commands)
    return [entry.decode() for entry in entries], total


def jobs(client: Any, queue: str, start: int, size: int) -> list[Any]:
    """Return the jobs of a page, in two round trips; RQ's Job.fetch_many() is as good as it gets."""
    from rq.job import Job

    ids, _ = page(client, queue, start, size)
    return [job for job in Job.fetch_many(ids, connection=client) if job is not None]


def find(client: Any, queue: str, description: str, count: int) -> Iterator[str]:
    """Find jobs among the first ones by a glob on their description, a thousand at a time."""
    for ids in _chunks(entry.decode() for entry in client.zrange(FAILED.format(queue), 0, count - 1)):

        def ask(pipeline: Any, ids: list[str] = ids) -> None:
            for job_id in ids:
                pipeline.hget(JOBS + job_id, 'description')

        for job_id, found in zip(ids, _together(client, ask), strict=True):
            if found is not None and fnmatchcase(found.decode(), description):
                yield job_id


def count_failures(client: Any, queue: str, count: int) -> Counter[tuple[str, str]]:
    """Count the first jobs by their function and the class of their exception, a thousand at a time.

    It takes for granted that each has a result, and loads pickles that an attacker could have written.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for ids in _chunks(entry.decode() for entry in client.zrange(FAILED.format(queue), 0, count - 1)):

        def ask(pipeline: Any, ids: list[str] = ids) -> None:
            for job_id in ids:
                pipeline.hget(JOBS + job_id, 'data').xrevrange(f'rq:results:{job_id}', count=1)

        found = _together(client, ask)
        for data, results in zip(found[::2], found[1::2], strict=True):
            text = zlib.decompress(b64decode(results[0][1][b'exc_string']))
            line = text.rstrip().rpartition(b'\n')[2]
            counts[pickle.loads(zlib.decompress(data))[0], line.partition(b':')[0].decode()] += 1
    return counts


def wrong(client: Any, queue: str, count: int) -> int:
    """Count the first entries whose job is gone, or is not what the registry holds, a thousand at a time."""
    found = 0
    for ids in _chunks(entry.decode() for entry in client.zrange(FAILED.format(queue), 0, count - 1)):

        def ask(pipeline: Any, ids: list[str] = ids) -> None:
            for job_id in ids:
                pipeline.hget(JOBS + job_id, 'status')

        found += sum(status != b'failed' for status in _together(client, ask))
    return found


def repair(client: Any, queue: str, count: int) -> int:
    """Remove those of the first entries whose job is gone, a thousand at a time."""
    gone: list[str] = []
    for ids in _chunks(entry.decode() for entry in client.zrange(FAILED.format(queue), 0, count - 1)):

        def ask(pipeline: Any, ids: list[str] = ids) -> None:
            for job_id in ids:
                pipeline.exists(JOBS + job_id)

        gone += [job_id for job_id, exists in zip(ids, _together(client, ask), strict=True) if not exists]
    return remove_many(client, queue, gone)


def snapshot(client: Any, queues: Sequence[str]) -> list[int]:
    """Count the jobs on queues and in all of their registries, without dropping anything, in one round trip."""

    def commands(pipeline: Any) -> None:
        for queue in queues:
            pipeline.llen(QUEUES + queue)
            for registry in REGISTRIES:
                pipeline.zcard(registry.format(queue))

    return list(map(int, _together(client, commands)))
