"""`rq.Queue` whose registries are ours."""

from __future__ import annotations

from typing import Any

import rq

from . import _clients, _core


class Queue(_core.Queue, rq.Queue):
    """`rq.Queue` whose `*_job_registry` properties return the registries of rqreg_ext.

    name, connection and the other arguments are rq.Queue's; `connection` may be a URL string as well.
    """

    def __init__(self, name: str = 'default', connection: Any = None, *args: Any, **kwargs: Any) -> None:
        if isinstance(connection, str) and connection:
            connection = _clients.client_of(connection)
        super().__init__(name, connection, *args, **kwargs)
