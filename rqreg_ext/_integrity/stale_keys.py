"""Stale keys: sets of the dependents or dependencies of jobs that are gone. A new job of the id would inherit them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._fastpath.exchange import INTEGER, Command
from .._fastpath.rq_keys import JobKeys
from . import repair_steps
from .candidates import Candidate, LookupResults
from .problems import Problem, ProblemKind
from .reader import ChunkReader


def stale_set_candidates(reader: ChunkReader, keys: JobKeys, sets: Mapping[str, str]) -> Iterator[Candidate]:
    """Yield those of the sets, given by the ids of their jobs, whose job seems to be gone."""
    exist = reader.replies([(INTEGER, 'EXISTS', keys.job(job_id)) for job_id in sets])
    for (job_id, key), exists in zip(sets.items(), exist, strict=True):
        if exists != 1:
            yield StaleSet(keys, key, job_id)


@dataclass(frozen=True)
class StaleSet(Candidate):
    """A set whose job seems to be gone."""

    keys: JobKeys
    key: str
    job_id: str

    def commands(self) -> list[Command]:
        """Return the commands that read the evidence."""
        return [(INTEGER, 'EXISTS', self.keys.job(self.job_id)), (INTEGER, 'PTTL', self.key)]

    def evidence(self, replies: Sequence[Any], _: LookupResults) -> tuple[bool, bool, bool]:
        """Return whether the job exists, whether the set exists, and whether the set expires."""
        exists, ttl = replies
        return exists == 1, ttl != -2, ttl >= 0

    def diagnose(self, evidence: tuple[bool, bool, bool]) -> Problem | None:
        """Return the problem that the evidence shows, or None."""
        has_job, exists, expires = evidence
        if has_job or not exists or expires:
            return None
        detail = (
            f'job {self.job_id} is gone, and {self.key} still exists and never expires:'
            ' a new job with that id would inherit it'
        )
        repair_step = repair_steps.drop_stale_set(self.keys, self.key, self.job_id)
        repair = f'delete {self.key}, unless a deferred job is in it'
        return Problem(ProblemKind.STALE_KEY, self.job_id, self.key, detail, repair, repair_step=repair_step)
