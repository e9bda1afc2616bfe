"""The registry of `rq.executions`, with methods in C. All other names of `rq.executions` are available here too."""

from __future__ import annotations

from typing import Any

from rq import executions as rq_executions
from rq.executions import ExecutionRegistry as RQExecutionRegistry

from . import _core
from ._fastpath.clients import by_url
from ._fastpath.registry_type import set_rq_class
from .registry import BaseRegistry


# Its remove() takes an Execution, as in RQ; that of the other registries takes a job. mypy refuses that.
class ExecutionRegistry(  # type: ignore[misc]
    _core.ExecutionRegistry, RQExecutionRegistry, BaseRegistry
):
    """The executions of one job. The score of an entry is the time when it expires.

    Args:
        job_id: The id of the job.
        connection: A redis-py client, or a URL such as 'redis://localhost:6379/0', or 'redis+cluster://host:7000'.

    Round trips:
        None.

    Source:
        rq.executions.ExecutionRegistry.
    """

    def __init__(self, job_id: str, connection: Any) -> None:
        if isinstance(connection, str):
            connection = by_url.client_of(connection)
        RQExecutionRegistry.__init__(self, job_id, connection)


set_rq_class(ExecutionRegistry)


def __getattr__(name: str) -> Any:
    return getattr(rq_executions, name)


def __dir__() -> list[str]:
    return sorted(vars(rq_executions))
