"""Errors of a client's connections: their kinds, their messages, and whether they are retried."""

from __future__ import annotations

from collections.abc import Callable
from errno import EMFILE, ENFILE
from importlib import import_module
from typing import Any

from .packages import PACKAGES, package_of_connections


def is_broken_connection(error: Exception) -> bool:
    """Tell whether this is a client's error of its connection, not the server's answer to one command."""
    return any(
        owner.__name__ in ('ConnectionError', 'TimeoutError') and owner.__module__.partition('.')[0] in PACKAGES
        for owner in type(error).__mro__
    )


def is_job_timeout(error: Exception) -> bool:
    """Tell whether an error is raised by RQ's timer, in whatever happens to run."""
    return any(owner.__name__ == 'BaseTimeoutException' for owner in type(error).__mro__)


def is_demoted(connection: Any, error: Exception) -> bool:
    """Tell whether a read-only answer says that the server of this connection is no longer the Sentinel's master."""
    pool = getattr(connection, 'connection_pool', None)
    return type(error).__name__ == 'ReadOnlyError' and getattr(pool, 'is_master', False) is True


def is_out_of_descriptors(error: BaseException) -> bool:
    """Tell whether connecting failed because this process, or the system, has no descriptor left."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (EMFILE, ENFILE):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def reading_error(connection: Any, arguments: Any) -> str:
    """Return the client's message for an OSError with these arguments while reading, which depends on its parser."""
    if type(connection._parser).__module__.endswith('.hiredis'):
        return f'Error while reading from socket: {arguments}'
    return f'Error while reading from {connection._host_error()} : {arguments}'


def retry_of(connection: Any) -> tuple[Any, Callable[[Exception], None]]:
    """Return the Retry of a connection that failed, and the function that it is to call on each failure.

    redis-py 5 (and valkey-py) tries again only what `retry_on_error` names; redis-py 6 whatever its Retry takes.
    """
    package = import_module(package_of_connections(type(connection)) or PACKAGES[0])
    client_class = getattr(package, 'Valkey', None) or package.Redis
    named = tuple(connection.retry_on_error or ()) if hasattr(client_class, '_disconnect_raise') else (Exception,)

    def on_failure(error: Exception) -> None:
        if not isinstance(error, named):
            raise error

    return connection.retry, on_failure
