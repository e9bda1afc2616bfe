"""WaitingJobs: the jobs that wait in a queue, to be read, changed and exported as those of a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rq.job import Job
from rq.registry import BaseRegistry
from rq.serializers import resolve_serializer

from ._bulk.waiting_changes import WaitingChangesMixin
from ._export.exporting import ExportMixin
from ._fastpath.clients import by_url
from ._fastpath.description import DescriptionMixin
from ._fastpath.rq_keys import queue_key

if TYPE_CHECKING:
    from redis import Redis
    from rq import Queue


class WaitingJobs(WaitingChangesMixin, ExportMixin, DescriptionMixin):
    """The jobs that wait in a queue, in the order in which they are to run. RQ has no such class.

    It has the methods of the registries; reading changes nothing. Other operations on a queue are methods of Queue.

    Args:
        name: The name of the queue.
        connection: A redis-py client, or a URL such as 'redis://localhost:6379/0', or 'redis+cluster://host:7000'.
        job_class: The class of the jobs.
        queue: A queue, whose name, connection, serializer and job class are used instead of those given.
        serializer: The serializer of the jobs, or its import path.

    Raises:
        TypeError: `connection` is missing, or is not a client.

    Round trips:
        None.

    Source:
        rq.Queue.
    """

    # What counts the entries, as ZCARD does those of a registry.
    count_command = 'LLEN'
    # RQ's own: so entries are read as job ids, as those of a registry are (dispatch.py).
    parse_job_id = staticmethod(BaseRegistry.parse_job_id)

    def __init__(
        self,
        name: str = 'default',
        connection: Redis | str | None = None,
        job_class: type[Job] | None = None,
        queue: Queue | None = None,
        serializer: Any = None,
    ) -> None:
        self._queue = queue
        if queue is not None:
            self.name, self.key, self.connection = queue.name, queue.key, queue.connection
            self.job_class, self.serializer = job_class or queue.job_class, queue.serializer
        else:
            self.name, self.key, self.connection = name, queue_key(name), by_url.client_from(connection)
            self.job_class, self.serializer = job_class or Job, resolve_serializer(serializer)
