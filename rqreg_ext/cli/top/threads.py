"""The threads that read the server, so that keys are answered while it does not."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import click

from ..._fastpath.server_errors import describe
from .. import statuses
from ..change_log import ChangeLog
from ..server import Server
from .act import Actions
from .data import Counted, Crashed, Done, FailuresView, Groups, Message, Overview, Unreachable
from .keys import Change, Count, FindFailures, OpenJob
from .read import FailuresReader, OverviewReader, read_groups
from .search import Search

# The part of a processor that each of the readers may use, on average: it waits longer where reading costs more.
_SHARE = 0.01
# How often it is looked whether there are other failed jobs.
_FAILURES_SECONDS = 2.0
_GROUPS_SECONDS = 5.0
# Jobs may be replaced by as many others.
_UNCHANGED_SECONDS = 30.0


class Threads:
    """Reads the server on threads, and posts what was read."""

    def __init__(
        self,
        server: Server,
        patterns: tuple[str, ...],
        seconds: float,
        log: ChangeLog,
        post: Callable[[Message], None],
    ) -> None:
        self._server = server
        self._patterns = patterns
        self._post = post
        self._overview_reader = OverviewReader(server, patterns)
        self._failures_reader = FailuresReader(server)
        self._search = Search()
        self._overview: Overview | None = None
        self._stopped = threading.Event()
        self._actions = Actions(server, log, post, self._stopped.is_set)
        # The log of changes takes the words of the command from it.
        self._context = click.get_current_context()
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._readers = (
            _Periodic(self._read_overview, seconds, self._report_overview, self._crash),
            _Periodic(self._read_failures, _FAILURES_SECONDS, self._report_failures, self._crash),
            _Periodic(self._read_groups, _GROUPS_SECONDS, self._report_groups, self._crash),
        )
        self._failures_read = self._groups_read = _Read()
        self._doing = threading.Thread(target=self._do, daemon=True)

    def read_first(self) -> Overview:
        """Read the queues and the workers on this thread. Raises what is wrong with the server, or with arguments."""
        self._overview = self._overview_reader.read()
        return self._overview

    def start(self) -> None:
        """Start the threads."""
        for reader in self._readers:
            reader.start()
        self._doing.start()

    def pause(self, is_paused: bool) -> None:
        """Read nothing, or go on."""
        for reader in self._readers:
            reader.pause(is_paused)

    def refresh(self) -> None:
        """Read everything again, now."""
        for reader in self._readers:
            reader.read_now()

    def find(self, request: FindFailures) -> None:
        """Read the failed jobs that match from now on."""
        self._search = request.search
        self._readers[1].read_now()

    def do(self, request: OpenJob | Count | Change) -> None:
        """Do what a key has asked for, after what it has asked for before."""
        if not isinstance(request, OpenJob):
            self._stopped.clear()
        self._requests.put(request)

    def stop_action(self) -> None:
        """Have what a key has asked for end early. What it has done is posted."""
        self._stopped.set()

    def end(self, seconds: float) -> None:
        """Have all threads end. Those that wait for the server end with the process."""
        self.stop_action()
        for reader in self._readers:
            reader.end()
        self._requests.put(None)
        self._doing.join(seconds)

    # ---- What the threads do

    @property
    def _failed(self) -> dict[str, int]:
        """The number of failed jobs by queue."""
        return {} if self._overview is None else {row.name: row.counts['failed'] for row in self._overview.queues}

    @property
    def _timestamp(self) -> float:
        """The server's time, when it was last read."""
        return 0.0 if self._overview is None else self._overview.timestamp

    def _read_overview(self, is_wanted: bool) -> None:
        self._overview = self._overview_reader.read()
        self._post(self._overview)

    def _report_overview(self, error: str) -> None:
        self._post(Unreachable(error))

    def _read_failures(self, is_wanted: bool) -> None:
        reading = _Read(self._failed, self._search, time.monotonic())
        if not is_wanted and reading.is_like(self._failures_read):
            return
        self._failures_read = reading
        if reading.search:
            found = self._failures_reader.find(reading.counts, reading.search)
        else:
            found = self._failures_reader.read(reading.counts)
        if reading.search is self._search:
            self._post(found)

    def _report_failures(self, error: str) -> None:
        self._post(FailuresView(self._search.text, (), (f'not read: {error}',)))

    def _read_groups(self, is_wanted: bool) -> None:
        reading = _Read(self._failed, None, time.monotonic())
        if not is_wanted and reading.is_like(self._groups_read):
            return
        self._groups_read = reading
        # A queue that has gone since would be an error.
        queues = [name for name, count in reading.counts.items() if count]
        self._post(read_groups(self._server, queues, self._timestamp))
        self._failures_reader.read_all(reading.counts)

    def _report_groups(self, error: str) -> None:
        self._post(Groups(self._timestamp, (), (f'not counted: {error}',)))

    def _crash(self, error: Exception) -> None:
        self._post(Crashed(error))

    def _do(self) -> None:
        with self._context.scope(cleanup=False):
            self._do_requests()

    def _do_requests(self) -> None:
        while (request := self._requests.get()) is not None:
            try:
                if isinstance(request, OpenJob):
                    self._actions.open(request)
                elif isinstance(request, Count):
                    self._actions.count(request.target, self._failed)
                else:
                    self._actions.change(request.target)
                    self.refresh()
            except Exception as error:
                if not statuses.is_of_server(error):
                    self._post(Crashed(error))
                    return
                text = f'not done: {describe(error)}'
                self._post(Counted(None, text) if isinstance(request, Count) else Done(text))


class _Read(NamedTuple):
    """What was read, and when."""

    counts: Mapping[str, int] = {}
    search: Search | None = None
    time: float = 0.0

    def is_like(self, before: _Read) -> bool:
        """Tell whether that was read not long ago."""
        return self[:2] == before[:2] and self.time - before.time < _UNCHANGED_SECONDS


class _Periodic:
    """A thread that reads again and again, the less often the more that costs."""

    def __init__(
        self,
        read: Callable[[bool], None],
        seconds: float,
        report: Callable[[str], None],
        crash: Callable[[Exception], None],
    ) -> None:
        self._read = read
        self._seconds = seconds
        self._report = report
        self._crash = crash
        self._is_ended = self._is_paused = False
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def pause(self, is_paused: bool) -> None:
        """Read nothing, or go on."""
        self._is_paused = is_paused
        if not is_paused:
            self._wanted.set()

    def read_now(self) -> None:
        """Read without waiting."""
        self._wanted.set()

    def end(self) -> None:
        """Have the thread end."""
        self._is_ended = True
        self._wanted.set()

    def _run(self) -> None:
        is_wanted = True
        while not self._is_ended:
            started = time.thread_time()
            try:
                if is_wanted or not self._is_paused:
                    self._read(is_wanted)
            except click.UsageError as error:
                # A queue that has gone.
                self._report(error.format_message())
            except Exception as error:
                # An id may be anything, in UTF-8 or not.
                if not statuses.is_of_server(error) and not isinstance(error, UnicodeDecodeError):
                    self._crash(error)
                    return
                self._report(describe(error))
            cost = time.thread_time() - started
            is_wanted = self._wanted.wait(max(self._seconds, cost / _SHARE))
            self._wanted.clear()
