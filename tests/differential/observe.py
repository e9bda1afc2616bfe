"""One call, and everything it did that a caller can notice."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .database import Dump
from .masks import mask_text

LOGGERS = ('rq', 'rqreg_ext')
# Python's own, raised when the garbage collector happens to run.
NOT_OF_THE_CALL = (ResourceWarning,)


@dataclass
class Outcome:
    """What one call gave and left behind. `value` and `error` are the objects themselves."""

    value: Any = None
    error: BaseException | None = None
    warnings: list[tuple[type[Warning], str]] = field(default_factory=list)
    logs: list[tuple[str, str, str]] = field(default_factory=list)
    compared: dict[str, Any] = field(default_factory=dict)
    database: Dump = field(default_factory=dict)


class _Recorder(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[tuple[str, str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f' [{record.exc_info[1]!r}]'
        self.lines.append((record.name, record.levelname, mask_text(text)))


@contextmanager
def recorded_logs() -> Iterator[list[tuple[str, str, str]]]:
    """Record what RQ's loggers (and ours, which must stay silent) say, from DEBUG on."""
    recorder = _Recorder()
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(recorder)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
    try:
        yield recorder.lines
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(recorder)
            logger.setLevel(level)
            logger.propagate = propagate


def observe(call: Callable[[], Any]) -> Outcome:
    """Make the call; an exception is a result like any other."""
    outcome = Outcome()
    with warnings.catch_warnings(record=True) as caught, recorded_logs() as lines:
        warnings.simplefilter('always')
        try:
            outcome.value = call()
        except Exception as error:
            outcome.error = error
    outcome.warnings = [
        (w.category, mask_text(str(w.message))) for w in caught if not issubclass(w.category, NOT_OF_THE_CALL)
    ]
    outcome.logs = lines
    return outcome
