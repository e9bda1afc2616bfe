"""empty(): what RQ's Queue.empty() does, in chunks. RQ's is one script, which holds the server until all is done."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from rq import Queue
from rq.utils import as_text

from .._fastpath import guards, releases, script_constants
from .._fastpath.clients.support import sends_unchanged
from .._fastpath.exchange import INTEGER, VALUE, NotSent, exchange, run_script, without_errors
from .._fastpath.rq_methods import find
from .._fastpath.server_errors import error_to_raise, is_denied
from .._query.arguments import chunk_size_of, progress_of
from .._query.filters import NO_SUCH_JOB
from .._query.list_cursor import count_of
from .chunk_sizer import SCRIPT_MICROSECONDS, ChunkSizer
from .options import Options
from .pace import Pace
from .replicas import ReplicaWait
from .result import BulkResult

_EMPTY = ('rq.queue', 'Queue.empty')
# How many entries are read at a time where no script deletes them.
_ONE_BY_ONE = 100


class Emptying:
    """One call of empty().

    Args:
        waiting: The WaitingJobs.
        queue: The queue that it was made of, or None.
        options: The arguments that all operations have.
        limit: The most entries to remove; None for all.
    """

    def __init__(self, waiting: Any, queue: Queue | None, options: Options, limit: int | None) -> None:
        self.result = BulkResult(dry_run=bool(options.dry_run))
        self._waiting = waiting
        self._connection = waiting.connection
        self._queue = queue
        self._limit = limit
        self._progress = progress_of(options.progress)
        self._sizer = ChunkSizer(None if options.chunk_size is None else chunk_size_of(options.chunk_size))
        self._replica_wait = ReplicaWait(waiting.connection, 0 if options.dry_run else options.wait_replicas)
        pace = Pace.of(options.rate)
        self._pace = None if options.dry_run else pace
        self._was_resent = False

    def run(self) -> BulkResult:
        """Empty the queue. Any exception that ends the call gets the result until then as its attribute `result`."""
        started = time.monotonic()
        try:
            if self._replica_wait:
                self._replica_wait.check()
            length, ends = exchange(
                self._connection,
                [(INTEGER, 'LLEN', self._waiting.key), (VALUE, 'LRANGE', self._waiting.key, -1, -1)],
            )
            if is_denied(length):
                length = count_of(self._connection, self._waiting.key)
            without_errors([length, ends])
            total = length if self._limit is None else min(length, self._limit)
            if self.result.dry_run:
                self.result.done = total
            elif total:
                self._empty(total, ends[-1] if ends else '')
        except BaseException as error:
            self.result.seconds = time.monotonic() - started
            self.result.interrupted = True
            error.result = self.result  # type: ignore[attr-defined]
            raise
        self.result.seconds = time.monotonic() - started
        return self.result

    def _empty(self, total: int, last: bytes | str) -> None:
        left, is_over = total, False
        while not is_over and self.result.total < total:
            if not self._may_replace_rq():
                self._empty_by_rq(total)
                break
            most = min(self._sizer.size, total - self.result.total)
            if self._pace is not None:
                most = self._pace.wait(most)
            answer = self._run_script(most, last)
            if answer is None:
                self._empty_by_rq(total, is_refused=True)
                break
            removed, microseconds, gone, now_left, has_ended = answer
            if self._was_resent:
                # The first time may have been done as well.
                self.result.unconfirmed += max(left - now_left - removed, 0)
            self._note(removed, gone)
            if self._pace is not None:
                self._pace.note(removed)
            self._sizer.adjust(max(removed, 1), microseconds)
            left, is_over = now_left, bool(has_ended) or not now_left
            if not self._report(total) and not is_over:
                break

    def _may_replace_rq(self) -> bool:
        return (
            releases.is_known
            and guards.empty_guard.holds()
            and self._is_rqs_own()
            and sends_unchanged(self._connection)
        )

    def _is_rqs_own(self) -> bool:
        """Tell whether Queue.empty() is RQ's own."""
        queue_class = Queue if self._queue is None else type(self._queue)
        return find(queue_class, 'empty').origin == _EMPTY

    def _run_script(self, most: int, last: bytes | str) -> Any:
        """Run the script once; return its answer, or None if the server refuses it."""
        self._was_resent = False
        try:
            answer = run_script(
                self._connection,
                'empty_queue',
                [self._waiting.key],
                {
                    'microseconds': SCRIPT_MICROSECONDS,
                    'most': most,
                    'last': last,
                    'job_prefix': self._waiting.job_class.redis_job_namespace_prefix,
                    'result_prefix': script_constants.key_prefixes['result_prefix'],
                },
                on_resent=self._note_resent,
                then=self._replica_wait.commands(),
            )
        except Exception as error:
            if not isinstance(error, NotSent) and (to_raise := error_to_raise(error)) is not None:
                raise to_raise from None
            return None
        is_answer = isinstance(answer, list) and len(answer) == 5 and all(type(each) is int for each in answer)
        return answer if is_answer else None

    def _note_resent(self) -> None:
        self._was_resent = True

    def _note(self, removed: int, gone: int) -> None:
        self.result.done += removed - gone
        if gone:
            self.result.skipped[NO_SUCH_JOB] += gone
        self.result.unacknowledged += bool(self._replica_wait) and not self._replica_wait.is_acknowledged

    def _report(self, total: int) -> bool:
        """Call progress(); return whether to go on."""
        if self._progress is not None and self._progress(min(self.result.total, total), total) is False:
            self.result.stopped = True
        return not self.result.stopped

    def _empty_by_rq(self, total: int, is_refused: bool = False) -> None:
        """Do the rest with RQ's own method, or as it does. `is_refused`: by the server, which runs no such script.

        RQ's own is a script too, and what it deletes are not the keys of a client that puts a prefix before each.
        """
        is_script = self._is_rqs_own() and (is_refused or not sends_unchanged(self._connection))
        if is_script or self._limit is not None or self._pace is not None:
            self._delete_one_by_one(total)
            return
        waiting = self._waiting
        queue = self._queue
        if queue is None:
            queue = Queue(
                waiting.name,
                connection=waiting.connection,
                job_class=waiting.job_class,
                serializer=waiting.serializer,
            )
        count: int = queue.empty()  # type: ignore[no-untyped-call]
        self.result.done += count
        self.result.by_rq += count
        self.result.unacknowledged += bool(self._replica_wait)

    def _delete_one_by_one(self, total: int) -> None:
        """Delete jobs at the head of the queue, by commands that RQ sends too."""
        left = total - self.result.total
        size = _ONE_BY_ONE if self._pace is None else 1
        while left > 0:
            ids = self._connection.lrange(self._waiting.key, 0, min(left, size) - 1)
            for job_id in map(as_text, ids):
                if self._pace is not None:
                    self._pace.wait(1)
                self._delete_one(job_id)
            left -= len(ids)
            if not ids or not self._report(total):
                break

    def _delete_one(self, job_id: str) -> None:
        key, job_class = self._waiting.key, self._waiting.job_class
        if not self._connection.lrem(key, 1, job_id):
            # A worker has taken it.
            return
        keys = [job_class.key_for(job_id), f'{job_class.redis_job_namespace_prefix}{job_id}:dependents']
        if releases.deletes_results:
            keys.append(f'{as_text(script_constants.key_prefixes["result_prefix"])}{job_id}')
        try:
            deleted = self._connection.delete(*keys)
        except Exception:
            # An error of this one must not hide the first.
            with suppress(Exception):
                self._connection.lpush(key, job_id)
            raise
        if deleted:
            self.result.done += 1
            self.result.by_rq += 1
        else:
            self.result.skipped[NO_SUCH_JOB] += 1
        self.result.unacknowledged += bool(self._replica_wait)
        if self._pace is not None:
            self._pace.note(1)
