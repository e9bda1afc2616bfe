"""The meaning of a server's error: the one table of error codes, and the questions that calls ask about an error.

    meaning          examples                     one registry   all queues            bulk, of one job   of a script
    NO_ANSWER        a lost connection, timeout   raised         raised                raised             raised
    REDIRECT         MOVED, TRYAGAIN              raised         raised                raised             raised
    SERVER_STATE     READONLY, LOADING, OOM       raised         raised                raised             raised
    STALE_REPLICA    MASTERDOWN                   raised         raised                raised             RQ's methods
    COMMAND_DENIED   NOPERM, unknown command      raised         raised                raised             RQ's methods
    KEY_DENIED       NOPERM                       raised         in errors, by queue   raised             RQ's methods
    WRONG_TYPE       WRONGTYPE                    raised         in errors, by queue   among the failed   RQ's methods
    OTHER            ERR, CROSSSLOT               raised         in errors, by queue   among the failed   RQ's methods

The last column is about answers to EVAL and EVALSHA. `all queues` are the calls of rqreg_ext
whose result has `errors`. check() of one registry leaves out what it may not read, too. In bulk calls, errors about the
registry's own key are raised. Commands that RQ's loop does not send (ZCOUNT, TIME, WATCH, ...) are done without if they
are denied.

A script's error is raised if it means NO_ANSWER, REDIRECT or SERVER_STATE, because RQ's several commands might stop
half way. Any other error counts as a refusal of the script, in whatever words: a server may refuse it for a user
without the right, or because it is not quite Redis. Then RQ's own methods do the call, and their commands say what is
wrong with the registry's key or with a job. Scripts do what may fail before they change anything, so that an error
means that nothing was done. RQ has no method for repair(): there the problem is among the failed, and the error is
raised if no script was run at all.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any, NamedTuple


class Meaning(Enum):
    """What the server's error is about."""

    NO_ANSWER = 'the command may not have arrived, or its reply is lost; or this is not an error of a server at all'
    REDIRECT = 'the key is on another server of the cluster, or on none at the moment'
    SERVER_STATE = 'the server would answer that to others of the commands too'
    STALE_REPLICA = 'a replica without its primary: to a command that writes it may answer READONLY instead'
    COMMAND_DENIED = 'the server does not run this command for this user, or at all, on whatever key'
    KEY_DENIED = 'the user may run the command, but not on this key'
    WRONG_TYPE = 'the key holds a value of another type'
    OTHER = 'anything else, about this one command'


class _Code(NamedTuple):
    code: str
    # The class that redis-py makes of it, whose text comes without the code; None for the plain ResponseError. Releases
    # differ: both are looked at.
    class_name: str | None
    meaning: Meaning


_TABLE = (
    _Code('MOVED', 'MovedError', Meaning.REDIRECT),
    _Code('ASK', 'AskError', Meaning.REDIRECT),
    _Code('TRYAGAIN', 'TryAgainError', Meaning.REDIRECT),
    _Code('CLUSTERDOWN', 'ClusterDownError', Meaning.REDIRECT),
    _Code('REDIRECT', None, Meaning.REDIRECT),
    _Code('READONLY', 'ReadOnlyError', Meaning.SERVER_STATE),
    _Code('MASTERDOWN', 'MasterDownError', Meaning.STALE_REPLICA),
    _Code('NOGOODSLAVE', None, Meaning.SERVER_STATE),
    _Code('NOREPLICAS', None, Meaning.SERVER_STATE),
    _Code('LOADING', 'BusyLoadingError', Meaning.SERVER_STATE),
    _Code('BUSY', None, Meaning.SERVER_STATE),
    _Code('UNKILLABLE', None, Meaning.SERVER_STATE),
    _Code('OOM', 'OutOfMemoryError', Meaning.SERVER_STATE),
    _Code('MISCONF', None, Meaning.SERVER_STATE),
    _Code('NOAUTH', 'AuthenticationError', Meaning.SERVER_STATE),
    _Code('WRONGPASS', 'AuthenticationError', Meaning.SERVER_STATE),
    # Or KEY_DENIED: see _KEY_DENIED.
    _Code('NOPERM', 'NoPermissionError', Meaning.COMMAND_DENIED),
    _Code('WRONGTYPE', None, Meaning.WRONG_TYPE),
)
_BY_CODE = {row.code: row for row in _TABLE}
_BY_CLASS_NAME = {row.class_name: row for row in _TABLE if row.class_name is not None}

# A server's words begin with the code. Further on it may be any word.
_HAS_CODE = re.compile(rf'({"|".join(_BY_CODE)})(?![\w-])')
# redis-py puts this before the error of a command in a pipeline, and quotes the command.
_IN_PIPELINE = re.compile(r'^Command # \d+ \(.*?\) of pipeline caused error: ', re.DOTALL)
# Errors without a code, by their words. A script gets those of access rights.
_WORDS = (
    (
        re.compile(
            '^(?:ERR )?(?:(?:Lua )?script )?attempted to '
            '(?:access a non local key|execute a .*while the cluster is down)',
            re.IGNORECASE,
        ),
        Meaning.REDIRECT,
    ),
    (
        re.compile("unknown command|unsupported command|ACL failure in script: |user executing the script can't "),
        Meaning.COMMAND_DENIED,
    ),
)
# How NOPERM says that it is the key, or the channel, and not the command. A user, or a command, may be named like any
# of these words.
_KEY_DENIED = re.compile("(?:permissions to|can't) access ")

