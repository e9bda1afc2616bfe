"""`rq.executions`, with the `ExecutionRegistry` in C."""

from __future__ import annotations

from typing import Any

from rq import executions as rq_executions

from .registry import BaseRegistry


class ExecutionRegistry(BaseRegistry, rq_executions.ExecutionRegistry):
    pass


def __getattr__(name: str) -> Any:
    return getattr(rq_executions, name)
