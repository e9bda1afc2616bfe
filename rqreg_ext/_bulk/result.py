"""The result of a call that changes many jobs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from .._fastpath.server_errors import describe
from .._fastpath.wording import counted

# A reason why a job is skipped. Filters have others; see filters.py.
ALREADY_CANCELED = 'already canceled'
# No worker has received the command to stop a job.
NO_WORKER = 'no worker listens'
# Printed instead of the counts if no job was selected.
NOTHING = 'nothing matched'


def sum_of_known(*numbers: int | None) -> int | None:
    """Return the sum; None if one of the numbers is unknown."""
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


@dataclass(repr=False)
class BulkResult:
    """What a call did with each of the selected jobs. Results can be added with `+`."""

    done: int = 0
    """How many jobs were changed, or with `dry_run` would be."""
    missing: int = 0
    """How many ids were not in the registry, or not any more. Their jobs were not changed."""
    unconfirmed: int = 0
    """How many jobs were probably changed, although no reply confirmed it.
    The connection was lost before the reply, and the client's Retry sent the chunk again: then these jobs were no
    longer in the registry, or already canceled. Another client may have changed them too.
    """
    skipped: Counter[str] = field(default_factory=Counter)
    """How many jobs there was nothing to do for, by reason.
    'no such job' means that the job's hash is gone (purge() without filters on times removes such an entry). The others
    are 'already canceled', and for a filter that cannot be decided 'no known end' (or enqueue, start or creation time),
    'unreadable data', and 'not known without unpickling'; 'no worker listens' if no worker received the stop command.
    """
    failed: list[tuple[str, Exception]] = field(default_factory=list)
    """(job id, exception) of each job that RQ could not change. These jobs are as they were."""
    by_rq: int = 0
    """How many of the jobs in `done` were changed with RQ's own code, which takes several round trips each."""
    unacknowledged: int = 0
    """How many chunks fewer replicas than `wait_replicas` had within a second; 0 if that was not given.
    Chunks with jobs in `by_rq` count too: the commands of RQ's own methods cannot be waited for.
    """
    remaining: int | None = 0
    """How many of the entries, or of the ids given, were not looked at, because `limit`, progress() or an exception
    ended the call before; None if that is unknown, as of ids from a generator. With filters, not all of them match. Of
    the chunk that an exception has interrupted, all count.
    """
    dry_run: bool = False
    """Whether the call was a dry run, which changes nothing."""
    stopped: bool = False
    """Whether progress() ended the call."""
    interrupted: bool = False
    """Whether an exception ended the call. Then `total` counts what was processed until then, not all selected jobs."""
    seconds: float = 0.0
    """How long the call took, in seconds."""

    @property
    def total(self) -> int:
        """How many jobs were processed, the sum of done, missing, unconfirmed, skipped and failed."""
        return self.done + self.missing + self.unconfirmed + self.skipped.total() + len(self.failed)

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as a dict that json.dumps() accepts. Exceptions are given by type and message."""
        return {
            'total': self.total,
            'done': self.done,
            'missing': self.missing,
            'unconfirmed': self.unconfirmed,
            'skipped': dict(self.skipped),
            'failed': [{'job_id': job_id, 'error': describe(error)} for job_id, error in self.failed],
            'by_rq': self.by_rq,
            'unacknowledged': self.unacknowledged,
            'remaining': self.remaining,
            'dry_run': self.dry_run,
            'stopped': self.stopped,
            'interrupted': self.interrupted,
            'seconds': self.seconds,
        }

    def __add__(self, other: BulkResult) -> BulkResult:
        if not isinstance(other, BulkResult):
            return NotImplemented
        return BulkResult(
            done=self.done + other.done,
            missing=self.missing + other.missing,
            unconfirmed=self.unconfirmed + other.unconfirmed,
            skipped=self.skipped + other.skipped,
            failed=self.failed + other.failed,
            by_rq=self.by_rq + other.by_rq,
            unacknowledged=self.unacknowledged + other.unacknowledged,
            remaining=sum_of_known(self.remaining, other.remaining),
            dry_run=self.dry_run or other.dry_run,
            stopped=self.stopped or other.stopped,
            interrupted=self.interrupted or other.interrupted,
            seconds=self.seconds + other.seconds,
        )

    def __repr__(self) -> str:
        return f'<{type(self).__name__}: {self}>'

    def __str__(self) -> str:
        parts = [
            f'{self.done} of {self.total} {"would be done" if self.dry_run else "done"}' if self.total else NOTHING
        ]
        if self.by_rq:
            parts[0] += f" ({self.by_rq} by RQ's own methods)"
        if self.missing:
            parts.append(f'{self.missing} missing')
        if self.unconfirmed:
            parts.append(f'{self.unconfirmed} unconfirmed')
        parts += [f'{count} skipped: {reason}' for reason, count in self.skipped.items()]
        if self.failed:
            job_id, error = self.failed[0]
            parts.append(f'{len(self.failed)} failed, the first {job_id}: {describe(error)}')
        if self.unacknowledged:
            parts.append(f'{counted(self.unacknowledged, "chunk")} not acknowledged by replicas')
        if self.remaining:
            parts.append(f'{self.remaining} remaining')
        if self.stopped:
            parts.append('stopped before the end')
        if self.interrupted:
            parts.append('interrupted before the end')
        return f'{", ".join(parts)}; {self.seconds:.3f} s'
