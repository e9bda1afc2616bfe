"""What a call returned or raised, in a form in which RQ's and ours can be compared."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import rq
from rq.job import Job


@dataclass(frozen=True)
class Outcome:
    """A result, or an exception by its class and arguments."""

    call: str
    value: Any = None
    error: type[BaseException] | None = None


def described(value: Any) -> Any:
    """Return a value with its type, and RQ's own objects by what identifies them."""
    if isinstance(value, Job):
        return (type(value), value.id, value.origin, value.get_status(refresh=False))
    if isinstance(value, rq.Queue):
        return ('Queue', value.name)
    if inspect.iscoroutine(value):
        value.close()
        return 'a coroutine'
    if isinstance(value, list | tuple):
        return (type(value), [described(item) for item in value])
    if isinstance(value, str | bytes | int | float | None):
        return (type(value), value)
    return (type(value), str(value))


def outcome_of(name: str, call: Callable[[], Any]) -> Outcome:
    """Make the call, and return its outcome."""
    try:
        return Outcome(name, described(call()))
    except Exception as error:
        return Outcome(name, described(error.args), type(error))
