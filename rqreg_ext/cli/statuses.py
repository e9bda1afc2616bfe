"""The exit statuses of the command, and which errors are the server's."""

from __future__ import annotations

DONE = 0
# Some jobs could not be done, problems were found, or nothing matched and --fail-if-none was given.
INCOMPLETE = 1
USAGE = 2
NOT_CONFIRMED = 3
SERVER = 4
INTERRUPTED = 130

# By name, because the client may be of another package than redis-py.
_SERVER_ERRORS = ('RedisError', 'RedisClusterException', 'ValkeyError', 'ValkeyClusterException')


def is_of_server(error: BaseException) -> bool:
    """Tell whether this is an error of redis-py, or of a package like it: of the server, or of the connection."""
    return any(owner.__name__ in _SERVER_ERRORS for owner in type(error).__mro__)


def describe_server_error(error: BaseException) -> str:
    """Return the error as a message."""
    # Imported here for start-up time; after an error of the server, it is already there.
    from .._fastpath.server_errors import Meaning, describe, meaning_of

    if meaning_of(error) is Meaning.NO_ANSWER:
        return f'no answer from the server: {describe(error)}'
    return f'the server refuses: {describe(error)}'
