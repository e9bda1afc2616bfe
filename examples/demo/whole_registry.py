"""What RQ cannot do: a registry of a hundred thousand failed jobs, looked through, purged, requeued, checked and repaired.

Beside each time stands what RQ's own loop would take: it is run on some of the jobs, and multiplied.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import uuid4

from redis import Redis
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rq.job import Job
from rq.registry import FailedJobRegistry as RQFailedJobRegistry

from rqreg_ext import FailedJobRegistry

from .interruption import check, wait_until
from .many_failed_jobs import FailedJobs
from .stage import Stage
from .table import duration
from .world import ADDRESS, COUNT_WORDS

SAMPLE = 200
# What each kind of job fails with, and how it is made to.
KINDS = {
    'HTTP Error 404': (f'{ADDRESS}/missing',),
    'unknown url type': ('nowhere',),
    'missing 1 required positional argument': (),
}
MISSING_PAGE, NO_ADDRESS, NO_ARGUMENT = KINDS
BROKEN_OF_EACH_SORT = 25


@dataclass(frozen=True)
class Step:
    """One call on the whole registry: what it did, and how long it took beside RQ's loop."""

    call: str
    outcome: str
    jobs: int
    seconds: float
    # Of RQ's loop, a job.
    rq_seconds: float
    is_right: bool


