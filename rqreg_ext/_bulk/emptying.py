"""empty(): what RQ's Queue.empty() does, in chunks. RQ's is one script, which holds the server until all is done."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from rq import Queue
from rq.utils import as_text

from .._fastpath import guards, releases, script_constants
from .._fastpath.clients.support import sends_unchanged
from .._fastpath.exchange import INTEGER, VALUE, ClientRefusedError, exchange, run_script, without_errors
from .._fastpath.rq_methods import find
from .._fastpath.server_errors import error_to_raise, is_denied
from .._query.arguments import chunk_size_of, most_changes_of
from .._query.filters import NO_SUCH_JOB
from .._query.list_cursor import count_of
from .call import BulkCall
from .chunk_sizer import SCRIPT_MICROSECONDS, ChunkSizer
from .options import Options
from .pace import Pace
from .replicas import ReplicaWait
from .result import BulkResult

_EMPTY = ('rq.queue', 'Queue.empty')
# How many entries are read at a time where no script deletes them.
_ONE_BY_ONE = 100


class EmptyOperation:
    """One call of empty().

    Args:
        waiting: The WaitingJobs.
        queue: The queue that it was made of, or None.
        options: The arguments that all operations have. Its limit is that of the entries to remove.
    """

    def __init__(self, waiting: Any, queue: Queue | None, options: Options) -> None:
        self._call = BulkCall(options.progress, options.dry_run)
        self.result = self._call.result
        self._waiting = waiting
        self._connection = waiting.connection
        self._queue = queue
        self._limit = most_changes_of(options.limit)
        self._sizer = ChunkSizer(None if options.chunk_size is None else chunk_size_of(options.chunk_size))
        self._replica_wait = ReplicaWait(waiting.connection, options.wait_replicas, self.result.dry_run)
        pace = Pace.of(options.rate)
        self._pace = None if options.dry_run else pace
        self._was_resent = False

    def run(self) -> BulkResult:
        """Empty the queue. Any exception gets the result until then as its attribute `result`."""
        with self._call as call:
            self._replica_wait.check()
            call.total, last = self._read_end()
            most = call.total if self._limit is None else min(call.total, self._limit)
            if not self._empty(most, last):
                call.leave_rest()
        return self.result

    def _read_end(self) -> tuple[int, bytes | str]:
        """Return how many entries there are, and the last one."""
        key = self._waiting.key
        length, ends = exchange(self._connection, [(INTEGER, 'LLEN', key), (VALUE, 'LRANGE', key, -1, -1)])
        if is_denied(length):
            length = count_of(self._connection, key)
        without_errors([length, ends])
        return length, ends[-1] if ends else ''

    def _empty(self, most: int, last: bytes | str) -> bool:
        """Remove `most` entries; return whether all that there were at the beginning are removed."""
        if self.result.dry_run:
            self.result.done = most
            if most:
                self._report(most, most)
            return False
        left = self._call.total or 0
        while self.result.total < most:
            if not self._may_replace_rq():
                return self._empty_by_rq(most)
            count = min(self._sizer.size, most - self.result.total)
            if self._pace is not None:
                count = self._pace.wait(count)
            answer = self._run_script(count, last)
            if answer is None:
                return self._empty_by_rq(most, is_refused=True)
            removed, microseconds, gone, now_left, has_ended = answer
            before = self.result.total
            if self._was_resent:
                # The first time may have been done as well.
                self.result.unconfirmed += max(left - now_left - removed, 0)
            self._note(removed, gone)
            if self._pace is not None:
                self._pace.note(removed)
            self._sizer.adjust(max(removed, 1), microseconds)
            left, is_over = now_left, bool(has_ended) or not now_left
            may_go_on = self._report(self.result.total - before, most)
            if is_over or not may_go_on:
                return is_over
        return False

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
            if not isinstance(error, ClientRefusedError) and (to_raise := error_to_raise(error)) is not None:
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

    def _report(self, looked_at: int, most: int) -> bool:
        """Add `looked_at` to the entries processed, and call progress(); return whether to go on."""
        self._call.looked_at += looked_at
        return self._call.report(min(self.result.total, most), most)

    def _empty_by_rq(self, most: int, is_refused: bool = False) -> bool:
        """Do the rest with RQ's own method, or as it does; return as _empty() does.

        Args:
            most: How many entries to remove.
            is_refused: Whether the server refused our script.
        """
        # RQ's empty() is a script too. It would be refused as well, or would delete keys without the client's prefix.
        cannot_call_rq = self._is_rqs_own() and (is_refused or not sends_unchanged(self._connection))
        if cannot_call_rq or self._limit is not None or self._pace is not None:
            return self._delete_one_by_one(most)
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
        self._report(count, max(most, self.result.total))
        return True

    def _delete_one_by_one(self, most: int) -> bool:
        """Delete jobs at the head of the queue, by commands that RQ sends too; return as _empty() does."""
        left = most - self.result.total
        size = _ONE_BY_ONE if self._pace is None else 1
        while left > 0:
            ids = self._connection.lrange(self._waiting.key, 0, min(left, size) - 1)
            for job_id in map(as_text, ids):
                if self._pace is not None:
                    self._pace.wait(1)
                self._delete_one(job_id)
            left -= len(ids)
            self.result.unacknowledged += bool(ids) and bool(self._replica_wait)
            if not ids or not self._report(len(ids), most):
                return not ids
        return False

    def _delete_one(self, job_id: str) -> None:
        key, job_class = self._waiting.key, self._waiting.job_class
        if not self._connection.lrem(key, 1, job_id):
            # A worker has taken it.
            return
        keys = [job_class.key_for(job_id), f'{job_class.redis_job_namespace_prefix}{job_id}:dependents']
        if releases.release.deletes_results:
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
        if self._pace is not None:
            self._pace.note(1)
