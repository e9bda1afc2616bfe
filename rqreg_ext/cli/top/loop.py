"""The loop: keys, signals and what the threads have read change the state, and the screen is drawn from it."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..terminal import say
from .data import Counted, Crashed, Done, FailuresView, Groups, Message, Opened, Overview, Running, Unreachable
from .draw import draw
from .keys import Change, Count, FindFailures, KeyReader, OpenJob, Quit, Refresh, Request, Stop, press
from .screen import Screen
from .state import State, Text
from .threads import Threads

# How often the screen is drawn, if no key is pressed: ages change.
_FRAME_SECONDS = 0.5
# For how long the rest of an escape sequence may be under way.
_ESCAPE_SECONDS = 0.05
# For how long a change may end that was stopped by the end of the command.
_END_SECONDS = 10.0

_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Loop:
    """The command, once the first data is there."""

    def __init__(self, state: State, threads: Threads, screen: Screen, inbox: Inbox) -> None:
        self._state = state
        self._threads = threads
        self._screen = screen
        self._inbox = inbox
        self._keys = KeyReader()
        # What the server's clock is ahead of ours.
        self._ahead = 0.0 if state.overview is None else state.overview.timestamp - time.time()
        # What is printed at the end.
        self._said = ''
        # The signal to end by; 0 to end as usual.
        self._ended_by: int | None = None

    def run(self) -> int:
        """Run until the end; return the signal that has ended it, or 0."""
        with _signals(self._inbox), self._screen:
            self._take_size()
            self._threads.start()
            drawn = 0.0
            while self._ended_by is None:
                self._state.now = self._state.now if self._state.is_paused else time.time() + self._ahead
                self._screen.show(draw(self._state))
                drawn = time.monotonic()
                self._wait(drawn + _FRAME_SECONDS)
            was_running = self._state.running is not None
            self._state.message = ''
            self._threads.end(_END_SECONDS if was_running else 0.0)
            for message in self._inbox.messages():
                self._take(message)
        print(self._said, end='', file=sys.stderr, flush=True)
        if was_running:
            say(self._state.message or 'ended before it was known how far the change is')
        return self._ended_by

    def _wait(self, until: float) -> None:
        """Handle what happens until then; return before if that changes the screen."""
        is_changed = False
        while not is_changed and self._ended_by is None:
            left = max(until - time.monotonic(), 0.0)
            if self._keys.is_waiting:
                left = _ESCAPE_SECONDS
            ready = self._inbox.wait(self._screen.keyboard, left)
            for number in self._inbox.signals():
                self._handle(number)
                is_changed = True
            for message in self._inbox.messages():
                self._take(message)
                is_changed = True
            if self._screen.keyboard in ready:
                data = self._screen.read()
                if not data:
                    self._ended_by = signal.SIGHUP
                for key in self._keys.feed(data):
                    self._press(key)
                    is_changed = True
            elif self._keys.is_waiting and not ready:
                for key in self._keys.end():
                    self._press(key)
                    is_changed = True
            if time.monotonic() >= until:
                return

    def _press(self, key: str) -> None:
        if key == 'redraw':
            self._screen.clear()
            return
        was_paused = self._state.is_paused
        request = press(self._state, key)
        if self._state.is_paused is not was_paused:
            self._threads.pause(self._state.is_paused)
        if request is not None:
            self._do(request)

    def _do(self, request: Request) -> None:
        threads = self._threads
        if isinstance(request, Quit):
            self._ended_by = 0
        elif isinstance(request, Refresh):
            threads.refresh()
        elif isinstance(request, FindFailures):
            threads.find(request)
        elif isinstance(request, Stop):
            threads.stop_action()
        elif isinstance(request, (OpenJob, Count, Change)):
            threads.do(request)

    # ---- Signals

    def _handle(self, number: int) -> None:
        if number == signal.SIGTSTP:
            self._suspend()
        elif number == signal.SIGCONT:
            # After SIGSTOP, the shell has had the terminal.
            self._screen.enter()
            self._take_size()
        elif number == signal.SIGWINCH:
            self._take_size()
        else:
            self._ended_by = number

    def _suspend(self) -> None:
        self._screen.leave()
        before = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        # To this thread, which must not go on before all have stopped.
        signal.raise_signal(signal.SIGTSTP)
        # Here it goes on after `fg`.
        signal.signal(signal.SIGTSTP, before)
        self._screen.enter()
        self._take_size()

    def _take_size(self) -> None:
        self._state.width, self._state.height = self._screen.size
        self._screen.clear()

    # ---- What the threads post

    def _take(self, message: Message) -> None:
        state = self._state
        if isinstance(message, Crashed):
            raise message.error
        if isinstance(message, Done):
            self._said += message.said
        if isinstance(message, Overview):
            self._ahead = message.timestamp - time.time()
        take(state, message)


def take(state: State, message: Message) -> None:
    """Change the state as a message says."""
    if isinstance(message, Overview):
        state.error = None
        if not state.is_paused:
            state.overview = message
    elif isinstance(message, FailuresView):
        state.failures = message
    elif isinstance(message, Groups):
        state.groups = message
    elif isinstance(message, Unreachable):
        state.error = message.error
    elif isinstance(message, Opened):
        state.text = Text(f'job {message.job_id}', message.lines, message.row)
    elif isinstance(message, Counted):
        state.question, state.message = message.question, message.message
        if message.question is None:
            state.counting = None
    elif isinstance(message, Running):
        state.running = message.text
    elif isinstance(message, Done):
        state.running, state.message = None, message.message


class Inbox:
    """What threads and signals have for the loop, which waits for it and for keys."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._reading, self.writing = os.pipe()
        for descriptor in (self._reading, self.writing):
            os.set_blocking(descriptor, False)
        self._signals: list[int] = []

    def post(self, message: Message) -> None:
        """Add a message, from any thread."""
        self._messages.append(message)
        # A signal writes its number.
        self._wake()

    def _wake(self) -> None:
        # If the pipe is full, the loop has not yet read what woke it before.
        with suppress(BlockingIOError):
            os.write(self.writing, b'\0')

    def wait(self, keyboard: int, seconds: float) -> list[int]:
        """Wait for something; return which of the descriptors have it."""
        ready, _, _ = select.select([keyboard, self._reading], [], [], seconds)
        if self._reading in ready:
            self._signals += [number for number in os.read(self._reading, 65536) if number]
        return ready

    def messages(self) -> Iterator[Message]:
        """Yield the messages that have come."""
        while self._messages:
            yield self._messages.popleft()

    def signals(self) -> list[int]:
        """Return the numbers of the signals that have come."""
        found, self._signals = self._signals, []
        return found


@contextmanager
def _signals(inbox: Inbox) -> Iterator[None]:
    """Have signals written to the inbox, so that none comes in the middle of something."""
    handled = (signal.SIGINT, signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH, *_ENDING)
    # What the caller has ignored, as nohup does, stays ignored.
    not_ignored = [number for number in handled if signal.getsignal(number) is not signal.SIG_IGN]
    before_fd = signal.set_wakeup_fd(inbox.writing, warn_on_full_buffer=False)
    before: dict[int, Any] = {number: signal.signal(number, _do_nothing) for number in not_ignored}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before_fd)


def _do_nothing(number: int, frame: object) -> None:
    """Leave a signal to the loop."""
