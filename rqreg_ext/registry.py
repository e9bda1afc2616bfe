"""The registries of `rq.registry`, by the same names: a head in C in front of the installed RQ's class.

Whatever the head does not do is RQ's own, inherited. Every other name of `rq.registry` is RQ's too.
"""

from __future__ import annotations

from typing import Any

from rq import registry as rq_registry

# _installed_rq for its word on an RQ that is too old.
from . import _core, _installed_rq  # noqa: F401
from ._clean_registries import CleanRegistries
from ._registry_type import RegistryType
from .whole import WholeRegistry


class BaseRegistry(_core.BaseRegistry, rq_registry.BaseRegistry, WholeRegistry, metaclass=RegistryType):
    """What the registries of jobs share: a sorted set of job ids, scored by Unix timestamps in seconds.

    Made by `queue=`, or by `name=` (the queue's) and `connection=`: a redis-py client, or a URL string.
    `job_class`, `serializer` and `death_penalty_class` are as for rq.Queue. Making one costs no round trip.
    """


class StartedJobRegistry(_core.StartedJobRegistry, rq_registry.StartedJobRegistry, BaseRegistry):
    """The jobs that are being executed, scored by when their execution is taken for abandoned.

    `job_or_id in registry` costs one round trip for a job whose execution is running, two for any other.
    """


class FinishedJobRegistry(_core.FinishedJobRegistry, rq_registry.FinishedJobRegistry, BaseRegistry):
    """The jobs that succeeded, scored by when they expire."""


class FailedJobRegistry(_core.FailedJobRegistry, rq_registry.FailedJobRegistry, BaseRegistry):
    """The jobs that failed, scored by when they expire."""


class DeferredJobRegistry(_core.DeferredJobRegistry, rq_registry.DeferredJobRegistry, BaseRegistry):
    """The jobs that wait for other jobs, scored by when they were deferred."""


class ScheduledJobRegistry(_core.ScheduledJobRegistry, rq_registry.ScheduledJobRegistry, BaseRegistry):
    """The jobs that wait for their time, scored by it."""


class CanceledJobRegistry(_core.CanceledJobRegistry, rq_registry.CanceledJobRegistry, BaseRegistry):
    """The jobs that were canceled."""


COMPOSED: list[type[BaseRegistry]] = [
    BaseRegistry,
    StartedJobRegistry,
    FinishedJobRegistry,
    FailedJobRegistry,
    DeferredJobRegistry,
    ScheduledJobRegistry,
    CanceledJobRegistry,
]

if hasattr(rq_registry, 'ReadyJobRegistry'):

    class ReadyJobRegistry(_core.ReadyJobRegistry, rq_registry.ReadyJobRegistry, BaseRegistry):
        """The jobs whose dependencies are met, on their way to the queue (RQ 3)."""

    COMPOSED.append(ReadyJobRegistry)


def complete(composed: type[BaseRegistry]) -> None:
    """Note RQ's class in ours."""
    rq_class = next(base for base in composed.__bases__ if base.__module__.partition('.')[0] == 'rq')
    composed._rq_class = rq_class  # type: ignore[attr-defined]


for _composed in COMPOSED:
    complete(_composed)

_clean = CleanRegistries({composed.__name__: composed for composed in COMPOSED})


def clean_registries(queue: Any, exception_handlers: list[Any] | None = None) -> None:
    """Clean all registries of a queue, as RQ's function of this name: in one round trip where nothing needs RQ.

    queue: a Queue. exception_handlers: called for each abandoned job. Where jobs were abandoned or are ready, and
    where there are rate limits, RQ's own round trips follow. Raises redis.exceptions.RedisError.
    What somebody has put in the place of RQ's function is called instead.
    """
    _clean(queue, exception_handlers)


def __getattr__(name: str) -> Any:
    return getattr(rq_registry, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *vars(rq_registry)})
