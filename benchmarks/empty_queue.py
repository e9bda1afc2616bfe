"""How long the server is held while a long queue is emptied, and changed otherwise: by RQ, and by ours.

    python -m benchmarks.empty_queue [JOBS]      200 000 by default

It prints what each took, the longest command of the server's SLOWLOG, and the longest PING of another client.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

from .pinger import Pinger
from .populations import ROOT

sys.path.insert(0, str(ROOT / 'tools'))

JOBS = 200_000
CHUNK = 10_000
QUEUE = 'benchmark'


def fill(client: Any, jobs: int) -> list[str]:
    """Put jobs into the queue, of two functions; return their ids."""
    from rq import Queue

    client.flushall()
    queue = Queue(QUEUE, connection=client)
    payloads = []
    for function in ('time.time', 'os.getpid'):
        job = queue.enqueue(function, 'x' * 200, meta={'shop': 'de'})
        payloads.append(client.dump(job.key))
    queue.empty()
    ids = [f'00000000-0000-4000-8000-{number:012}' for number in range(jobs)]
    for start in range(0, jobs, CHUNK):
        with client.pipeline(transaction=False) as pipeline:
            for number, job_id in enumerate(ids[start : start + CHUNK]):
                pipeline.restore(f'rq:job:{job_id}', 0, payloads[number % 2])
            pipeline.rpush(queue.key, *ids[start : start + CHUNK])
            pipeline.execute()
    return ids


def calls() -> dict[str, Callable[[Any, list[str]], Any]]:
    """Return what is done to the queue, by its name."""
    from rq import Queue

    from rqreg_ext import WaitingJobs

    def ours(client: Any) -> WaitingJobs:
        return WaitingJobs(QUEUE, connection=client)

    return {
        'RQ, Queue.empty()': lambda client, ids: Queue(QUEUE, connection=client).empty(),
        'ours, empty()': lambda client, ids: ours(client).empty(),
        'ours, purge() of all': lambda client, ids: ours(client).purge(),
        'ours, purge() of half': lambda client, ids: ours(client).purge(func_name='os.getpid'),
        'ours, cancel_many() of all': lambda client, ids: ours(client).cancel_many(ids),
        'ours, cancel_many() of 100 in the middle': lambda client, ids: ours(client).cancel_many(
            ids[len(ids) // 2 :][:100]
        ),
        'ours, move_many() of all': lambda client, ids: ours(client).move_many(ids, 'other'),
    }


def main() -> None:
    """Measure each of them on a server of its own."""
    from private_redis import PrivateRedis

    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else JOBS
    print(f'{"of " + str(jobs) + " jobs":<42} {"seconds":>8} {"longest command":>16} {"longest PING":>13}')
    for name, call in calls().items():
        with PrivateRedis() as server, Pinger(server.port) as pinger:
            client = server.client(socket_timeout=600)
            ids = fill(client, jobs)
            client.config_set('slowlog-log-slower-than', 500)
            client.config_set('slowlog-max-len', 100_000)
            client.slowlog_reset()
            pinger.latency()
            started = perf_counter()
            call(client, ids)
            seconds = perf_counter() - started
            ping = pinger.latency().worst
            slow = [entry['duration'] for entry in client.slowlog_get(100_000) if b'SLOWLOG' not in entry['command']]
            command = max(slow, default=0) / 1000
            print(f'{name:<42} {seconds:>8.2f} {command:>13.1f} ms {ping * 1000:>10.1f} ms', flush=True)


if __name__ == '__main__':
    main()
