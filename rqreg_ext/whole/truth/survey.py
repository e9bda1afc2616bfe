"""A check from beginning to end: suspicions gathered while reading, those confirmed that stand, the report of them."""

from __future__ import annotations

import time
from collections.abc import Iterator

from .problems import CheckReport, Problem
from .reader import Reader, Stopped
from .suspicions import Suspicion, confirm


def survey(reader: Reader, suspicions: Iterator[Suspicion], settle: float, limit: int | None) -> CheckReport:
    """Return the report of the problems among the suspicions, no more than `limit`."""
    started = time.monotonic()
    problems: dict[Problem, None] = {}
    stopped = is_over = False
    while not is_over:
        gathered, is_over, stopped = _gather(reader, suspicions, limit)
        for problem in confirm(reader, gathered, settle):
            problems[problem] = None
            if limit is not None and len(problems) == limit:
                is_over = stopped = True
                break
    return CheckReport(
        problems,
        entries=reader.entries,
        jobs=reader.jobs,
        seconds=time.monotonic() - started,
        stopped=stopped,
        errors=reader.errors,
    )


def _gather(reader: Reader, suspicions: Iterator[Suspicion], limit: int | None) -> tuple[list[Suspicion], bool, bool]:
    """Return some suspicions, whether they were the last ones, and whether the progress function said so."""
    gathered: list[Suspicion] = []
    try:
        for suspicion in suspicions:
            gathered.append(suspicion)
            if len(gathered) == limit:
                return gathered, False, False
        reader.note_end()
    except Stopped:
        return gathered, True, True
    return gathered, True, False
