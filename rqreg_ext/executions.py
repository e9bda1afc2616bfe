"""`rq.executions`, with its registry in C. Every other name is RQ's."""

from __future__ import annotations

from typing import Any

from rq import executions as rq_executions
from rq.executions import ExecutionRegistry as RQExecutionRegistry

from . import _clients, _core
from .registry import BaseRegistry, complete


# Its remove() takes an execution, as RQ's does.
class ExecutionRegistry(  # type: ignore[misc]
    _core.ExecutionRegistry, RQExecutionRegistry, BaseRegistry
):
    """The executions of one job, scored by when they expire.

    `connection` is a redis-py client, or a URL string. Making one costs no round trip.
    """

    def __init__(self, job_id: str, connection: Any) -> None:
        if isinstance(connection, str):
            connection = _clients.client_of(connection)
        RQExecutionRegistry.__init__(self, job_id, connection)


complete(ExecutionRegistry)


def __getattr__(name: str) -> Any:
    return getattr(rq_executions, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *vars(rq_executions)})
