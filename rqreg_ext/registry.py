"""The registries of `rq.registry` under the same names: methods in C, and the installed RQ's class as fallback.

A call that the C methods cannot serve exactly as RQ would is passed on to RQ's method, which is inherited. All other
names of `rq.registry` are available here too.
"""

from __future__ import annotations

from typing import Any

from rq import registry as rq_registry

from . import _core
from ._bulk.mixin import BulkMixin
from ._bulk.moving import MoveMixin
from ._bulk.started import StartedMixin
from ._bulk.trimming import TrimMixin
from ._export.exporting import ExportMixin

# Imported because it raises ImportError if the installed RQ is too old.
from ._fastpath import releases  # noqa: F401
from ._fastpath.clean_registries import CleanRegistries
from ._fastpath.description import DescriptionMixin
from ._fastpath.registry_type import RegistryType, set_rq_class
from ._integrity import IntegrityMixin
from ._query.count_by import CountByMixin
from ._query.find import FindMixin
from ._query.listing import ListingMixin


# RQ's class comes before the mix-ins: if a later RQ defines a method of the same name, RQ's method is called.
class BaseRegistry(
    _core.BaseRegistry,
    rq_registry.BaseRegistry,
    ListingMixin,
    FindMixin,
    CountByMixin,
    BulkMixin,
    MoveMixin,
    TrimMixin,
    ExportMixin,
    IntegrityMixin,
    DescriptionMixin,
    metaclass=RegistryType,
):
    """The base class of the registries: a sorted set of job ids whose scores are Unix timestamps in seconds.

    Args:
        name: The name of the queue.
        connection: A redis-py client, or a URL such as 'redis://localhost:6379/0', or 'redis+cluster://host:7000'.
        job_class: The class of the jobs.
        queue: A queue, whose name, connection and serializer are used instead of those given.
        serializer: The serializer of the jobs, or its import path.
        death_penalty_class: The class that limits the time of callbacks of failed jobs.

    Round trips:
        None.

    Source:
        rq.registry.BaseRegistry.
    """


class StartedJobRegistry(_core.StartedJobRegistry, rq_registry.StartedJobRegistry, StartedMixin, BaseRegistry):
    """The jobs that are being executed. The score of an entry is the time after which it counts as abandoned.

    Round trips:
        `job_or_id in registry` takes one if the job is being executed, otherwise two.
    """


class FinishedJobRegistry(_core.FinishedJobRegistry, rq_registry.FinishedJobRegistry, BaseRegistry):
    """The jobs that succeeded. The score of an entry is the time when it expires."""


class FailedJobRegistry(_core.FailedJobRegistry, rq_registry.FailedJobRegistry, BaseRegistry):
    """The jobs that failed or were stopped. The score of an entry is the time when it expires."""


class DeferredJobRegistry(_core.DeferredJobRegistry, rq_registry.DeferredJobRegistry, BaseRegistry):
    """The jobs that wait for other jobs. The score of an entry is the time when the job was deferred."""


class ScheduledJobRegistry(_core.ScheduledJobRegistry, rq_registry.ScheduledJobRegistry, BaseRegistry):
    """The jobs that are scheduled for later. The score of an entry is the scheduled time."""


class CanceledJobRegistry(_core.CanceledJobRegistry, rq_registry.CanceledJobRegistry, BaseRegistry):
    """The jobs that were canceled. The score of an entry is the time when the job was canceled."""


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
        """The jobs whose dependencies are met, and that RQ has yet to put on their queue (RQ 3)."""

    COMPOSED.append(ReadyJobRegistry)


for _composed in COMPOSED:
    set_rq_class(_composed)

_clean = CleanRegistries({composed.__name__: composed for composed in COMPOSED})


def clean_registries(queue: Any, exception_handlers: list[Any] | None = None) -> None:
    """Clean up all registries of a queue, like RQ's function of this name.

    If RQ's function was patched or replaced, the replacement is called.

    Args:
        queue: The queue.
        exception_handlers: Functions that are called for each abandoned job.

    Raises:
        redis.exceptions.RedisError: The server or the connection failed.

    Round trips:
        One. If jobs were abandoned or are ready, or if there are rate limits, RQ's own follow.

    Source:
        rq.registry.clean_registries; Redis ZREMRANGEBYSCORE, ZRANGEBYSCORE.
    """
    _clean(queue, exception_handlers)


def __getattr__(name: str) -> Any:
    return getattr(rq_registry, name)


def __dir__() -> list[str]:
    return sorted({*vars(rq_registry), *(composed.__name__ for composed in COMPOSED)})
