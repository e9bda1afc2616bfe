"""Threads that come, call at the same time, and go."""

from __future__ import annotations

import threading

import redis
from measuring import PORT, measure

from rqreg_ext.registry import FailedJobRegistry

THREADS = 4
CALLS = 20

client = redis.Redis(port=PORT)
failed = FailedJobRegistry('threads', connection=client)
answers: list[int] = []


def work(barrier: threading.Barrier) -> None:
    barrier.wait()
    answers.extend(failed.count for _ in range(CALLS))
    answers.extend(len(failed.get_job_ids()) for _ in range(CALLS))


def step() -> None:
    barrier = threading.Barrier(THREADS)
    threads = [threading.Thread(target=work, args=[barrier]) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [0] * (2 * THREADS * CALLS)
    answers.clear()


measure(step, steps=60, calls=2 * THREADS * CALLS)
