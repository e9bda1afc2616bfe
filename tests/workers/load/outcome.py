"""What a load leaves behind on one side, job by job, and what must be true of it.

The rules, for RQ as it is and for RQ on our registries:

1. No job waits: none is in a queue, in an intermediate queue, started, scheduled or ready.
2. Every job is where its status says, in that registry and in no other; a job whose key is gone is nowhere.
3. No job began more often than its retries and repeats allow, whatever was killed.
4. A job that no kill touched has the status and the number of runs that its family gives it.
5. A job that a kill touched has that status too, or it is `failed`, and its last result says why: it was abandoned (its
   worker died), it was stuck in the intermediate queue (its worker died before the start), or its work-horse died. Or
   it failed as it does in its first runs, and kills have used the retries that it needed. What depends on it waits for
   it in `deferred`, or was let run.

Touched by a kill are the jobs that the worker held, in the intermediate queue or the started registry; the last one
that it had begun, unless it had started another; the job that the server gave to the worker when it was dead; and all
that depends on these.

At some moments a kill makes RQ leave these rules, and then no further than touches.py says of that moment:

6. A job that is lost between its status and the registry is `scheduled` and nowhere.
7. A job that is failed again, whatever became of it, may be in `finished` and in `failed`, as its last end says. So may
   one that repeats: it is in `finished` from its first success on, also if a kill makes a later run fail.
8. A job that runs again does so once more for each such kill, and may be in `finished` and in `failed` too.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from typing import Any

from workers.pictures import differences as parts_that_differ
from workers.pictures import picture

from .crew import Crew
from .enqueuing import Load
from .jobs import AsItShould
from .touches import Touch

# The last states, and the registries of both queues.
STATUSES = ('finished', 'failed', 'canceled', 'deferred')
# What a kill makes of a job, by the words of its last result.
DEATHS = ('AbandonedJobError', 'stuck in intermediate queue', 'Work-horse terminated unexpectedly')
BOTH_ENDS = {'finished', 'failed'}


@dataclass(frozen=True)
class Trace:
    """All that Redis has of one job: its own keys, the collections that hold it, and how many times it began."""

    job_id: str
    keys: dict[str, Any]
    held_by: dict[str, Any]
    runs: int

    @property
    def fields(self) -> dict[str, str]:
        job = self.keys.get(f'rq:job:{self.job_id}')
        return job['content'] if job else {}

    @property
    def status(self) -> str | None:
        return self.fields.get('status')

    @property
    def repeats(self) -> bool:
        return 'repeats_left' in self.fields

    @property
    def retries_left(self) -> int | None:
        left = self.fields.get('retries_left')
        return None if left is None else int(left)

    @property
    def last_error(self) -> str:
        results = self.keys.get(f'rq:results:{self.job_id}')
        return results['content'][-1].get('exc_string', '') if results else ''


@dataclass(frozen=True)
class Outcome:
    """The end of a load on one side: each job, the kills that met it, and all that they touched through others."""

    traces: dict[str, Trace]
    touches: dict[str, list[Touch]]
    touched: set[str]


def outcome_of(load: Load, crew: Crew) -> Outcome:
    """Return what there is of each job of the load; nothing may be left of any other."""
    keys: dict[str, dict[str, Any]] = defaultdict(dict)
    held_by: dict[str, dict[str, Any]] = defaultdict(dict)
    for key, value in picture(crew.side.client).items():
        owner = next((part for part in key.split(':') if part in load.fates), None)
        if owner:
            keys[owner][key] = value
        elif key.startswith('rq:') and value['kind'] in ('zset', 'list'):
            for member in value['content']:
                held_by[member][key] = value['content'][member] if value['kind'] == 'zset' else 'in line'
    counts = crew.observer.counts()
    assert held_by.keys() | counts.keys() <= load.fates.keys()
    traces = {job_id: Trace(job_id, keys[job_id], held_by[job_id], counts[job_id]) for job_id in load.fates}
    return Outcome(traces, dict(crew.touches), load.touched_by(crew.touches.keys()))


def broken_rules(load: Load, outcome: Outcome) -> list[str]:
    """Return a line for each job that breaks one of the rules."""
    lines = []
    for job_id in load.fates:
        touches = outcome.touches.get(job_id, [])
        lines += [f'{job_id}: {line}, met by {touches}' for line in _broken_by(load, outcome, job_id, touches)]
    return lines


def _broken_by(load: Load, outcome: Outcome, job_id: str, touches: list[Touch]) -> list[str]:
    fate, trace = load.fates[job_id], outcome.traces[job_id]
    lines = []
    if _places(trace) not in _right_places(trace, touches):
        lines.append(f'it is {trace.status}, and held by {list(trace.held_by)}')
    most_runs = fate.most_runs + sum(touch.runs_it_again for touch in touches)
    if trace.runs > most_runs:
        lines.append(f'it began {trace.runs} times, and may {most_runs} times')
    if job_id not in outcome.touched:
        if (trace.status, trace.runs) != (fate.status, fate.runs):
            lines.append(f'it is {trace.status} after {trace.runs} runs, not {fate.status} after {fate.runs}')
    elif trace.status != fate.status and not _comes_from_a_kill(load, trace, touches):
        lines.append(f'it is {trace.status} ({trace.last_error!r}), which no kill explains')
    return lines


def _places(trace: Trace) -> set[str]:
    return {key.split(':')[1] for key in trace.held_by}


def _right_places(trace: Trace, touches: list[Touch]) -> list[set[str]]:
    if trace.status is None or (trace.status == 'scheduled' and any(touch.loses_it for touch in touches)):
        return [set()]
    if trace.status not in STATUSES:
        return []
    ends_twice = any(touch.fails_it_again or touch.runs_it_again for touch in touches)
    may_be_in_both = ends_twice or (trace.status == 'failed' and trace.repeats and touches)
    both = [BOTH_ENDS] if may_be_in_both and trace.status in BOTH_ENDS else []
    return [{trace.status}, *both]


def _comes_from_a_kill(load: Load, trace: Trace, touches: list[Touch]) -> bool:
    if trace.status == 'failed':
        died = any(words in trace.last_error for words in DEATHS)
        return bool(touches) and (died or _has_lost_its_retries(load, trace, touches))
    if trace.status == 'scheduled':
        return any(touch.loses_it for touch in touches)
    # What depends on a touched job shares its fate: it waits for it, is let run by its failure, or is not canceled.
    return trace.job_id in load.needs and trace.status in ('deferred', 'finished')


def _has_lost_its_retries(load: Load, trace: Trace, touches: list[Touch]) -> bool:
    """Whether the job fails as it should in this run, and kills have used the retries for those that are missing."""
    runs = trace.runs + sum(touch.retries_used for touch in touches)
    has_none_left = trace.retries_left == 0 and runs >= load.fates[trace.job_id].most_runs
    return has_none_left and AsItShould.__name__ in trace.last_error


def differences(load: Load, plain: Outcome, accelerated: Outcome) -> list[str]:
    """Return what differs between the sides in the jobs that no kill touched on either."""
    touched = plain.touched | accelerated.touched
    lines = []
    for job_id in sorted(load.fates.keys() - touched):
        rq, ours = (_without_chance(load, touched, job_id, side.traces[job_id]) for side in (plain, accelerated))
        lines += parts_that_differ(asdict(rq), asdict(ours), job_id)
    return lines


def _without_chance(load: Load, touched: set[str], job_id: str, trace: Trace) -> Trace:
    """Leave out the list of a job's dependents where one of these is touched, or depends on another queue's job too.

    The job that ends last takes such a dependent off its list, and the other one keeps it.
    """
    dependents = load.dependents[job_id]
    if touched.isdisjoint(dependents) and all(len(load.needs[dependent]) == 1 for dependent in dependents):
        return trace
    return replace(trace, keys={key: value for key, value in trace.keys.items() if not key.endswith(':dependents')})
