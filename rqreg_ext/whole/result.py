"""What a call on many jobs says that it did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

# Reasons for which a job of the registry is left as it is.
NO_SUCH_JOB = 'no such job'
NO_KNOWN_END = 'no known end'
NO_KNOWN_ENQUEUE_TIME = 'no known enqueue time'
ALREADY_CANCELED = 'already canceled'


@dataclass
class BulkResult:
    """What became of the jobs of one call, or, added up by `+`, of several."""

    done: int = 0
    """Jobs that the call did, or would do (dry_run)."""
    missing: int = 0
    """Ids that were not in the registry, or not any more: others came first. Nothing was done to their jobs."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Entries with nothing to do for them, by reason.

    'no such job' (purge() takes such an entry out where it was given no filter on times), 'already canceled', and where
    a filter asks for a time that nobody knows of the job 'no known end' and 'no known enqueue time'.
    """
    failed: list[tuple[str, Exception]] = field(default_factory=list)
    """(job id, exception) of the jobs that RQ could not do; each is as it was."""
    by_rq: int = 0
    """How many of those done took RQ's own path, several round trips each."""
    dry_run: bool = False
    """Whether nothing was changed."""
    stopped: bool = False
    """Whether progress() ended the call before its end."""
    seconds: float = 0.0

    @property
    def total(self) -> int:
        """How many ids the call came to: those done, missing, skipped and failed."""
        return self.done + self.missing + self.skipped.total() + len(self.failed)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values that json.dumps() takes; of the exceptions their type and text."""
        return {
            'total': self.total,
            'done': self.done,
            'missing': self.missing,
            'skipped': dict(self.skipped),
            'failed': [{'job_id': job_id, 'error': describe(error)} for job_id, error in self.failed],
            'by_rq': self.by_rq,
            'dry_run': self.dry_run,
            'stopped': self.stopped,
            'seconds': self.seconds,
        }

    def __add__(self, other: BulkResult) -> BulkResult:
        if not isinstance(other, BulkResult):
            return NotImplemented
        return BulkResult(
            done=self.done + other.done,
            missing=self.missing + other.missing,
            skipped=self.skipped + other.skipped,
            failed=self.failed + other.failed,
            by_rq=self.by_rq + other.by_rq,
            dry_run=self.dry_run or other.dry_run,
            stopped=self.stopped or other.stopped,
            seconds=self.seconds + other.seconds,
        )

    def __str__(self) -> str:
        parts = [f'{self.done} of {self.total} {"would be done" if self.dry_run else "done"}']
        if self.by_rq:
            parts[0] += f" ({self.by_rq} by RQ's own path)"
        if self.missing:
            parts.append(f'{self.missing} missing')
        parts += [f'{count} skipped: {reason}' for reason, count in self.skipped.items()]
        if self.failed:
            job_id, error = self.failed[0]
            parts.append(f'{len(self.failed)} failed, the first {job_id}: {describe(error)}')
        if self.stopped:
            parts.append('stopped before the end')
        return f'{", ".join(parts)}; {self.seconds:.3f} s'


def describe(error: BaseException) -> str:
    """Return the type and the text of an exception."""
    return f'{type(error).__name__}: {error}' if str(error) else type(error).__name__
