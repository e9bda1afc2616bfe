"""asyncio programs that make calls in threads."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rqreg_ext.registry import FailedJobRegistry

from .filling import MEDIUM, job_ids
from .patience import PATIENCE
from .stoppable import StoppableRedis

if TYPE_CHECKING:
    import redis

TICKS = 20


def test_concurrent_calls_in_threads_get_own_answers(stoppable: StoppableRedis, patient_client: redis.Redis) -> None:
    registry = FailedJobRegistry('medium', connection=patient_client)
    ids = job_ids(100)

    async def ask() -> list[object]:
        calls = [asyncio.to_thread(registry.get_job_ids, number, number) for number in range(len(ids))]
        counts = [asyncio.to_thread(registry.get_job_count) for _ in range(20)]
        return await asyncio.gather(*calls, *counts)

    assert asyncio.run(ask()) == [*([job_id] for job_id in ids), *[MEDIUM] * 20]


def test_loop_runs_while_call_waits(stoppable: StoppableRedis, patient_client: redis.Redis) -> None:
    registry = FailedJobRegistry('medium', connection=patient_client)

    async def wait() -> int:
        with stoppable.stopped():
            call = asyncio.create_task(asyncio.to_thread(registry.get_job_count))
            for _ in range(TICKS):
                await asyncio.sleep(0.001)
            assert not call.done()
        return await asyncio.wait_for(call, PATIENCE)

    assert asyncio.run(wait()) == MEDIUM


def test_call_of_cancelled_task_ends_in_its_thread(stoppable: StoppableRedis, patient_client: redis.Redis) -> None:
    """The thread goes on waiting, with its connection; calls of other tasks have their own, and right answers."""
    registry = FailedJobRegistry('medium', connection=patient_client)

    async def cancel() -> list[object]:
        outcomes = []
        with stoppable.stopped():
            calls = [asyncio.create_task(asyncio.to_thread(registry.get_job_ids)) for _ in range(3)]
            await asyncio.sleep(0.01)
            for call in calls:
                call.cancel()
            outcomes += await asyncio.gather(*calls, return_exceptions=True)
        outcomes += await asyncio.gather(*(asyncio.to_thread(registry.get_job_ids, 5, 6) for _ in range(5)))
        return outcomes

    *cancelled, a, b, c, d, e = asyncio.run(cancel())
    assert [type(outcome) for outcome in cancelled] == [asyncio.CancelledError] * 3
    assert a == b == c == d == e == job_ids(7)[5:]
    assert registry.count == MEDIUM
