"""Waiting until replicas have a chunk of jobs, so that a failover does not bring these back."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._fastpath import cluster
from .._fastpath.clients.support import is_cluster
from .._fastpath.exchange import INTEGER, Command, ask
from .._query.arguments import replicas_of

# How long one chunk is waited for, in milliseconds.
LONGEST_WAIT = 1000


class ReplicaWait:
    """Sends WAIT behind the commands of a chunk, in the same write: it is about the writes of its own connection only.

    wait_replicas: How many replicas are to have each chunk; 0 for no wait, as in a dry run. Raises NotImplementedError
    for a client that may use several connections.
    """

    def __init__(self, connection: Any, wait_replicas: Any, dry_run: bool) -> None:
        count = replicas_of(wait_replicas)
        self._connection = connection
        self._count = 0 if dry_run else count
        self._acknowledged = 0
        if self and not self._uses_one_connection():
            raise NotImplementedError(
                f'wait_replicas={wait_replicas!r} needs an unmodified redis-py client: '
                'WAIT is about the writes of its own connection'
            )

    def __bool__(self) -> bool:
        return self._count > 0

    def check(self) -> None:
        """Raise the server's error to WAIT before anything is changed. One round trip, if replicas are waited for."""
        if self:
            ask(self._connection, [(INTEGER, 'WAIT', 0, 1)])

    def commands(self) -> list[Command]:
        """Return what to send behind the commands of a chunk."""
        self._acknowledged = 0
        return [(self._note, 'WAIT', self._count, self._milliseconds())] if self else []

    @property
    def is_acknowledged(self) -> bool:
        """Whether enough replicas have what was sent before the last of the commands()."""
        return self._acknowledged >= self._count

    def _note(self, acknowledged: Any) -> None:
        self._acknowledged = int(acknowledged)

    def _uses_one_connection(self) -> bool:
        client = self._connection
        return cluster.is_original_client(client) if is_cluster(client) else _core.is_direct(client)

    def _milliseconds(self) -> int:
        """Return how long to wait: shorter than the client waits for a reply, and never 0, which means for ever."""
        client = self._connection
        arguments = client.get_connection_kwargs() if is_cluster(client) else client.connection_pool.connection_kwargs
        timeout = arguments.get('socket_timeout')
        return LONGEST_WAIT if not timeout else max(1, min(LONGEST_WAIT, int(timeout * 500)))
