"""Which of the server's errors are about one key, and which would answer whatever is asked next."""

from __future__ import annotations

import re

# redis-py has a class for most of these, which differs between its releases, and for others the plain ResponseError.
# The code is in the middle of a script's error before Redis 7, and of what redis-py says of a command in a pipeline.
_CODES = (
    'ASK',
    'BUSY',
    'CLUSTERDOWN',
    'LOADING',
    'MASTERDOWN',
    'MISCONF',
    'MOVED',
    'NOAUTH',
    'NOGOODSLAVE',
    'NOREPLICAS',
    'OOM',
    'READONLY',
    'TRYAGAIN',
    'WRONGPASS',
)
_HAS_CODE = re.compile(rf'(?:^|: -?)(?:{"|".join(_CODES)})\b')
# Their texts come without the code.
_CLASSES = frozenset(
    {
        'AskError',
        'ClusterDownError',
        'MasterDownError',
        'MovedError',
        'OutOfMemoryError',
        'ReadOnlyError',
        'TryAgainError',
    }
)


def is_answer(error: BaseException) -> bool:
    """Tell whether the server answered with this error, to a command that arrived; of whichever package it is."""
    return any(owner.__name__ == 'ResponseError' for owner in type(error).__mro__)


def is_of_whole_server(error: BaseException) -> bool:
    """Tell whether this answer of the server is about all that it is asked, not about one key.

    A replica or a wrong node that was asked to write, a server that is loading, out of memory or cannot save, a user
    who may not run the command. What is no answer, a lost connection say, is for the caller to know.
    """
    if type(error).__name__ == 'NoPermissionError':
        return 'access' not in str(error)
    names = {owner.__name__ for owner in type(error).__mro__}
    return is_answer(error) and (not _CLASSES.isdisjoint(names) or _HAS_CODE.search(str(error)) is not None)
