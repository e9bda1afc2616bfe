"""What a load leaves behind on one side, job by job, and what must be true of it.

The rules, for RQ as it is and for RQ on our registries:

1. No job waits: none is in a queue, in an intermediate queue, started, scheduled or ready.
2. Every job is where its status says, in that registry and in no other; a job whose key is gone is nowhere. Only a job
   that repeats is in `finished` from its first success on, and stays there if a kill makes a later run fail.
3. No job began more often than its retries and repeats allow, whatever was killed.
4. A job that no kill touched has the status and the number of runs that its family gives it.
5. A job that a kill touched has that status too, or it is `failed`, and its last result says why: it was abandoned (its
   worker died), it was stuck in the intermediate queue (its worker died before the start), or its work-horse died.
   What depends on it waits for it in `deferred`, or was let run.

Touched by a kill are the jobs that the worker held, in the intermediate queue or the started registry, the last one
that had begun in that queue, since RQ tells the dependents of a job after it has stored its end, and all that hang on
these.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from typing import Any

from workers.pictures import differences as parts_that_differ
from workers.pictures import picture

from .crew import Crew
from .enqueuing import Load

# The last states, and the registries of both queues.
STATUSES = ('finished', 'failed', 'canceled', 'deferred')
# What a kill makes of a job, by the words of its last result.
DEATHS = ('AbandonedJobError', 'stuck in intermediate queue', 'Work-horse terminated unexpectedly')


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
    def last_error(self) -> str:
        results = self.keys.get(f'rq:results:{self.job_id}')
        return results['content'][-1].get('exc_string', '') if results else ''


@dataclass(frozen=True)
class Outcome:
    """The end of a load on one side."""

    traces: dict[str, Trace]
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
    return Outcome(traces, load.touched_by(crew.touched))


def broken_rules(load: Load, outcome: Outcome) -> list[str]:
    """Return a line for each job that breaks one of the rules."""
    return [f'{job_id}: {line}' for job_id in load.fates for line in _broken_by(load, outcome, job_id)]


def _broken_by(load: Load, outcome: Outcome, job_id: str) -> list[str]:
    fate, trace = load.fates[job_id], outcome.traces[job_id]
    lines = []
    if _places(trace) not in _right_places(trace):
        lines.append(f'it is {trace.status}, and held by {list(trace.held_by)}')
    if trace.runs > fate.most_runs:
        lines.append(f'it began {trace.runs} times, and may {fate.most_runs} times')
    if job_id not in outcome.touched:
        if (trace.status, trace.runs) != (fate.status, fate.runs):
            lines.append(f'it is {trace.status} after {trace.runs} runs, not {fate.status} after {fate.runs}')
    elif trace.status != fate.status and not _comes_from_a_kill(load, trace):
        lines.append(f'it is {trace.status} ({trace.last_error!r}), which no kill explains')
    return lines


def _places(trace: Trace) -> set[str]:
    return {key.split(':')[1] for key in trace.held_by}


def _right_places(trace: Trace) -> list[set[str]]:
    if trace.status is None:
        return [set()]
    if trace.status not in STATUSES:
        return []
    return [{trace.status}, {'finished', 'failed'}] if trace.status == 'failed' and trace.repeats else [{trace.status}]


def _comes_from_a_kill(load: Load, trace: Trace) -> bool:
    if trace.status == 'failed':
        return any(words in trace.last_error for words in DEATHS)
    # What hangs on a touched job shares its fate: it waits for it, is let run by its failure, or is not canceled.
    return trace.job_id in load.needs and trace.status in ('deferred', 'finished')


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
