"""Compares what arrives at redis-py's innermost methods with the commands that a wrapped client was given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from ... import _core
from ..._core import VALUE
from .by_methods import Words, call_or_error
from .core_stand_in import CoreConnection, by_own_connection
from .errors import is_broken_connection, is_job_timeout
from .packages import is_set_on
from .pools import WRITING, writes_as_redis_py
from .stand_ins import SINGLE, CommandChangedError, connection_stand_in, stand_in_for
from .trial_commands import NAME, UNSENDABLE, TrialCommand


class Watch:
    """Watches the commands that a client is given arrive at redis-py's innermost method, and keeps its result.

    expected: the commands as they were given. channel: how they must arrive: SINGLE, PIPELINE or TRANSACTION. pool: the
    client's. on_resent: called if they arrive once more, because the client's Retry sends them again.
    """

    def __init__(
        self, expected: Sequence[Words], channel: str, pool: Any, on_resent: Callable[[], object] | None = None
    ) -> None:
        self.has_arrived = False
        self.innermost_result: Any = None
        self._expected = [tuple(words) for words in expected]
        self._channel = channel
        self._pool = pool
        self._on_resent = on_resent
        self._is_changed = False

    def pass_on(
        self, owner: Any, channel: str, commands: Sequence[Words], connection: Any, send: Callable[[Any], Any]
    ) -> Any:
        """Compare the commands that arrived with the given ones, and send them. Raises CommandChangedError."""
        if self.has_arrived:
            self._note_repeated()
        self.has_arrived = True
        if (
            channel != self._channel
            or owner.connection_pool is not self._pool
            or [tuple(words) for words in commands] != self._expected
        ):
            self.raise_changed()
        try:
            self.innermost_result = self._answer(connection, send)
        except Exception as error:
            self.innermost_result = error
            raise
        return self.innermost_result

    def _note_repeated(self) -> None:
        if self._on_resent is not None:
            self._on_resent()

    def _answer(self, connection: Any, send: Callable[[Any], Any]) -> Any:
        if isinstance(connection, CoreConnection):
            return self._ask_core(connection.stand_in, send)
        if writes_as_redis_py(connection):
            return send(connection)
        watched = self._watched(connection, is_trial=False)
        octets = watched._rqreg_unsent
        try:
            return send(watched)
        except Exception as error:
            if watched._rqreg_unsent == octets and not (is_broken_connection(error) or is_job_timeout(error)):
                self.raise_changed()
            raise

    def _ask_core(self, stand_in: Any, send: Callable[[Any], Any]) -> Any:
        """Send the commands on a connection of the core's, or else on one of the client's."""
        replies = _core.exchange(stand_in, [(VALUE, *words) for words in self._expected], self._on_resent, True)
        if replies is None:
            return by_own_connection(self._pool, self._expected[0][0], send)
        if self._channel != SINGLE:
            return replies
        if isinstance(replies[0], Exception):
            raise replies[0]
        return replies[0]

    def raise_changed(self) -> NoReturn:
        """Take note that something else would be sent. Raises CommandChangedError."""
        self._is_changed = True
        raise CommandChangedError

    def _watched(self, connection: Any, is_trial: bool) -> Any:
        """Return a stand-in for the connection that writes by its methods, and sends only the expected commands."""
        encoder: Any = getattr(connection, 'encoder', None)
        if not isinstance(getattr(encoder, 'encoding', None), str) or '_sock' not in vars(connection):
            self.raise_changed()
        # Such a method would write by the connection itself.
        if is_set_on(connection, *WRITING):
            self.raise_changed()
        # Both send something of their own where that is due.
        connection.connect()
        connection.check_health()
        octets = b''.join(_packed(words, encoder.encoding) for words in self._words_to_pack())
        return stand_in_for(connection_stand_in, connection, self, _rqreg_unsent=octets, _rqreg_is_trial=is_trial)

    def _words_to_pack(self) -> Iterable[Words]:
        return self._expected

    def answer(self, call: Callable[[], Any], has_arrived_before: bool, is_read: bool) -> Any:
        """Make the call that gives the commands to the client, and return its result. Raises CommandChangedError.

        has_arrived_before: whether a command of this name arrived before, so that an error is not due to the object
        that stands in for the client. is_read: whether the commands may be sent once more.
        """
        try:
            returned = call_or_error(call)
        except Exception as error:
            if (
                self._is_changed
                or self._is_of_stand_in(error, has_arrived_before)
                or (is_read and self._is_of_wrapper(error))
            ):
                raise CommandChangedError from None
            raise
        finally:
            # Otherwise the traceback keeps this object alive.
            innermost, self.innermost_result = self.innermost_result, None
        if self._is_changed:
            raise CommandChangedError
        if not self.has_arrived or _is_same(returned, innermost):
            return returned
        if is_read:
            raise CommandChangedError
        # The command may have changed Redis, so that it is not repeated: the server's reply counts.
        return innermost

    def _is_of_stand_in(self, error: Exception, has_arrived_before: bool) -> bool:
        return not (self.has_arrived or has_arrived_before or is_broken_connection(error) or is_job_timeout(error))

    def _is_of_wrapper(self, error: Exception) -> bool:
        is_lost = isinstance(self.innermost_result, Exception) and is_broken_connection(self.innermost_result)
        return self.has_arrived and error is not self.innermost_result and not is_lost and not is_job_timeout(error)


class Trial(Watch):
    """A Watch of commands that are not sent. Their replies are those of the TrialCommands."""

    def __init__(self, commands: Sequence[TrialCommand], channel: str, pool: Any) -> None:
        super().__init__([command.words for command in commands], channel, pool)
        replies = [command.reply for command in commands]
        self._reply = replies[0] if channel == SINGLE else replies

    def _note_repeated(self) -> None:
        # RQ would get the reply to the second one, which finds nothing left to do.
        self.raise_changed()

    def _answer(self, connection: Any, send: Callable[[Any], Any]) -> Any:
        if not isinstance(connection, CoreConnection) and not writes_as_redis_py(connection):
            watched = self._watched(connection, is_trial=True)
            try:
                self._write_on(watched)
            finally:
                if watched._rqreg_unsent:
                    # It may have been written elsewhere, and the replies will not be read.
                    connection.disconnect()
            if watched._rqreg_unsent:
                self.raise_changed()
        return self._reply

    def _write_on(self, watched: Any) -> None:
        words = self._words_to_pack()
        if self._channel == SINGLE:
            watched.send_command(*words[0])
        else:
            watched.send_packed_command(watched.pack_commands(words))

    def _words_to_pack(self) -> list[Words]:
        return [tuple(NAME if word is UNSENDABLE else word for word in words) for words in self._expected]

    def holds(self, call: Callable[[], Any]) -> bool:
        """Tell whether all commands have arrived, and the call returns the replies unchanged."""
        try:
            self.answer(call, has_arrived_before=False, is_read=True)
        except CommandChangedError:
            return False
        except Exception as error:
            if not self.has_arrived or is_job_timeout(error):
                raise
            return False
        return self.has_arrived


def _is_same(returned: Any, innermost: Any) -> bool:
    return returned is innermost or (
        type(returned) is type(innermost) and not isinstance(innermost, Exception) and returned == innermost
    )


def _packed(words: Words, encoding: str) -> bytes:
    """Return a command in Redis's protocol."""
    octets = [_encoded(word, encoding) for word in words]
    return b'*%d\r\n' % len(octets) + b''.join(b'$%d\r\n%s\r\n' % (len(each), each) for each in octets)


def _encoded(word: Any, encoding: str) -> bytes:
    # Not by the connection's encoder, which may have been replaced.
    if isinstance(word, (bytes, memoryview)):
        return bytes(word)
    return (word if isinstance(word, str) else repr(word)).encode(encoding)
