"""The sets of workers, whose members are the keys of workers: does the worker exist?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .._fastpath.exchange import INTEGER, VALUE, Command
from .._fastpath.server_errors import note_key
from . import repair_steps
from .candidates import Candidate
from .problems import Problem, ProblemKind
from .reader import ChunkReader, text_or_none


def worker_candidates(reader: ChunkReader, keys: Sequence[str]) -> Iterator[Candidate]:
    """Read sets of workers, and yield the candidates. Two round trips."""
    workers: list[tuple[str, str]] = []
    for key, members in zip(keys, reader.replies([(VALUE, 'SMEMBERS', key) for key in keys]), strict=True):
        if isinstance(members, Exception):
            reader.note_error(key, note_key(members, key))
        else:
            workers += [(key, worker) for worker in map(text_or_none, members) if worker is not None]
    exist = reader.replies([(INTEGER, 'EXISTS', worker) for _, worker in workers])
    for (key, worker), exists in zip(workers, exist, strict=True):
        if exists != 1:
            yield MissingWorker(key, worker)


@dataclass(frozen=True)
class MissingWorker(Candidate):
    """A worker in a set that may be gone."""

    key: str
    worker: str

    def commands(self) -> list[Command]:
        """Return the commands that read the evidence."""
        return [(INTEGER, 'SISMEMBER', self.key, self.worker), (INTEGER, 'EXISTS', self.worker)]

    def diagnose(self, evidence: tuple[Any, ...]) -> Problem | None:
        """Return the problem that the evidence shows, or None."""
        is_member, exists = evidence
        if not is_member or exists:
            return None
        detail = f'{self.worker} in {self.key} is gone: the worker ended without removing itself, and is still counted'
        repair_step = repair_steps.drop_missing_worker(self.key, self.worker)
        return Problem(ProblemKind.MISSING_WORKER, None, self.key, detail, 'remove it from the set', True, repair_step)
