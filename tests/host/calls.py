"""The calls that the tests interrupt or keep waiting, on the registries `medium` of the stoppable server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rqreg_ext.registry import BaseRegistry, FailedJobRegistry, StartedJobRegistry

from .filling import MEDIUM, NEVER, job_ids

MEDIUM_IDS = job_ids(MEDIUM)
MEDIUM_PAIRS = [(job_id, 'execution') for job_id in MEDIUM_IDS]

LONG_CALLS: dict[str, tuple[type[BaseRegistry], Callable[[Any], Any], Any]] = {
    'get_job_ids': (FailedJobRegistry, lambda registry: registry.get_job_ids(), MEDIUM_IDS),
    'get_job_ids desc': (FailedJobRegistry, lambda registry: registry.get_job_ids(desc=True), MEDIUM_IDS[::-1]),
    'get_expired_job_ids': (FailedJobRegistry, lambda registry: registry.get_expired_job_ids(NEVER * 2), MEDIUM_IDS),
    'started get_job_ids': (StartedJobRegistry, lambda registry: registry.get_job_ids(), MEDIUM_IDS),
    'started pairs': (StartedJobRegistry, lambda registry: registry.get_job_and_execution_ids(), MEDIUM_PAIRS),
    'in started': (StartedJobRegistry, lambda registry: MEDIUM_IDS[-1] in registry, True),
    'not in started': (StartedJobRegistry, lambda registry: 'nobody' in registry, False),
}
"""Calls with a long reply, or a long scan of it: the registry's class, the call, and its right answer."""

SHORT_CALLS: dict[str, Callable[[Any], Any]] = {
    'count': lambda registry: registry.count,
    'in': lambda registry: 'nobody' in registry,
    'get_job_ids': lambda registry: registry.get_job_ids(),
    'remove': lambda registry: registry.remove('nobody'),
    'get_expired_job_ids': lambda registry: registry.get_expired_job_ids(),
    'cleanup': lambda registry: registry.cleanup(),
}
"""Calls on a FailedJobRegistry, all of which can be made again and again."""
