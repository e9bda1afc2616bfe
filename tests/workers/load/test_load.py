"""Workers under load, killed in the middle: every job ends where plain RQ leaves it, none lost and none twice."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from depth import IS_DEEP

from workers.sides import Side, Sides

from .crew import Crew
from .enqueuing import Load
from .families import enqueue
from .outcome import Outcome, broken_rules, differences, outcome_of

JOBS, KILLS = (10_000, 80) if IS_DEEP else (400, 6)
SEED = int(os.environ.get('RQREG_TEST_SEED', '1'))
# A job with a `ttl` of one second is to be gone before a worker can run it.
EXPIRED_SECONDS = 1.5


@dataclass
class Played:
    """A load that was worked off on one side."""

    load: Load
    outcome: Outcome
    crew: Crew
    seconds: float

    def figures(self) -> str:
        runs, kills = self.crew.observer.run_count(), Counter(kill.value for kill in self.crew.kills)
        killed = ', '.join(f'{count} of {name}' for name, count in sorted(kills.items()))
        touches = [touch for touches in self.outcome.touches.values() for touch in touches]
        return (
            f'{len(self.outcome.traces)} jobs, {runs} runs in {self.seconds:.1f} s ({runs / self.seconds:.0f}/s), '
            f'{len(self.crew.kills)} kills ({killed}), which touched {len(self.outcome.touched)} jobs, '
            f'at moments of which RQ loses {sum(touch.loses_it for touch in touches)}, '
            f'fails {sum(touch.fails_it_again for touch in touches)} again, '
            f'and runs {sum(touch.runs_it_again for touch in touches)} again'
        )


def play(side: Side, jobs: int, kills: int) -> Played:
    """Enqueue the jobs, work them off, killing now and then, and see what is left."""
    load = enqueue(side.client, jobs, SEED)
    time.sleep(EXPIRED_SECONDS)
    chance = random.Random(SEED)
    with Crew(side) as crew:
        begun = time.monotonic()
        crew.start()
        for number in range(1, kills + 1):
            crew.work_until(jobs * number // (kills + 1), chance)
            crew.kill_one(chance)
        crew.work_until_still()
        crew.settle()
        seconds = time.monotonic() - begun
        return Played(load, outcome_of(load, crew), crew, seconds)


def test_every_job_ends_where_rq_leaves_it(sides: Sides, record_property: Callable[[str, object], None]) -> None:
    with ThreadPoolExecutor() as both:
        plain, accelerated = both.map(lambda side: play(side, JOBS, KILLS), sides)

    assert plain.load == accelerated.load
    for side, played in zip(sides, (plain, accelerated), strict=True):
        runs = played.crew.observer.runs()
        record_property('load', f'{side.name}: {played.figures()}')
        assert {run.accelerated for run in runs} == {side.accelerated}
        assert len({run.run_id for run in runs}) == len(runs)
        assert len(played.crew.kills) == KILLS
        lines = broken_rules(played.load, played.outcome)
        assert not lines, '\n'.join([side.name, *lines])
    lines = differences(plain.load, plain.outcome, accelerated.outcome)
    assert not lines, '\n'.join(lines)
