"""What a Redis holds, to be compared, and jobs of every kind to fill it with."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import rq
from rq import Callback, Queue, Retry, SimpleWorker, executions
from rq.group import Group

# What is the worker's and not the jobs'.
_OF_WORKERS = (b'rq:worker', b'rq:clean_', b'rq:scheduler', b'rq:suspended')


def state(client: Any, prefix: bytes = b'rq:') -> dict[bytes, Any]:
    """Return the value of each key, but for those of workers."""
    found = {}
    for key in sorted(client.scan_iter()):
        if not key.startswith(_OF_WORKERS):
            found[key] = _value(client, key)
    return found


def _value(client: Any, key: bytes) -> Any:
    kind = client.type(key)
    if kind == b'hash':
        return client.hgetall(key)
    if kind == b'zset':
        return client.zrange(key, 0, -1, withscores=True)
    if kind == b'set':
        return client.smembers(key)
    if kind == b'list':
        return client.lrange(key, 0, -1)
    if kind == b'stream':
        return client.xrange(key)
    return kind, client.get(key)


def expiries(client: Any) -> dict[bytes, int]:
    """Return when each key expires, in milliseconds since 1970."""
    found = {}
    for key in client.scan_iter():
        seconds, microseconds = client.time()
        left = client.pttl(key)
        if left >= 0 and not key.startswith(_OF_WORKERS):
            found[key] = seconds * 1000 + microseconds // 1000 + left
    return found


def same_expiries(found: dict[bytes, int], expected: dict[bytes, int], tolerance: int = 50) -> bool:
    """Tell whether the same keys expire, at the same times but for some milliseconds."""
    return found.keys() == expected.keys() and all(abs(found[key] - expected[key]) <= tolerance for key in found)


def _prepare_execution(worker: Any, job: Any) -> None:
    """Have the worker begin the job, by what RQ has for it; before 2.7 that is a method."""
    prepare = getattr(executions, 'prepare_execution', None)
    if prepare is None:
        worker.prepare_execution(job)
    else:
        prepare(worker, job)


def fill(connection: Any) -> None:
    """Have RQ make jobs of every kind in two queues, and a worker execute some."""
    for name in ('mail', 'étiquettes'):
        queue = Queue(name, connection=connection)
        group = Group.create(connection=connection, name=f'group of {name}')
        options: dict[str, Any] = {'result_ttl': 5000, 'failure_ttl': 7000}
        for number in range(5):
            queue.enqueue(chr, 'no number', meta={'n': number}, **options)
            queue.enqueue(len, 'é' * number, description='\U0001f600 ' * number, **options)
        failed_first = queue.enqueue(chr, 'text', retry=Retry(max=2), **options)
        queue.enqueue(len, 'grün', depends_on=failed_first)
        parent = queue.enqueue(len, 'parent', on_success=Callback('os.getcwd'), **options)
        queue.enqueue(len, 'child', depends_on=[parent, failed_first])
        group.enqueue_many(
            queue, [Queue.prepare_data(chr, ('x',), **options), Queue.prepare_data(len, ('x',), **options)]
        )
        canceled = queue.enqueue(len, 'canceled')
        canceled.cancel()
        worker = SimpleWorker([queue], connection=connection)
        worker.work(burst=True, logging_level='CRITICAL')
        queue.enqueue_in(timedelta(days=1), len, 'later')
        for number in range(3):
            queue.enqueue(len, f'waiting {number}')
        started = queue.enqueue(len, 'started', at_front=True)
        queue.remove(started)
        started.set_status(rq.job.JobStatus.STARTED)
        _prepare_execution(worker, started)
        # A field of another program, and one that is not text.
        connection.hset(started.key, mapping={'other': b'\xff\x00', b'na\xffme': 'x'})
        connection.hset(failed_first.key, 'result', b'\x80old')
    connection.delete(*[key for key in connection.scan_iter() if key.startswith(_OF_WORKERS)])
