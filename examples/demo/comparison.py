"""Asks RQ and rqreg_ext the same question, many times in turn, and compares answers and times."""

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
    """One of the two packages, rq or rqreg_ext, which have the same names."""

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
    """What a question is about: a side's registry and queue, and a job."""

    registry: Any
    queue: Any
    job: Job


def nothing_left(subject: Subject) -> None:
    """For a call that changes nothing: there is nothing to compare in Redis."""


@dataclass(frozen=True)
class Question:
    """A call on a registry.

    Attributes:
        registry: The name of the registry.
        call: The call as text.
        ask: Makes the call.
        left: Returns what the call left in Redis.
    """

    registry: str
    call: str
    ask: Callable[[Subject], object]
    left: Callable[[Subject], object] = nothing_left


@dataclass(frozen=True)
class Row:
    """The answers of RQ and rqreg_ext to one question, what each left in Redis, and the median times in seconds."""

    registry: str
    call: str
    answers: tuple[object, object]
    left: tuple[object, object]
    seconds: tuple[float, float]

    @property
    def agrees(self) -> bool:
        """Whether both answers have the same value and type, and both left the same in Redis."""
        theirs, ours = self.answers
        return type(theirs) is type(ours) and theirs == ours and self.left[0] == self.left[1]


def timed(ask: Callable[[Subject], object], subject: Subject) -> tuple[object, float]:
    """Return the answer, which can be an exception, and the time in seconds."""
    start = time.perf_counter()
    try:
        answer = ask(subject)
    except Exception as error:
        answer = f'{type(error).__name__}: {error}'
    return answer, time.perf_counter() - start


def compare(question: Question, pairs: Sequence[tuple[Subject, Subject]]) -> Row:
    """Ask RQ about the first subject of each pair, and rqreg_ext about the second. The two take turns to be first.

    The row has the first answers that differ, if there are any.
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
