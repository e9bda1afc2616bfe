"""The sets of workers: each member the key of a worker that lives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..._exchange import INTEGER, VALUE, Command
from . import mends
from .problems import Kind, Problem
from .reader import Reader, text_or_none
from .suspicions import Suspicion


def suspicions_of_workers(reader: Reader, key: str) -> Iterator[Suspicion]:
    """Read this set of workers, and yield what may be wrong."""
    (members,) = reader.values([(VALUE, 'SMEMBERS', key)])
    workers = [worker for worker in map(text_or_none, members) if worker is not None]
    exist = reader.replies([(INTEGER, 'EXISTS', worker) for worker in workers])
    for worker, exists in zip(workers, exist, strict=True):
        if exists != 1:
            yield GoneWorker(key, worker)


@dataclass(frozen=True)
class GoneWorker(Suspicion):
    """A worker that seems to be gone."""

    key: str
    worker: str

    def commands(self) -> list[Command]:
        """Return the commands whose replies it is judged by."""
        return [(INTEGER, 'SISMEMBER', self.key, self.worker), (INTEGER, 'EXISTS', self.worker)]

    def judge(self, evidence: tuple[Any, ...]) -> Problem | None:
        """Return what is wrong, if anything is."""
        is_member, exists = evidence
        if not is_member or exists:
            return None
        detail = f'{self.worker} in {self.key} is gone: the worker ended without a word, and is still counted'
        mend = mends.drop_missing_worker(self.key, self.worker)
        return Problem(Kind.MISSING_WORKER, None, self.key, detail, 'take it out of the set', True, mend)
