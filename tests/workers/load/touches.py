"""What a kill meets of a job, and what RQ makes of it: tests/workers/test_moments_of_death.py shows each case."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import rq

# RQ 3 looks after an abandoned job only if its status is `started`.
LEAVES_OTHERS_ALONE = int(rq.VERSION.partition('.')[0]) >= 3


class Kill(Enum):
    """Who dies: all that the worker has started, with it; the worker alone; its work-horse alone."""

    ALL = 'all'
    WORKER = 'worker'
    HORSE = 'horse'


@dataclass(frozen=True)
class State:
    """Where a job is; `status` is None where it is gone.

    A worker takes it from its queue into the intermediate queue (`is_taken`), then makes an execution of it, and then
    the work-horse takes it off the intermediate queue and sets the status `started`. A job that `waits` is in its
    queue, or among the scheduled ones.
    """

    status: str | None
    enqueued_at: str
    executions: tuple[str, ...]
    is_taken: bool
    waits: bool


@dataclass(frozen=True)
class Touch:
    """A kill, and the state in which it met a job."""

    kill: Kill
    state: State

    @property
    def loses_it(self) -> bool:
        """Whether neither a worker nor a cleanup looks after the job any more.

        `Job.retry` with an interval sets the status `scheduled` at once, and puts the job among the scheduled ones in
        the transaction that also ends the execution. A worker killed in between leaves a started job that is not
        `started`, and `StartedJobRegistry.cleanup` of RQ 3 drops its entry and does nothing more.
        """
        state = self.state
        is_between = state.status == 'scheduled' and bool(state.executions) and not state.waits
        return LEAVES_OTHERS_ALONE and is_between and self.kill is not Kill.HORSE

    @property
    def fails_it_again(self) -> bool:
        """Whether RQ fails or retries the job for this kill, and then once more, whatever became of it in the meantime.

        `IntermediateQueue.cleanup` does it to each job that it finds there for a minute and not started. That entry
        outlives a work-horse killed before its `prepare_job_execution`: `monitor_work_horse` handles the failure and
        leaves the entry. In RQ 2 it also outlives a worker killed there, whose job `StartedJobRegistry.cleanup`
        handles. And it outlives a worker killed in that `cleanup`, which handles the failure before it removes the
        entry.
        """
        state = self.state
        is_prepared = bool(state.executions) and (self.kill is Kill.HORSE or not LEAVES_OTHERS_ALONE)
        return state.is_taken and (is_prepared or state.waits)

    @property
    def runs_it_again(self) -> bool:
        """Whether the job runs once more than its retries and repeats allow.

        `monitor_work_horse` takes the death of a work-horse for the failure of the job, unless the job is `finished` or
        `failed`. Where the work-horse had stored an end after which the job is to run again, by a retry or a repeat,
        the worker fails it or retries it once more, and writes over what the end has changed.
        """
        return self.kill is Kill.HORSE and self.state.waits and not self.state.executions

    @property
    def retries_used(self) -> int:
        """How many retries it costs at most."""
        return 2 if self.fails_it_again else 1
