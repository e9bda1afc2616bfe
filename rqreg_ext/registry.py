"""The registries of `rq.registry`, by the same names: a head in C in front of the installed RQ's class.

Whatever the head does not do is RQ's own, inherited. Every other name of `rq.registry` is RQ's too.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any

from rq import registry as rq_registry


class BaseRegistry(rq_registry.BaseRegistry):
    pass


class StartedJobRegistry(BaseRegistry, rq_registry.StartedJobRegistry):
    pass


class FinishedJobRegistry(BaseRegistry, rq_registry.FinishedJobRegistry):
    pass


class FailedJobRegistry(BaseRegistry, rq_registry.FailedJobRegistry):
    pass


class DeferredJobRegistry(BaseRegistry, rq_registry.DeferredJobRegistry):
    pass


class ScheduledJobRegistry(BaseRegistry, rq_registry.ScheduledJobRegistry):
    pass


class CanceledJobRegistry(BaseRegistry, rq_registry.CanceledJobRegistry):
    pass


if hasattr(rq_registry, 'ReadyJobRegistry'):

    class ReadyJobRegistry(BaseRegistry, rq_registry.ReadyJobRegistry):
        pass


clean_registries = FunctionType(
    rq_registry.clean_registries.__code__,
    {**vars(rq_registry), **{name: value for name, value in list(globals().items()) if name.endswith('Registry')}},
    'clean_registries',
    rq_registry.clean_registries.__defaults__,
)


def __getattr__(name: str) -> Any:
    return getattr(rq_registry, name)
