"""What commands say of the jobs that they change, before and after."""

from __future__ import annotations

from collections.abc import Mapping

from .._bulk.result import BulkResult
from .._fastpath.server_errors import describe
from .output import counted, printable
from .terminal import grouped, say

_QUEUES_SHOWN = 5
_FAILURES_SHOWN = 10


def jobs_of(counts: Mapping[str, int]) -> str:
    """Return how many jobs of which queues there are, by how many there are of each."""
    counts = {name: count for name, count in counts.items() if count}
    shown = [f'{printable(name)} {grouped(count)}' for name, count in list(counts.items())[:_QUEUES_SHOWN]]
    more = [counted(len(counts) - _QUEUES_SHOWN, 'more queue')] if len(counts) > _QUEUES_SHOWN else []
    of = f' of {counted(len(counts), "queue")} ({", ".join([*shown, *more])})' if counts else ''
    return f'{counted(sum(counts.values()), "job")}{of}'


def passed_over(result: BulkResult, done: str) -> list[str]:
    """Return how many jobs are not certainly done, for each reason but an error.

    done: What has happened to the others: 'requeued', say.
    """
    counts = {
        'not there any more': result.missing,
        f'probably {done}, the connection was lost before the reply': result.unconfirmed,
        **{f'skipped: {reason}': count for reason, count in result.skipped.items()},
    }
    return [f'{grouped(count)} {what}' for what, count in counts.items() if count]


def not_done(result: BulkResult, done: str) -> list[str]:
    """Return a line for each reason why jobs are not certainly done."""
    failed = [f'{grouped(len(result.failed))} failed'] if result.failed else []
    return [*passed_over(result, done), *failed]


def say_errors(result: BulkResult, of_queues: Mapping[str, Exception]) -> None:
    """Say, on stderr, why some jobs and queues could not be done."""
    for job_id, error in result.failed[:_FAILURES_SHOWN]:
        say(f'job {job_id!r} failed: {describe(error)}')
    if len(result.failed) > _FAILURES_SHOWN:
        say(f'and {counted(len(result.failed) - _FAILURES_SHOWN, "more job")}')
    for name, error in of_queues.items():
        say(f'queue {name!r} ended with {describe(error)}')
