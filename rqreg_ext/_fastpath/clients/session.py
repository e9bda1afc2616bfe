"""Whether the server treats a client's idle connection as it treats the core's: called by src/session.c."""

from __future__ import annotations

from inspect import Parameter, signature
from os import getpid
from typing import Any

from .errors import is_broken_connection

# The fields of CLIENT INFO on which the effect of a command depends.
_SESSION_FIELDS = (b'db', b'flags', b'resp', b'user')


def is_same_session(pool: Any, ours: Any) -> bool:
    """Return whether the server treats the pool's idle connection as ours: by database, user and modes.

    The program may have sent SELECT or AUTH over it. The answer is kept with the connection, and asked for once. One
    round trip.

    Args:
        ours: The reply to CLIENT INFO on our connection, or the server's error. The same error on both counts as the
            same: the server is too old, or the user has no right to ask.
    """
    if pool.pid != getpid():
        # The parent's connections, which redis-py drops when it next uses the pool.
        return True
    try:
        connection, theirs = _ask_idle(pool)
    except Exception as error:
        if not is_broken_connection(error):
            raise
        # It is closed, and connects with the pool's arguments when it is used again.
        return True
    is_same: bool = _session_of(theirs) == _session_of(ours)
    connection._rqreg_ext_is_same = is_same
    return is_same


def get_connection(pool: Any, name: str) -> Any:
    """Return a connection of the pool for the command of this name."""
    # redis-py 5 requires the name; newer releases warn about it.
    wants_name = next(iter(signature(pool.get_connection).parameters.values())).default is Parameter.empty
    return pool.get_connection(name) if wants_name else pool.get_connection()


def _ask_idle(pool: Any) -> tuple[Any, Any]:
    """Return the connection that the pool uses next, and its reply to CLIENT INFO, or the server's error."""
    connection = get_connection(pool, 'CLIENT')
    try:
        connection.send_command('CLIENT', 'INFO')
        try:
            return connection, connection.read_response(disable_decoding=True)
        except Exception as error:
            if is_broken_connection(error) or not _is_from_server(error):
                raise
            return connection, error
    except BaseException:
        connection.disconnect()
        raise
    finally:
        pool.release(connection)


def _is_from_server(error: Exception) -> bool:
    return any(owner.__name__ == 'ResponseError' for owner in type(error).__mro__)


def _session_of(description: Any) -> Any:
    if isinstance(description, Exception):
        return str(description)
    text = description if isinstance(description, bytes) else str(description).encode()
    fields = (field.partition(b'=')[::2] for field in text.split())
    return sorted(field for field in fields if field[0] in _SESSION_FIELDS)
