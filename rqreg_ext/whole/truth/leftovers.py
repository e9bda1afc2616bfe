"""The sets in which RQ keeps who waits for whom, of jobs that are gone: a new job of that id would inherit them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..._exchange import INTEGER, Command
from . import mends
from .places import JobKeys
from .problems import Kind, Problem
from .reader import Reader
from .suspicions import Found, Suspicion


def suspicions_of_sets(reader: Reader, keys: JobKeys, sets: Mapping[str, str]) -> Iterator[Suspicion]:
    """Look at these sets, by the ids of their jobs, and yield what may be wrong."""
    exist = reader.replies([(INTEGER, 'EXISTS', keys.job(job_id)) for job_id in sets])
    for (job_id, key), exists in zip(sets.items(), exist, strict=True):
        if exists != 1:
            yield LeftoverSet(keys, key, job_id)


@dataclass(frozen=True)
class LeftoverSet(Suspicion):
    """A set whose job seems to be gone."""

    keys: JobKeys
    key: str
    job_id: str

    def commands(self) -> list[Command]:
        """Return the commands whose replies it is judged by."""
        return [(INTEGER, 'EXISTS', self.keys.job(self.job_id)), (INTEGER, 'PTTL', self.key)]

    def evidence(self, replies: Sequence[Any], _: Found) -> tuple[bool, bool, bool]:
        """Return whether there is the job, whether there is the set, and whether that expires."""
        exists, ttl = replies
        return exists == 1, ttl != -2, ttl >= 0

    def judge(self, evidence: tuple[bool, bool, bool]) -> Problem | None:
        """Return what is wrong, if anything is."""
        has_job, exists, expires = evidence
        if has_job or not exists or expires:
            return None
        detail = (
            f'job {self.job_id} is gone, and {self.key} is still there and never expires:'
            ' a new job of that id would take it for its own'
        )
        mend = mends.drop_leftover_set(self.keys, self.key, self.job_id)
        repair = f'delete {self.key}, unless a deferred job is in it'
        return Problem(Kind.LEFTOVER, self.job_id, self.key, detail, repair, mend=mend)