class WholeRegistry:
    """The steps of the show, on the failed jobs of one queue."""

    def __init__(self, stage: Stage, console: Console) -> None:
        self.stage = stage
        self.console = console
        self.connection: Redis = stage.connection
        self.failed = FailedJobRegistry(connection=self.connection)
        self.rq_failed = RQFailedJobRegistry(connection=self.connection)
        self.of_kind: dict[str, int] = {}

    def fill(self, number: int) -> None:
        """Let a job of each kind fail in the worker, and write copies of them."""
        before = self.failed.get_job_count(cleanup=False)
        models = {kind: f'{uuid4()}' for kind in KINDS}
        for kind, arguments in KINDS.items():
            self.stage.queue.enqueue(COUNT_WORDS, args=arguments, job_id=models[kind])
        wait_until(lambda: self.failed.get_job_count(cleanup=False) == before + len(KINDS), 'three jobs to fail')
        # The jobs that are requeued later shall be seen on their queue.
        self.stage.settle()
        for kind, model in models.items():
            copies = number // len(KINDS)
            FailedJobs(self.connection, model).add(copies)
            self.of_kind[kind] = copies + 1

    def steps(self) -> Iterator[Step]:
        """Make the calls, each with its progress bar."""
        yield self.find()
        yield self.purge()
        yield self.requeue()
        broken = self.break_some()
        yield self.check(broken)
        yield self.repair(broken)

    def find(self) -> Step:
        """Count the failures by their last line."""

        def by_rq(job_id: str) -> object:
            return _last_line(str(Job.fetch(job_id, connection=self.connection).exc_info))

        with self.bar('find', sum(self.of_kind.values())) as advance:
            start = time.perf_counter()
            kinds = Counter()
            for number, (_, fields) in enumerate(self.failed.find(fields=['exc_info']), 1):
                kinds[_last_line(fields['exc_info'])] += 1
                if number % 1000 == 0:
                    advance(number)
            seconds = time.perf_counter() - start
        found = [sum(count for line, count in kinds.items() if kind in line) for kind in KINDS]
        outcome = ', '.join(f'{count:,} {kind}' for kind, count in zip(KINDS, found, strict=True))
        return self.step("find(fields=['exc_info'])", outcome, seconds, by_rq, found == [*self.of_kind.values()])

    def purge(self) -> Step:
        """Delete the jobs that have no address."""
        expected = self.of_kind.pop(NO_ADDRESS)
        sample = self.sample(NO_ADDRESS)
        rq_seconds = _seconds_a_job(lambda job_id: self.rq_failed.remove(job_id, delete_job=True), sample)
        with self.bar('purge', expected) as advance:
            result = self.failed.purge(exc_info=NO_ADDRESS, progress=advance)
        is_right = result.done == expected - len(sample) and self.left() == sum(self.of_kind.values())
        return Step(
            f"purge(exc_info='{NO_ADDRESS}')", f'{result.done:,} deleted', result.done, result.seconds, rq_seconds, is_right
        )

    def requeue(self) -> Step:
        """Put the jobs whose page was missing back on their queue."""
        expected = self.of_kind.pop(MISSING_PAGE)
        sample = self.sample(MISSING_PAGE)
        rq_seconds = _seconds_a_job(self.rq_failed.requeue, sample)
        with self.bar('requeue', expected) as advance:
            result = self.failed.requeue_all(exc_info=MISSING_PAGE, progress=advance)
        is_right = result.done == expected - len(sample) and self.left() == sum(self.of_kind.values())
        return Step(
            f"requeue_all(exc_info='{MISSING_PAGE}')",
            f'{result.done:,} requeued',
            result.done,
            result.seconds,
            rq_seconds,
            is_right,
        )

    def break_some(self) -> list[list[str]]:
        """Break what killed workers and expired keys break: jobs without their key, and jobs in no registry."""
        ids = [*itertools.islice(self.failed.iter_job_ids(), 2 * BROKEN_OF_EACH_SORT)]
        gone, lost = ids[:BROKEN_OF_EACH_SORT], ids[BROKEN_OF_EACH_SORT:]
        self.connection.delete(*(Job.key_for(job_id) for job_id in gone))
        self.connection.zrem(self.failed.key, *lost)
        return [gone, lost]

    def check(self, broken: list[list[str]]) -> Step:
        """Find them."""

        def by_rq(job_id: str) -> object:
            job = Job.fetch(job_id, connection=self.connection)
            return job.get_status() == 'failed' and job_id in self.rq_failed

        with self.bar('check', None):
            start = time.perf_counter()
            problems = list(self.failed.check())
            seconds = time.perf_counter() - start
        outcome = ', '.join(f'{count} {kind}' for kind, count in Counter(p.kind for p in problems).items())
        found = {problem.job_id for problem in problems}
        return self.step('check()', outcome, seconds, by_rq, found == {*itertools.chain(*broken)})

    def repair(self, broken: list[list[str]]) -> Step:
        """Mend them."""
        with self.bar('repair', None):
            start = time.perf_counter()
            result = self.failed.repair()
            seconds = time.perf_counter() - start
        gone, lost = broken
        there = self.failed.contains_many([*gone, *lost])
        is_right = there == [False] * len(gone) + [True] * len(lost) and not list(self.failed.check())
        return Step('repair()', str(result).splitlines()[0], self.left(), seconds, 0.0, is_right)

    def step(
        self, call: str, outcome: str, seconds: float, by_rq: Callable[[str], object], is_right: bool
    ) -> Step:
        """Return the step of a call that goes through all entries, with RQ's loop measured on some of them."""
        ids = itertools.islice(self.failed.iter_job_ids(desc=True), SAMPLE)
        return Step(call, outcome, self.left(), seconds, _seconds_a_job(by_rq, [*ids]), is_right)

    def sample(self, kind: str) -> list[str]:
        """Return some jobs of a kind."""
        return [*self.failed.find(exc_info=kind, limit=min(SAMPLE, max(1, self.left() // 10)))]

    def left(self) -> int:
        """Return how many entries there are."""
        return self.failed.get_job_count(cleanup=False)

    def bar(self, name: str, total: int | None) -> Bar:
        """Return a progress bar, to be used as a context manager."""
        return Bar(self.console, name, total)


class Bar:
    """A progress bar; Ctrl-C ends what it is shown for."""

    def __init__(self, console: Console, name: str, total: int | None) -> None:
        columns = (TextColumn('  {task.description:8}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.progress = Progress(*columns, console=console, transient=not console.is_terminal)
        self.task = self.progress.add_task(name, total=total)

    def __enter__(self) -> Callable[..., None]:
        self.progress.start()
        return self.advance

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def advance(self, count: int, total: int | None = None) -> None:
        """Show how far it is."""
        check()
        self.progress.update(self.task, completed=count, **({} if total is None else {'total': total}))


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ''


def _seconds_a_job(by_rq: Callable[[str], object], ids: list[str]) -> float:
    """Return the seconds that RQ takes for one job, on average over some."""
    start = time.perf_counter()
    for job_id in ids:
        check()
        by_rq(job_id)
    return (time.perf_counter() - start) / len(ids)


def table_of(steps: list[Step]) -> Table:
    """Return the table: what each call did, and its time beside that of RQ's loop."""
    table = Table('call', 'what it did', 'rqreg_ext', "RQ's loop", 'ratio')
    for column in (2, 3, 4):
        table.columns[column].justify = 'right'
    for step in steps:
        loop = step.rq_seconds * step.jobs
        cells = [step.call, step.outcome, duration(step.seconds)]
        cells += [f'{loop:.0f} s', f'{loop / step.seconds:.0f} x'] if loop else ['RQ has none', '']
        table.add_row(*cells if step.is_right else [*cells[:1], f'WRONG: {step.outcome}', *cells[2:]])
    return table


def show_whole_registry(stage: Stage, number: int) -> bool:
    """Run the show with that many failed jobs; tell whether everything came out as it should."""
    # Wide enough for the table, also into a pipe.
    console = Console(width=140, soft_wrap=True)
    whole = WholeRegistry(stage, console)
    console.print(f'Writing {number:,} failed jobs of three kinds, copies of three that failed in the worker ...')
    whole.fill(number)
    steps = []
    for step in whole.steps():
        steps.append(step)
        console.print(f'  {step.call}: {step.outcome}, in {duration(step.seconds)}')
    console.print(table_of(steps))
    console.print(f"RQ's loop was run on {SAMPLE} jobs or fewer of each call, and multiplied.")
    return all(step.is_right for step in steps)
