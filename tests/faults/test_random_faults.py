"""A long walk of calls and faults in random order, on several threads with one client: every answer is right.

What is right is known to each thread beforehand: it has a registry of its own, which no other thread changes.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import redis
from depth import IS_DEEP
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job
from rq.utils import get_version

from rqreg_ext.registry import FailedJobRegistry, StartedJobRegistry

from .relay import Cut, Drip, End, Fault, Hold, Insertion, Lie, Refusal, Relay

if TYPE_CHECKING:
    from pathlib import Path

    from private_redis import PrivateRedis

SECONDS = 30.0 if IS_DEEP else 4.0
THREADS = 4
NEVER = 4_000_000_000
PUSH = b'>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n'
FAILURES = (redis.ConnectionError, redis.TimeoutError, redis.InvalidResponse)


class Walker:
    """The registries of one thread, with their expected entries."""

    def __init__(self, number: int, client: Any, admin: redis.Redis, seed: int) -> None:
        self.random = random.Random(f'{seed}/{number}')
        self.admin = admin
        self.failed = FailedJobRegistry(f'walk-{number}', connection=client)
        self.started = StartedJobRegistry(f'walk-{number}', connection=client)
        self.right = self.wrong = 0
        self.entries = [f'{number}-{n:05}' for n in range(self.random.choice([3, 40, 900]))]
        self.pairs = [(f'job-{number}', f'{n:05}') for n in range(5)]
        self.fill()
        admin.zadd(self.started.key, {':'.join(pair): NEVER + n for n, pair in enumerate(self.pairs)})

    def fill(self) -> None:
        """Restore the expected entries of the failed registry."""
        pipeline = self.admin.pipeline()
        pipeline.delete(self.failed.key)
        pipeline.zadd(self.failed.key, {entry: NEVER + n for n, entry in enumerate(self.entries)})
        pipeline.execute()

    def read(self) -> None:
        """Make a random read, and check its answer."""
        first, last = sorted(self.random.choices(range(len(self.entries)), k=2))
        answer, expected = self.random.choice(
            [
                lambda: (self.failed.count, len(self.entries)),
                lambda: (self.failed.get_job_ids(), self.entries),
                lambda: (self.failed.get_job_ids(cleanup=False), self.entries),
                lambda: (self.failed.get_job_ids(first, last), self.entries[first : last + 1]),
                lambda: (self.failed.get_job_ids(desc=True), self.entries[::-1]),
                lambda: (self.entries[first] in self.failed, True),
                lambda: ('nobody' in self.failed, False),
                lambda: (self.failed.get_expired_job_ids(NEVER + first), self.entries[: first + 1]),
                lambda: (self.started.count, len(self.pairs)),
                lambda: (self.started.get_job_and_execution_ids(), self.pairs),
                lambda: (self.pairs[0][0] in self.started, True),
                lambda: ('nobody' in self.started, False),
            ]
        )()
        assert answer == expected

    def change(self) -> None:
        """Make a random change. Whether the call fails or not, the change must be complete or absent."""
        entry = self.random.choice(self.entries)
        kind = self.random.choice(['remove', 'delete', 'requeue'])
        job = Job.create('os.getpid', id=entry, origin=self.failed.name, connection=self.admin, status='failed')
        job.save()
        queue = f'rq:queue:{self.failed.name}'
        try:
            # The first two where it was sent twice, as the client's Retry wishes.
            with contextlib.suppress(NoSuchJobError, InvalidJobOperation):
                if kind == 'requeue':
                    assert self.failed.requeue(entry).id == entry
                else:
                    assert self.failed.remove(entry, delete_job=kind == 'delete') in (0, 1)
        except FAILURES:
            # What is left of a command may still be on its way.
            time.sleep(0.1)
        finally:
            is_in = self.admin.zscore(self.failed.key, entry) is not None
            is_queued = self.admin.lrange(queue, 0, -1)
            self.admin.delete(queue, job.key)
            self.fill()
        assert len(is_queued) <= 1
        assert not (is_in and is_queued)

    def walk(self, until: float) -> None:
        """Make calls until that time."""
        while time.monotonic() < until:
            if self.random.random() < 0.1:
                self.change()
                continue
            try:
                self.read()
                self.right += 1
            except FAILURES:
                self.wrong += 1


def random_fault(choice: random.Random) -> Fault:
    """Return a fault that cannot be taken for an answer."""
    place = choice.choice([0, 1, 3, 5, 8, 20, 100, 1000, 5000])
    ends = [End.CLOSE, End.RESET, End.HALF, End.SILENCE]
    return choice.choice(
        [
            Cut(place, choice.choice(ends)),
            Cut(place, choice.choice(ends)),
            Refusal(place, choice.choice(ends)),
            Insertion(0, PUSH),
            Lie(b'-LOADING Redis is loading the dataset in memory\r\n'),
            Lie(b'HTTP/1.1 502 Bad Gateway\r\n\r\n'),
            Lie(b''),
            Hold(),
            Drip(),
        ]
    )


def disturb(relay: Relay, seed: int, over: threading.Event) -> int:
    """Arm fault after fault until it is over; return how many struck."""
    choice = random.Random(seed)
    struck = 0
    while not over.wait(choice.uniform(0.001, 0.05)):
        if choice.random() < 0.05:
            relay.drop(choice.choice([End.CLOSE, End.RESET]))
        struck += not relay.is_armed
        relay.arm(random_fault(choice))
    relay.arm(None)
    return struck


@pytest.mark.parametrize('retries', [None, 2])
@pytest.mark.parametrize('kind', ['tcp', 'unix'])
def test_random_faults_give_no_wrong_answer(
    redis_server: PrivateRedis, connection: redis.Redis, tmp_path: Path, retries: int | None, kind: str
) -> None:
    seed = int(os.environ.get('RQREG_TEST_SEED', random.randrange(1 << 32)))
    print('RQREG_TEST_SEED', seed)
    with Relay(redis_server.port, str(tmp_path / 'relay.sock') if kind == 'unix' else None) as relay:
        retry = None if retries is None else Retry(NoBackoff(), retries)
        client = redis.Redis(**relay.address, protocol=3, retry=retry, socket_timeout=1)
        get_version(client)
        walkers = [Walker(number, client, connection, seed) for number in range(THREADS)]
        over = threading.Event()
        with ThreadPoolExecutor(THREADS + 1) as threads:
            disturbing = threads.submit(disturb, relay, seed, over)
            until = time.monotonic() + SECONDS
            try:
                for walk in [threads.submit(walker.walk, until) for walker in walkers]:
                    walk.result()
            finally:
                over.set()
        for walker in walkers:
            walker.read()
        right, wrong = sum(walker.right for walker in walkers), sum(walker.wrong for walker in walkers)
        print(f'{right} answers, {wrong} failures, {disturbing.result()} faults')
        assert right > 0
        assert disturbing.result() > 0
        client.close()
