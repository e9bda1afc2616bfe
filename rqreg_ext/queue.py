"""A subclass of `rq.Queue` whose registries are those of rqreg_ext."""

from __future__ import annotations

from typing import Any

import rq

from . import _core
from ._fastpath.clients import by_url
from .waiting_jobs import WaitingJobs


class _WaitingMixin:
    @property
    def waiting_jobs(self) -> WaitingJobs:
        """The jobs that wait in this queue, as WaitingJobs. No round trip."""
        queue: Any = self
        return WaitingJobs(queue=queue)


# RQ's class comes before the mix-in: if a later RQ has a property of that name, it is RQ's.
class Queue(_core.Queue, rq.Queue, _WaitingMixin):
    """A subclass of rq.Queue whose `failed_job_registry` and other registries are those of rqreg_ext.

    `waiting_jobs` is a WaitingJobs. All else is inherited from rq.Queue, the other arguments too.

    Args:
        name: The name of the queue.
        connection: A redis-py client, or a URL such as 'redis://localhost:6379/0', or 'redis+cluster://host:7000'.

    Source:
        rq.Queue.
    """

    def __init__(self, name: str = 'default', connection: Any = None, *args: Any, **kwargs: Any) -> None:
        if isinstance(connection, str) and connection:
            connection = by_url.client_of(connection)
        super().__init__(name, connection, *args, **kwargs)
