"""A check: collects candidates while it reads, confirms them, and reports the problems."""

from __future__ import annotations

import time
from collections.abc import Iterator

from .candidates import Candidate, confirm
from .problems import CheckReport, Problem
from .reader import ChunkReader, Stopped


def survey(reader: ChunkReader, candidates: Iterator[Candidate], settle: float, limit: int | None) -> CheckReport:
    """Return a report of the problems among the candidates, at most `limit` of them."""
    started = time.monotonic()
    problems: dict[Problem, None] = {}
    stopped = is_complete = False
    while not is_complete:
        group, is_complete, stopped = _next_group(reader, candidates, limit)
        for problem in confirm(reader, group, settle):
            problems[problem] = None
            if limit is not None and len(problems) == limit:
                is_complete = stopped = True
                break
    return CheckReport(
        problems,
        entries=reader.entries,
        jobs=reader.jobs,
        seconds=time.monotonic() - started,
        stopped=stopped,
        errors=reader.errors,
    )


def _next_group(
    reader: ChunkReader, candidates: Iterator[Candidate], limit: int | None
) -> tuple[list[Candidate], bool, bool]:
    """Return up to `limit` candidates, whether they are the last ones, and whether `progress` stopped the check."""
    group: list[Candidate] = []
    try:
        for candidate in candidates:
            group.append(candidate)
            if len(group) == limit:
                return group, False, False
        reader.note_end()
    except Stopped:
        return group, True, True
    return group, True, False
