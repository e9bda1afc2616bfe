"""Calls that RQ does not have, on many failed jobs: find, purge, requeue_all, check and repair.

Each time is compared with that of RQ's loop, measured on a sample of the entries and multiplied.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import uuid4

from redis import Redis
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rq.job import Job
from rq.registry import FailedJobRegistry as RQFailedJobRegistry
from rq.registry import FinishedJobRegistry as RQFinishedJobRegistry

from rqreg_ext import BulkResult, FailedJobRegistry

from . import rq_loop
from .command_tour import show_command
from .interruption import check, wait_until
from .many_failed_jobs import FailedJobs
from .rq_loop import Loop
from .stage import Stage
from .table import align, cut, duration, terminal_width
from .world import ADDRESS, COUNT_WORDS

# What each kind of job fails with, and the arguments that make it.
KINDS: dict[str, tuple[str, ...]] = {
    'HTTP Error 404': (f'{ADDRESS}/missing',),
    'unknown url type': ('nowhere',),
    'missing 1 required positional argument': (),
}
MISSING_PAGE, NO_ADDRESS, NO_ARGUMENT = KINDS
MOST_BROKEN_PER_KIND = 25
HEADINGS = ('call', 'entries', 'rqreg_ext', "RQ's loop", 'ratio')
CALL = 0
RIGHT_ALIGNED = (1, 2, 3, 4)


@dataclass(frozen=True)
class Step:
    """A call on all jobs of the registry, and its result.

    Attributes:
        call: The call as text.
        outcome: The result as text.
        entries: The number of entries of the registry.
        seconds: The time of the call.
        loop: RQ's loop that does the same; None if RQ cannot do it.
        is_right: Whether the call worked as expected.
    """

    call: str
    outcome: str
    entries: int
    seconds: float
    loop: Loop | None
    is_right: bool


class BulkOperations:
    """The calls, on the failed jobs of one queue."""

    def __init__(self, stage: Stage, console: Console) -> None:
        self.stage = stage
        self.console = console
        self.connection: Redis = stage.connection
        self.failed = FailedJobRegistry(connection=self.connection)
        self.rq_failed = RQFailedJobRegistry(connection=self.connection)
        # The number of jobs of each kind.
        self.counts: dict[str, int] = {}
        self.broken: dict[str, str] = {}

    def fill(self, number: int) -> None:
        """Let a job of each kind fail in the worker, and copy these jobs."""
        models = {kind: str(uuid4()) for kind in KINDS}
        for kind, arguments in KINDS.items():
            self.stage.queue.enqueue(COUNT_WORDS, args=arguments, job_id=models[kind])
        wait_until(lambda: self.left() == len(KINDS), 'three jobs to fail')
        # Stop the worker, so that requeued jobs stay in their queue.
        self.stage.settle()
        for index, (kind, model) in enumerate(models.items()):
            copies = (number + index) // len(KINDS) - 1
            FailedJobs(self.connection, model).add(copies)
            self.counts[kind] = copies + 1

    def steps(self) -> Iterator[Step]:
        """Make the calls, one after the other."""
        yield self.count_kinds()
        yield self.find()
        yield self.purge()
        yield self.requeue()
        self.break_some()
        yield self.check()
        yield self.repair()

    # ---- Reading

    def count_kinds(self) -> Step:
        """Count the failures by the last line of their exceptions."""
        loop = rq_loop.run(self.rq_failed, lambda job: bool(_last_line(job.exc_info)))
        kinds: Counter[str] = Counter()
        with Bar(self.console, 'find', self.left()) as bar:
            for number, (_, fields) in enumerate(self.failed.find(fields=['exc_info']), 1):
                kinds[_last_line(fields['exc_info'])] += 1
                bar.show(number)
        found = {kind: sum(count for line, count in kinds.items() if kind in line) for kind in KINDS}
        outcome = '\n'.join(f'{count:,} {line}' for line, count in kinds.most_common())
        return Step("find(fields=['exc_info'])", outcome, self.left(), bar.seconds, loop, found == self.counts)

    def find(self) -> Step:
        """Find the jobs of one kind."""
        loop = rq_loop.run(self.rq_failed, lambda job: MISSING_PAGE in str(job.exc_info))
        expected, number = self.counts[MISSING_PAGE], 0
        with Bar(self.console, 'find', expected) as bar:
            for number, _ in enumerate(self.failed.find(exc_info=MISSING_PAGE), 1):
                bar.show(number)
        call = f"find(exc_info='{MISSING_PAGE}')"
        return Step(call, f'{number:,} found', self.left(), bar.seconds, loop, number == expected)

    # ---- Changing

    def purge(self) -> Step:
        """Delete the jobs that have no address."""

        def delete(job: Job) -> bool:
            if NO_ADDRESS not in str(job.exc_info):
                return False
            self.rq_failed.remove(job, delete_job=True)
            return True

        loop = rq_loop.run(self.rq_failed, delete)
        expected, entries = self.counts.pop(NO_ADDRESS) - loop.done, self.left()
        keys = self.connection.dbsize()
        with Bar(self.console, 'purge', entries) as bar:
            result = self.failed.purge(exc_info=NO_ADDRESS, progress=bar.show)
        gone = keys - self.connection.dbsize()
        # Each job has at least its hash.
        is_right = result.done == expected <= gone and self.left() == sum(self.counts.values())
        call = f"purge(exc_info='{NO_ADDRESS}')"
        return Step(
            call,
            _done(result, 'deleted', loop),
            entries,
            bar.seconds,
            loop,
            is_right,
        )

    def requeue(self) -> Step:
        """Put the jobs whose page was missing back on their queue."""

        def requeue(job: Job) -> bool:
            if MISSING_PAGE not in str(job.exc_info):
                return False
            self.rq_failed.requeue(job)
            return True

        loop = rq_loop.run(self.rq_failed, requeue)
        expected, entries = self.counts.pop(MISSING_PAGE), self.left()
        with Bar(self.console, 'requeue', entries) as bar:
            result = self.failed.requeue_all(exc_info=MISSING_PAGE, progress=bar.show)
        is_right = self.stage.queue.count == expected == result.done + loop.done
        is_right = is_right and self.left() == sum(self.counts.values())
        call = f"requeue_all(exc_info='{MISSING_PAGE}')"
        return Step(
            call,
            _done(result, 'requeued', loop),
            entries,
            bar.seconds,
            loop,
            is_right,
        )

    # ---- Checking

    def break_some(self) -> None:
        """Break some jobs in the ways that killed workers and expired keys do."""
        ids = self.failed.iter_job_ids()
        for break_it, kind in (
            (self._lose_job, 'missing_job'),
            (self._lose_entry, 'orphan'),
            (self._finish, 'wrong_status'),
        ):
            for _ in range(min(MOST_BROKEN_PER_KIND, self.left() // 10)):
                job_id = next(ids)
                break_it(job_id)
                self.broken[job_id] = kind

    def _lose_job(self, job_id: str) -> None:
        self.connection.delete(Job.key_for(job_id))

    def _lose_entry(self, job_id: str) -> None:
        self.connection.zrem(self.failed.key, job_id)

    def _finish(self, job_id: str) -> None:
        self.connection.hset(Job.key_for(job_id), 'status', 'finished')
        finished = RQFinishedJobRegistry(connection=self.connection)
        self.connection.zadd(finished.key, {job_id: int(time.time()) + 500})

    def check(self) -> Step:
        """Check that exactly the broken jobs are found."""
        entries = self.left()
        with Bar(self.console, 'check', None) as bar:
            report = self.failed.check(progress=bar.show)
        outcome = '\n'.join(f'{count} {kind}' for kind, count in report.counts.items())
        found = {problem.job_id: problem.kind.value for problem in report}
        return Step('check()', outcome, entries, bar.seconds, None, found == self.broken)

    def repair(self) -> Step:
        """Repair it, and check again."""
        entries = self.left()
        with Bar(self.console, 'repair', None) as bar:
            result = self.failed.repair(progress=bar.show)
        outcome = '\n'.join(f'{count} {kind} repaired' for kind, count in result.repaired.items())
        there = self.failed.contains_many(self.broken)
        is_right = there == [kind == 'orphan' for kind in self.broken.values()] and not self.failed.check()
        return Step('repair()', outcome, entries, bar.seconds, None, is_right)

    def left(self) -> int:
        """Return the number of entries."""
        return int(self.failed.get_job_count(cleanup=False))


class Bar:
    """A progress bar around a call; Ctrl-C ends the call."""

    def __init__(self, console: Console, name: str, total: int | None) -> None:
        columns = (TextColumn('  {task.description:8}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.progress = Progress(*columns, console=console)
        self.task = self.progress.add_task(name, total=total)
        self.seconds = 0.0

    def __enter__(self) -> Bar:
        self.progress.start()
        self.started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self.started
        self.progress.stop()

    def show(self, count: int, total: int | None = None) -> None:
        """Update the bar: after each chunk if `total` is given, otherwise after each thousand entries."""
        if total is not None or count % 1000 == 0 or count == self.progress.tasks[0].total:
            check()
            self.progress.update(self.task, completed=count, total=total)


def _last_line(text: str | None) -> str:
    lines = (text or '').strip().splitlines()
    return lines[-1] if lines else ''


def _done(result: BulkResult, verb: str, loop: Loop) -> str:
    return f"{result.done:,} {verb}\n{loop.done} more by RQ's loop when it was measured"


def lines(steps: Sequence[Step]) -> Iterator[str]:
    """Yield the lines of the table: each call with its time and that of RQ's loop, then its result."""
    heading, *calls = align([HEADINGS, *map(_cells, steps)], CALL, RIGHT_ALIGNED)
    yield heading
    yield '-' * len(heading)
    for step, call in zip(steps, calls, strict=True):
        yield call
        outcome = step.outcome if step.is_right else f'WRONG: {step.outcome}'
        for line in outcome.splitlines():
            yield cut(f'    {line}', terminal_width())


def _cells(step: Step) -> tuple[str, ...]:
    call = (step.call, f'{step.entries:,}', duration(step.seconds))
    if step.loop is None:
        return (*call, 'RQ has none', '')
    seconds = step.loop.seconds_for(step.entries)
    return (*call, duration(seconds), f'{seconds / step.seconds:.1f} x')


def show_bulk_operations(stage: Stage, number: int) -> bool:
    """Make the calls on that many failed jobs; return whether all of them worked as expected."""
    console = Console(width=terminal_width(), highlight=False)
    operations = BulkOperations(stage, console)
    console.print(f'Writing {number:,} failed jobs of three kinds, copies of real ones ...')
    operations.fill(number)
    console.print('Searching, purging, requeueing, breaking and repairing them ...')
    steps = list(operations.steps())
    console.print('', *lines(steps), '', sep='\n', markup=False, soft_wrap=True)
    console.print(
        f"RQ's loop fetches each job and does the same with it. It was run on at most {rq_loop.SAMPLE} jobs, from all "
        'parts of the registry, and its time was multiplied.'
    )
    if not all(step.is_right for step in steps):
        return False
    console.print()
    return show_command(stage, console)
