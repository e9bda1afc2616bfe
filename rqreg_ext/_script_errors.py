"""What an error reply to EVAL or EVALSHA means: the one place that tells a refusal from everything else.

A server may refuse a script in any words: for a user without the right, or because it is not quite Redis. So what is
recognised is not a refusal but everything else, by the code that Redis begins an error with. The scripts do what may
fail before they change anything: an error reply means that nothing was done.

    error                                   what the call does
    MOVED, ASK, TRYAGAIN, CLUSTERDOWN,      raises it. RQ's own path is several commands, and would get half way where
    "... non local key ...",                a slot is moving
    "... while the cluster is down ..."
    READONLY, LOADING, BUSY, UNKILLABLE,    raises it. It is the state of the whole server, which RQ's commands meet
    OOM, MISCONF, NOREPLICAS, NOAUTH,       too, perhaps half way
    no reply at all
    NOPERM, CROSSSLOT, WRONGTYPE, ERR ...   goes on by RQ's path. What is wrong with the registry's own key, RQ's first
    MASTERDOWN, and any other               command says; what is wrong with a job, RQ says of that job
"""

from __future__ import annotations

import re
import sys

# By the name of the class that redis-py makes of the code; None for a code of which it makes a ResponseError.
_RAISED = {
    'MOVED': 'MovedError',
    'ASK': 'AskError',
    'TRYAGAIN': 'TryAgainError',
    'CLUSTERDOWN': 'ClusterDownError',
    'REDIRECT': None,
    'READONLY': 'ReadOnlyError',
    'OOM': 'OutOfMemoryError',
    'BUSY': None,
    'UNKILLABLE': None,
    'MISCONF': None,
    'NOREPLICAS': None,
}
_RAISED_CLASSES = {name for name in _RAISED.values() if name is not None}
# What a script is told of a redirect, or of a cluster that is down: there is no code for it.
_RAISED_WORDS = ('non local key', 'the cluster is down')

# What a server puts around the error of a command in a script: Redis before 7 in front, later ones and Valkey behind.
_BEFORE = re.compile(r'^Error running script \(call to f_[0-9a-f]+\): (?:@user_script: ?\d+: ?)*-?')
_BEHIND = re.compile(r' script: (?:[0-9a-f]{40}, )?on @\S+\.$')
_CODE = re.compile(r'([A-Z]+) ')


def error_to_raise(error: Exception) -> Exception | None:
    """Return what a call is to raise for the error of its script; None where it is a refusal, and RQ's path goes on.

    error: what redis-py, or a package like it, made of the reply, or raised instead of one.
    What the command in the script was answered is returned as RQ's own command would raise it.
    """
    # A lost connection, a timeout, an interrupt; LOADING and NOAUTH are ConnectionErrors too.
    if all(owner.__name__ != 'ResponseError' for owner in type(error).__mro__):
        return error
    words = words_of(error)
    # Not by its bases: MASTERDOWN is a ClusterDownError to redis-py.
    if type(error).__name__ in _RAISED_CLASSES:
        return error if words == str(error) else type(error)(words)
    found = _CODE.match(words)
    if found is not None and found[1] in _RAISED:
        return error if words == str(error) else _as_redis_py(error, found[1], words)
    return error if any(known in words for known in _RAISED_WORDS) else None


def words_of(error: Exception) -> str:
    """Return what the command was answered that failed in the script, without what the server puts around it."""
    return _BEHIND.sub('', _BEFORE.sub('', str(error)))


def _as_redis_py(error: Exception, code: str, words: str) -> Exception:
    """Return the exception that the package of another one makes of these words."""
    name = _RAISED[code]
    module = next(owner.__module__ for owner in type(error).__mro__ if owner.__name__ == 'ResponseError')
    found = getattr(sys.modules[module], name, None) if name is not None else None
    made: Exception = type(error)(words) if found is None else found(words[len(code) + 1 :])
    return made
