"""What RQ cannot do: a hundred thousand failed jobs looked through, purged, requeued, checked and repaired.

Beside each time stands what RQ's own loop would take, measured on some of the entries, and multiplied.
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
MOST_BROKEN_OF_A_SORT = 25
HEADINGS = ('call', 'entries', 'rqreg_ext', "RQ's loop", 'ratio')
CALL = 0
RIGHT_ALIGNED = (1, 2, 3, 4)


@dataclass(frozen=True)
class Step:
    """A call on the whole registry: what came of it, over how many entries, and in how many seconds.

    loop: RQ's loop for the same; None where RQ has no way to do it.
    """

    call: str
    outcome: str
    entries: int
    seconds: float
    loop: Loop | None
    is_right: bool


class WholeRegistry:
    """The steps of the show, on the failed jobs of one queue."""

    def __init__(self, stage: Stage, console: Console) -> None:
        self.stage = stage
        self.console = console
        self.connection: Redis = stage.connection
        self.failed = FailedJobRegistry(connection=self.connection)
        self.rq_failed = RQFailedJobRegistry(connection=self.connection)
        # How many jobs of each kind there are.
        self.of_kind: dict[str, int] = {}
        self.broken: dict[str, str] = {}

    def fill(self, number: int) -> None:
        """Let a job of each kind fail in the worker, and write copies of them."""
        models = {kind: str(uuid4()) for kind in KINDS}
        for kind, arguments in KINDS.items():
            self.stage.queue.enqueue(COUNT_WORDS, args=arguments, job_id=models[kind])
        wait_until(lambda: self.left() == len(KINDS), 'three jobs to fail')
        # The jobs that are requeued later shall be seen on their queue.
        self.stage.settle()
        for place, (kind, model) in enumerate(models.items()):
            copies = (number + place) // len(KINDS) - 1
            FailedJobs(self.connection, model).add(copies)
            self.of_kind[kind] = copies + 1

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
        return Step("find(fields=['exc_info'])", outcome, self.left(), bar.seconds, loop, found == self.of_kind)

    def find(self) -> Step:
        """Find the jobs of one kind."""
        loop = rq_loop.run(self.rq_failed, lambda job: MISSING_PAGE in str(job.exc_info))
        expected, number = self.of_kind[MISSING_PAGE], 0
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
        expected, entries = self.of_kind.pop(NO_ADDRESS) - loop.done, self.left()
        keys = self.connection.dbsize()
        with Bar(self.console, 'purge', entries) as bar:
            result = self.failed.purge(exc_info=NO_ADDRESS, progress=bar.show)
        gone = keys - self.connection.dbsize()
        # Each with its hash, at least.
        is_right = result.done == expected <= gone and self.left() == sum(self.of_kind.values())
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
        expected, entries = self.of_kind.pop(MISSING_PAGE), self.left()
        with Bar(self.console, 'requeue', entries) as bar:
            result = self.failed.requeue_all(exc_info=MISSING_PAGE, progress=bar.show)
        is_right = self.stage.queue.count == expected == result.done + loop.done
        is_right = is_right and self.left() == sum(self.of_kind.values())
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
        """Break what killed workers and expired keys break."""
        ids = self.failed.iter_job_ids()
        for break_it, kind in (
            (self._lose_job, 'missing_job'),
            (self._lose_entry, 'orphan'),
            (self._finish, 'wrong_status'),
        ):
            for _ in range(min(MOST_BROKEN_OF_A_SORT, self.left() // 10)):
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
        """Find what was broken, and nothing else."""
        entries = self.left()
        with Bar(self.console, 'check', None) as bar:
            report = self.failed.check(progress=bar.show)
        outcome = '\n'.join(f'{count} {kind}' for kind, count in report.counts.items())
        found = {problem.job_id: problem.kind.value for problem in report}
        return Step('check()', outcome, entries, bar.seconds, None, found == self.broken)

    def repair(self) -> Step:
        """Mend it, and check again."""
        entries = self.left()
        with Bar(self.console, 'repair', None) as bar:
            result = self.failed.repair(progress=bar.show)
        outcome = '\n'.join(f'{count} {kind} mended' for kind, count in result.mended.items())
        there = self.failed.contains_many(self.broken)
        is_right = there == [kind == 'orphan' for kind in self.broken.values()] and not self.failed.check()
        return Step('repair()', outcome, entries, bar.seconds, None, is_right)

    def left(self) -> int:
        """Return how many entries there are."""
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
        """Show how far the call is, as often as somebody can see it: each entry calls this, or each chunk."""
        if total is not None or count % 1000 == 0 or count == self.progress.tasks[0].total:
            check()
            self.progress.update(self.task, completed=count, total=total)


def _last_line(text: str | None) -> str:
    lines = (text or '').strip().splitlines()
    return lines[-1] if lines else ''


def _done(result: BulkResult, verb: str, loop: Loop) -> str:
    return f"{result.done:,} {verb}\n{loop.done} more by RQ's loop when it was measured"


def lines(steps: Sequence[Step]) -> Iterator[str]:
    """Yield the lines of the table: each call with its time and that of RQ's loop, then what it did."""
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


def show_whole_registry(stage: Stage, number: int) -> bool:
    """Run the show with that many failed jobs; tell whether everything came out as it should."""
    console = Console(width=terminal_width(), highlight=False)
    whole = WholeRegistry(stage, console)
    console.print(f'Writing {number:,} failed jobs of three kinds, copies of real ones ...')
    whole.fill(number)
    console.print('Looking through them, purging, requeueing, breaking and repairing them ...')
    steps = list(whole.steps())
    console.print('', *lines(steps), '', sep='\n', markup=False, soft_wrap=True)
    console.print(
        f"RQ's loop fetches each job and does the same with it. It was run on {rq_loop.SAMPLE} jobs at most, from all "
        'over the registry, and its time multiplied.'
    )
    return all(step.is_right for step in steps)
