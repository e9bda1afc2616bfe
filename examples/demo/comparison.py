"""The same question to RQ and to rqreg_ext, many times in turn: both answers and both times."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from redis import Redis
from rq.job import Job

from .interruption import check


class Side:
    """One of the two packages, by the names that both have."""

    def __init__(self, package: str, connection: Redis) -> None:
        self.package = package
        self.connection = connection
        self.queue = import_module(package).Queue(connection=connection)

    def registry(self, name: str) -> Any:
        """Return the registry of the default queue, or of the running job for an ExecutionRegistry."""
        if name == 'ExecutionRegistry':
            return import_module(f'{self.package}.executions').ExecutionRegistry('running', self.connection)
        return getattr(import_module(f'{self.package}.registry'), name)(queue=self.queue)


@dataclass(frozen=True)
class Subject:
    """What a question is asked of: a side's registry and queue, and a job."""

    registry: Any
    queue: Any
    job: Job


def nothing_left(subject: Subject) -> None:
    """Tell of a call that changes nothing that there is nothing to compare after it."""


@dataclass(frozen=True)
class Question:
    """A call on a registry, as written in Python and as a function of the subject.

    `left` tells what a call that changes Redis left there.
    """

    registry: str
    call: str
    ask: Callable[[Subject], object]
    left: Callable[[Subject], object] = nothing_left


@dataclass(frozen=True)
class Row:
    """What RQ and rqreg_ext answered to one question, what each left in Redis, and its median seconds."""

    registry: str
    call: str
    answers: tuple[object, object]
    left: tuple[object, object]
    seconds: tuple[float, float]

    @property
    def agrees(self) -> bool:
        """Whether both answers are the same, in value and in type, and so is what was left in Redis."""
        theirs, ours = self.answers
        return type(theirs) is type(ours) and theirs == ours and self.left[0] == self.left[1]


def timed(ask: Callable[[Subject], object], subject: Subject) -> tuple[object, float]:
    """Return the answer and its seconds; an exception is an answer too."""
    start = time.perf_counter()
    try:
        answer = ask(subject)
    except Exception as error:
        answer = f'{type(error).__name__}: {error}'
    return answer, time.perf_counter() - start


def compare(question: Question, pairs: Sequence[tuple[Subject, Subject]]) -> Row:
    """Ask RQ about the first subject of each pair and rqreg_ext about the second; each begins every other time.

    The row holds the first two answers that differ, if any do.
    """
    rows = []
    for number, subjects in enumerate(pairs):
        check()
        answers: list[object] = [None, None]
        seconds = [0.0, 0.0]
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            answers[side], seconds[side] = timed(question.ask, subjects[side])
        left = (question.left(subjects[0]), question.left(subjects[1]))
        rows.append(Row(question.registry, question.call, (answers[0], answers[1]), left, (seconds[0], seconds[1])))
    shown = next((row for row in rows if not row.agrees), rows[0])
    medians = tuple(statistics.median(row.seconds[side] for row in rows) for side in (0, 1))
    return replace(shown, seconds=medians)
