"""What a user may not do, or a server cannot: commands that we send and RQ would not are done without then."""

from __future__ import annotations

from typing import Any

_UNKNOWN = ('unknown command', 'unsupported command')


def is_denied(reply: Any) -> bool:
    """Tell whether this is the server's error that it does not do this command, for this user or at all."""
    if not isinstance(reply, Exception):
        return False
    names = {owner.__name__ for owner in type(reply).__mro__}
    return 'NoPermissionError' in names or ('ResponseError' in names and any(words in str(reply) for words in _UNKNOWN))


def is_of_a_key(error: Exception) -> bool:
    """Tell whether the user may do the command, but not on this key: it is another tenant's, say.

    NOPERM is the code of both; Redis and Valkey name the command where it is the command.
    """
    return is_denied(error) and 'command' not in str(error)