# The text around the error of a command in a script: Redis before 7 puts it in front, later releases and Valkey behind.
_SCRIPT_PREFIX = re.compile(r'^Error running script \(call to f_[0-9a-f]+\): (?:@user_script: ?\d+: ?)*-?')
_SCRIPT_SUFFIX = re.compile(r' script: (?:[0-9a-f]{40}, )?on @\S+\.$')


def meaning_of(error: BaseException) -> Meaning:
    """Return the meaning of an error, which is redis-py's or of a package like it."""
    names = [owner.__name__ for owner in type(error).__mro__]
    row = next((_BY_CLASS_NAME[name] for name in names if name in _BY_CLASS_NAME), None)
    text = str(error)
    words = _command_words(_IN_PIPELINE.sub('', text))
    if row is None:
        # LOADING and NOAUTH, which have classes, are ConnectionErrors to redis-py.
        if 'ResponseError' not in names:
            return Meaning.NO_ANSWER
        found = _HAS_CODE.match(words)
        row = None if found is None else _BY_CODE[found[1]]
    if row is not None:
        meaning = row.meaning
    else:
        meaning = next((meaning for known, meaning in _WORDS if known.search(words)), Meaning.OTHER)
    if meaning is Meaning.COMMAND_DENIED and _KEY_DENIED.search(text):
        return Meaning.KEY_DENIED
    return meaning


def concerns_whole_server(error: BaseException) -> bool:
    """Tell whether the server answers that to whatever key it is asked for.

    False for NO_ANSWER, a lost connection say: the caller must ask for that itself.
    """
    return meaning_of(error) in (
        Meaning.REDIRECT,
        Meaning.SERVER_STATE,
        Meaning.STALE_REPLICA,
        Meaning.COMMAND_DENIED,
    )


def concerns_one_job(error: BaseException) -> bool:
    """Tell whether an error that a job met concerns only this job.

    Errors of the connection and of the whole server do not, nor does the timeout of a job that makes this call.
    """
    bases = {base.__name__ for base in type(error).__mro__}
    if 'RedisError' not in bases:
        return bases.isdisjoint(('NotImplementedError', 'BaseTimeoutException'))
    return type(error).__name__ in ('ResponseError', 'DataError') and not concerns_whole_server(error)


def concerns_one_key(error: BaseException) -> bool:
    """Tell whether the server may answer otherwise for another key, and so for another queue."""
    return meaning_of(error) in (Meaning.KEY_DENIED, Meaning.WRONG_TYPE, Meaning.OTHER)


def concerns_one_queue(error: BaseException) -> bool:
    """Tell whether this is about one queue: about one of its keys, or an entry that is not text."""
    return isinstance(error, UnicodeDecodeError) or concerns_one_key(error)


def is_denied(reply: Any) -> bool:
    """Tell whether this is the server's error that it does not run this command, for this user or at all."""
    return isinstance(reply, Exception) and meaning_of(reply) in (Meaning.COMMAND_DENIED, Meaning.KEY_DENIED)


class CommandDeniedError(Exception):
    """The server does not run a command that the caller can do without. Its cause is the server's error."""


@contextmanager
def raising_denied() -> Iterator[None]:
    """Raise CommandDeniedError for an error that is_denied()."""
    try:
        yield
    except Exception as error:
        if is_denied(error):
            raise CommandDeniedError from error
        raise


def is_wrong_type(error: Exception) -> bool:
    """Tell whether the key holds something that is not RQ's."""
    return meaning_of(error) is Meaning.WRONG_TYPE


def note_key(error: Exception, key: Any) -> Exception:
    """Have the error know, as its attribute `key`, which key it is about, where it does not yet; return it."""
    if getattr(error, 'key', None) is None and isinstance(key, (str, bytes)):
        error.key = key if isinstance(key, str) else key.decode(errors='backslashreplace')  # type: ignore[attr-defined]
    return error


def describe(error: BaseException) -> str:
    """Return the type and the text of an exception, and the key that it is about where that is known.

    Not repr(error): redis-py 7's repr() leaves out the server's message.
    """
    text, key = str(error), getattr(error, 'key', None)
    described = f'{type(error).__name__}: {text}' if text else type(error).__name__
    return described if not isinstance(key, str) or key in text else f'{described} (key {key})'


def error_to_raise(error: Exception) -> Exception | None:
    """Return the error that a call must raise for the error of its script; None if the script was refused.

    An error of a command in the script is returned as RQ's own command would raise it.
    """
    meaning = meaning_of(error)
    if meaning not in (Meaning.NO_ANSWER, Meaning.REDIRECT, Meaning.SERVER_STATE):
        return None
    words = words_of(error)
    if words == str(error):
        return error
    found = _HAS_CODE.match(words)
    return type(error)(words) if found is None else _as_redis_py(error, _BY_CODE[found[1]], words)


def words_of(error: BaseException) -> str:
    """Return the server's answer to the command that failed in the script, without the text around it."""
    return _command_words(str(error))


def _command_words(text: str) -> str:
    return _SCRIPT_SUFFIX.sub('', _SCRIPT_PREFIX.sub('', text))


def _as_redis_py(error: Exception, row: _Code, words: str) -> Exception:
    """Return the exception that the package of `error` makes of these words."""
    module = next(owner.__module__ for owner in type(error).__mro__ if owner.__name__ == 'ResponseError')
    found = None if row.class_name is None else getattr(sys.modules[module], row.class_name, None)
    made: Exception = type(error)(words) if found is None else found(words[len(row.code) + 1 :])
    return made
