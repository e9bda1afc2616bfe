"""An operation on many jobs, one chunk after the other: with a script if it may replace RQ, else with RQ's methods."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from string import ascii_letters, digits
from typing import Any, NamedTuple

from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job

from .._fastpath import requeued_job
from .._fastpath.clients.support import answers_unchanged, refusal
from .._fastpath.dispatch import BulkDecision
from .._fastpath.exchange import INTEGER, VALUE, NotSent, ask, run_script
from .._fastpath.server_errors import error_to_raise, is_denied
from .._query.arguments import chunk_size_of, most_changes_of, progress_of, replicas_of
from .._query.filters import NO_SUCH_JOB
from .._query.membership import Members, in_parts
from .._query.queue_search import find_in_queue, length_of
from . import fallback
from .options import IdsProgress, Options
from .pace import Pace
from .replicas import ReplicaWait
from .result import ALREADY_CANCELED, BulkResult
from .scripts import DATA_IS_COMPRESSED, SHORT_QUEUE, Script

# After this time a script starts no further job.
SCRIPT_MICROSECONDS = 2000
# How many ids are passed to a script: the first time, at most, and at most if the server's scripts have no clock.
_FIRST_CHUNK, _LARGEST_CHUNK, _LARGEST_WITHOUT_CLOCK = 100, 2000, 200
# How many entries one ZREM removes.
_ENTRIES_PER_ZREM = 500
# How many jobs with long data are read in one round trip. Some clients hold all of the replies in memory.
_LONG_AT_ONCE = 100
# How many ids of the registry are read and filtered at a time (a group). A long queue is read once for each group, so
# groups grow with the queue: a quarter of its length, up to a limit.
_GROUP_SIZE, _LARGEST_GROUP, _QUEUE_PER_GROUP = 1000, 100_000, 4

# With `rate`, after so many seconds filters are asked again about a job, and its queue is searched again.
_FILTERS_ARE_VALID, _SEARCH_IS_VALID = 1.0, 10.0

# The ids that scripts accept. RQ before 2.7 allows others too.
_PLAIN_ID = re.compile('[A-Za-z0-9_-]+')
_IN_PLAIN_ID = f'{ascii_letters}{digits}_-'.encode()
# The codes that many_jobs.inc.lua returns.
_NOT_IN_REGISTRY, _FOR_RQ, _NO_SUCH_JOB, QUEUE_UNKNOWN, _ALREADY_CANCELED, _DATA_UNKNOWN = range(6)

# Returns the ids to process, and their number, or None if it is unknown.
Find = Callable[[], 'tuple[Iterable[str], int | None]']
# Returns those of the ids that match the filters.
Select = Callable[[Sequence[str]], Sequence[str]]


class ChunkSizer:
    """How many ids to pass to a script, so that it processes most of them within SCRIPT_MICROSECONDS."""

    def __init__(self, chunk_size: int | None) -> None:
        self._most = _LARGEST_CHUNK if chunk_size is None else min(chunk_size, _LARGEST_CHUNK)
        self.size = min(_FIRST_CHUNK, self._most)

    def adjust(self, processed: int, microseconds: int) -> None:
        """Adjust the size to the time that a script took; 0 microseconds if its server has no clock for scripts."""
        most = self._most if microseconds else min(self._most, _LARGEST_WITHOUT_CLOCK)
        self.size = max(1, min(most, processed * SCRIPT_MICROSECONDS // max(microseconds, 1), 2 * self.size))


class JobSteps(NamedTuple):
    """The functions that process one job without a script.

    They raise NotInRegistry, NoSuchJobError, AlreadyCanceled, or the error of RQ.

    Attributes:
        by_method: Calls RQ's method as it is.
        in_transaction: Does the same in one transaction, for an RQ whose methods we know; None if there is no such
            function.
    """

    by_method: Callable[[str], object]
    in_transaction: Callable[[str], object] | None = None


class BulkOperation:
    """One call that changes many jobs of a registry.

    Args:
        registry: The registry of the jobs.
        options: The arguments that all operations have.
        decision: Tells before each chunk whether our code may replace RQ's.
        steps: The functions that process one job.
        script: The script that processes a chunk of jobs; None if every job needs RQ's own code.
    """

    def __init__(
        self, registry: Any, options: Options, decision: BulkDecision, steps: JobSteps, script: Script | None = None
    ) -> None:
        self.result = BulkResult(dry_run=bool(options.dry_run))
        self._registry = registry
        self._connection = registry.connection
        self._decision = decision
        self._steps = steps
        self._usual_script = script
        # What is used for the current chunk; see _decide().
        self._script: Script | None = None
        self._step = steps.by_method
        self._progress: IdsProgress | None = progress_of(options.progress)
        self._chunk_size = None if options.chunk_size is None else chunk_size_of(options.chunk_size)
        self._sizer = ChunkSizer(self._chunk_size)
        wait_replicas = replicas_of(options.wait_replicas)
        self._replica_wait = ReplicaWait(registry.connection, 0 if options.dry_run else wait_replicas)
        # Whether enough replicas have what the current chunk has changed so far.
        self._is_acknowledged = True
        # The marks of jobs whose data is long, and was seen.
        self._compressed: dict[str, str] = {}
        self._queue_length = 0
        self._was_resent = False
        self._has_compared_answers = False
        self._processed = 0
        self._total: int | None = None
        # How many of the ids found are done with, those included that do not match.
        self._looked_at = 0
        self._limit = most_changes_of(options.limit)
        pace = Pace.of(options.rate)
        self._pace = None if options.dry_run else pace
        # How many changed jobs the pace knows of.
        self._noted = 0
        # With a pace: the jobs of the group, and when and where they were found in their queue.
        self._group: list[str] = []
        self._has_filters = False
        self._search: tuple[float, dict[str, str] | None] | None = None

    def run(self, find: Find, select: Select | None = None) -> BulkResult:
        """Find the ids, and process those of them that `select` returns.

        Any exception that ends the call, KeyboardInterrupt included, gets the result until then as its attribute
        `result`.
        """
        started = time.monotonic()
        try:
            if self._replica_wait:
                self._replica_wait.check()
            job_ids, self._total = find()
            ids = iter(job_ids)
            self._has_filters = select is not None
            while group := list(islice(ids, self._group_size())):
                if not self._do_group(group, select):
                    self.result.remaining = self._remaining()
                    break
        except BaseException as error:
            self.result.interrupted = True
            self.result.remaining = self._remaining()
            error.result = self.result  # type: ignore[attr-defined]
            raise
        finally:
            self.result.seconds = time.monotonic() - started
            self._note_changes()
        return self.result

    def _remaining(self) -> int | None:
        # Others may have removed entries meanwhile.
        return None if self._total is None else max(0, self._total - self._looked_at)

    def _decide(self) -> bool:
        """Decide which code processes the next chunk; return whether our code may replace RQ's."""
        may_replace = self._decision.holds()
        script = self._usual_script
        self._script = script if may_replace and script is not None and script.may_run() else None
        self._step = (may_replace and self._steps.in_transaction) or self._steps.by_method
        return may_replace

    # ---- Groups

    def _group_size(self) -> int:
        self._decide()
        if self._script is not None and self._script.empties_queues and not self.result.dry_run:
            self._queue_length = length_of(self._connection, self._queue_key(self._registry.name))
        size, seconds = _GROUP_SIZE, _FILTERS_ARE_VALID
        if self._queue_length > SHORT_QUEUE:
            size = max(size, min(self._queue_length // _QUEUE_PER_GROUP, _LARGEST_GROUP))
            seconds = _SEARCH_IS_VALID
        if self._limit is not None:
            size = min(size, max(_GROUP_SIZE, self._limit - self._changed()))
        if self._pace is not None:
            # Ids that are given may come from find(): they are read when it is nearly their turn.
            soon = max(1, int(self._pace.rate * seconds))
            size = min(size, max(_GROUP_SIZE, soon) if self._has_filters else soon)
        return size

    def _do_group(self, group: Sequence[str], select: Select | None) -> bool:
        """Process the selected jobs of a group; return whether to go on."""
        before = self._processed
        selected = group if select is None else select(group)
        selected_at = time.monotonic()
        unique = list(dict.fromkeys(selected))
        # The second time that an id is given, its job has left the registry already.
        self.result.missing += len(selected) - len(unique)
        self._looked_at = before + len(group) - len(unique)
        self._group, self._search = unique, None
        start = 0
        while start < len(unique):
            size = self._next_part(len(unique) - start)
            if not size:
                return False
            part = unique[start : start + size]
            if self._pace is not None and select is not None and time.monotonic() > selected_at + _FILTERS_ARE_VALID:
                part = list(select(part))
            for processed in self._do_jobs(part) if part else ():
                self._processed = before + min(start + processed, len(group))
                self._looked_at = before + len(group) - len(unique) + start + processed
                self._note_replicas()
                # After the last chunk, the whole group is reported.
                if start + processed < len(unique) and not self._report_progress():
                    return False
            start += size
        self._processed = self._looked_at = before + len(group)
        return self._report_progress() and not self._is_at_limit()

    def _next_part(self, count: int) -> int:
        """Return how many of the next `count` jobs may be processed now, after waiting if there is a pace.

        It is 0 if as many jobs were changed as may be.
        """
        self._note_changes()
        if self._limit is not None:
            count = min(count, self._limit - self._changed())
        return count if self._pace is None or not count else self._pace.wait(count)

    def _changed(self) -> int:
        return self.result.done + self.result.unconfirmed

    def _is_at_limit(self) -> bool:
        return self._limit is not None and self._changed() >= self._limit

    def _note_changes(self) -> None:
        if self._pace is not None:
            self._pace.note(self._changed() - self._noted)
            self._noted = self._changed()

    def _note_replicas(self) -> None:
        """Count the chunk that was just done, unless enough replicas have it."""
        self.result.unacknowledged += not self._is_acknowledged
        self._is_acknowledged = True

    def _report_progress(self) -> bool:
        """Call progress(); return whether to go on."""
        if self._progress is not None and self._progress(self._processed, self._total) is False:
            self.result.stopped = True
        return not self.result.stopped

    def _do_jobs(self, job_ids: list[str]) -> Iterator[int]:
        """Process the jobs, one chunk after the other; yield how many are processed so far."""
        self._decide()
        if self._script is None:
            yield from self._do_all_by_rq(job_ids)
            return
        queue_key, queue_ends = '', {}
        if self._queue_length > SHORT_QUEUE:
            queue_key = self._queue_key(self._registry.name)
            found = self._find_in_own_queue(queue_key, job_ids)
            if found is None:
                yield from self._do_all_by_rq(job_ids)
                return
            queue_ends = found
        # Jobs that were created for another queue, which is long: that queue must be read before the script does them.
        queue_not_searched: list[str] = []
        for processed in self._do_by_script(job_ids, queue_key, queue_ends, queue_not_searched):
            yield processed - len(queue_not_searched)
        done_before = len(job_ids) - len(queue_not_searched)
        for name, ids in self._by_origin(queue_not_searched).items():
            queue_key = self._queue_key(name)
            found = self._find_in_queue(queue_key, ids)
            still_not_searched: list[str] = []
            if found is None:
                still_not_searched = ids
            else:
                for processed in self._do_by_script(ids, queue_key, found, still_not_searched):
                    yield done_before + processed
            # The user may not read the queue, or the job's origin has changed since it was read.
            for job_id in still_not_searched:
                self._do_one_by_rq(job_id)
            done_before += len(ids)

    def _find_in_queue(self, queue_key: str, job_ids: list[str]) -> dict[str, str] | None:
        """Return which jobs are in a long queue, and near which end; None if the user has no right to read it."""
        try:
            return find_in_queue(self._connection, queue_key, job_ids)
        except Exception as error:
            if not is_denied(error):
                raise
            return None

    def _find_in_own_queue(self, queue_key: str, job_ids: list[str]) -> dict[str, str] | None:
        """Return the same for the registry's own queue. With a pace, all jobs of the group are looked for at once."""
        if self._pace is None:
            return self._find_in_queue(queue_key, job_ids)
        if self._search is None or time.monotonic() > self._search[0] + _SEARCH_IS_VALID:
            self._search = time.monotonic(), self._find_in_queue(queue_key, self._group)
        return self._search[1]

    def _by_origin(self, job_ids: Sequence[str]) -> dict[str, list[str]]:
        """Return the ids by the name of the queue that each job was created for. One round trip."""
        commands = [(VALUE, 'HGET', Job.key_for(job_id), 'origin') for job_id in job_ids]
        grouped: dict[str, list[str]] = {}
        for job_id, origin in zip(job_ids, ask(self._connection, commands) if commands else [], strict=True):
            grouped.setdefault((origin or b'').decode(), []).append(job_id)
        return grouped

    @staticmethod
    def _queue_key(name: str) -> str:
        return f'{Queue.redis_queue_namespace_prefix}{name}'

    # ---- With a script

    def _do_by_script(
        self, job_ids: list[str], queue_key: str, queue_ends: dict[str, str], queue_not_searched: list[str]
    ) -> Iterator[int]:
        """Process the jobs; yield how many are processed so far.

        Args:
            job_ids: The ids.
            queue_key: The key of a long queue that was searched for the jobs, or ''.
            queue_ends: The jobs that are in that queue, each with the end that it is nearer to.
            queue_not_searched: Receives the ids of jobs that may be in another long queue. They are not processed.
        """
        processed = 0
        while processed < len(job_ids):
            chunk = job_ids[processed : processed + self._sizer.size]
            self._decide()
            if self._script is None or not _PLAIN_ID.fullmatch(chunk[0]):
                self._do_one_by_rq(chunk[0])
                processed += 1
            else:
                processed += self._run_script(chunk[: _plain_ids(chunk)], queue_key, queue_ends, queue_not_searched)
            yield processed

    def _run_script(
        self, chunk: list[str], queue_key: str, queue_ends: dict[str, str], queue_not_searched: list[str]
    ) -> int:
        """Run the script once, and RQ's methods on the jobs that it leaves to them; return how many were processed."""
        assert self._script is not None
        arguments = self._script.arguments(self._registry, SCRIPT_MICROSECONDS, self.result.dry_run, queue_key)
        marked_ids = self._marked(chunk, queue_ends)
        try:
            self._was_resent = False
            self._require_answers(chunk[0])
            answer = run_script(
                self._connection,
                self._script.name,
                [self._registry.key],
                arguments,
                (*self._script.values_before_ids(), *marked_ids),
                on_resent=self._note_resent,
                then=self._replica_wait.commands(),
            )
            processed, microseconds, notes = _read_answer(answer, len(chunk))
            self._is_acknowledged &= self._replica_wait.is_acknowledged
        except Exception as error:
            if isinstance(error, NotSent):
                # The client has begun to change commands.
                self._decision.client_has_changed()
            elif not isinstance(error, _NotAnAnswer) and (to_raise := error_to_raise(error)) is not None:
                raise to_raise from None
            # The server refuses the script: it is not tried again.
            self._usual_script = None
            self._decide()
            for job_id in chunk:
                self._do_one_by_rq(job_id)
            return len(chunk)
        self._sizer.adjust(processed, microseconds)
        if any(type(code) is bytes or code == _DATA_UNKNOWN for _, code in notes):
            processed, notes = self._supply(chunk, notes)
        if self._compressed:
            for job_id in self._compressed.keys() & set(chunk[:processed]):
                del self._compressed[job_id]
        self.result.done += processed - len(notes)
        for index, code in notes:
            self._note(chunk[index], code, queue_not_searched)
        return int(processed)

    def _marked(self, chunk: list[str], queue_ends: dict[str, str]) -> list[str]:
        """Return the ids with what the script is told of each job."""
        marks = queue_ends or self._compressed
        return [marks.get(job_id, '') + job_id for job_id in chunk] if marks else chunk

    def _require_answers(self, job_id: str) -> None:
        """Raise NotSent if a wrapped client changes what RQ would read of a job; asked for the first job only."""
        if not self._has_compared_answers:
            if not answers_unchanged(self._connection, Job.key_for(job_id)):
                raise refusal(self._connection, 'a script')
            self._has_compared_answers = True

    def _supply(self, chunk: list[str], notes: list[tuple[int, Any]]) -> tuple[int, list[tuple[int, int]]]:
        """Find out what the script does not know yet of jobs, for its next run: their metadata, or about their data.

        Return how many jobs are processed, which are those before the first such job, and the notes on them. If only RQ
        can do that job, it is left to RQ's method and counts as processed.
        """
        assert self._script is not None
        is_known = {index: self._script.add_metadata(code) for index, code in notes if type(code) is bytes}
        long = {index: chunk[index] for index, code in notes if code == _DATA_UNKNOWN}
        is_known |= dict(zip(long, self._have_compressed_data(list(long.values())), strict=True))
        first = min(is_known)
        before = [(index, code) for index, code in notes if index < first]
        if is_known[first]:
            return first, before
        return first + 1, [*before, (first, _FOR_RQ)]

    def _have_compressed_data(self, job_ids: list[str]) -> list[bool]:
        """Return whether RQ would write the data of each job back as it is, and remember it.

        The data is too long for the script: reading it there takes several times as long, and holds the server. One
        round trip per _LONG_AT_ONCE jobs.
        """
        found: list[bool] = []
        for start in range(0, len(job_ids), _LONG_AT_ONCE):
            part = job_ids[start : start + _LONG_AT_ONCE]
            found += ask(self._connection, [(_is_compressed, 'HGET', Job.key_for(job_id), 'data') for job_id in part])
        self._compressed.update(
            (job_id, DATA_IS_COMPRESSED) for job_id, is_one in zip(job_ids, found, strict=True) if is_one
        )
        return found

    def _note_resent(self) -> None:
        self._was_resent = True

    def _note(self, job_id: str, code: int, queue_not_searched: list[str]) -> None:
        if self._was_resent and code in (_NOT_IN_REGISTRY, _ALREADY_CANCELED) and not self.result.dry_run:
            self.result.unconfirmed += 1
        elif code == _NOT_IN_REGISTRY:
            self.result.missing += 1
        elif code == _NO_SUCH_JOB:
            self.result.skipped[NO_SUCH_JOB] += 1
        elif code == _ALREADY_CANCELED:
            self.result.skipped[ALREADY_CANCELED] += 1
        elif code == QUEUE_UNKNOWN:
            queue_not_searched.append(job_id)
        else:
            self._do_one_by_rq(job_id)

    # ---- With RQ's methods

    def _do_all_by_rq(self, job_ids: list[str]) -> Iterator[int]:
        size = self._chunk_size or _FIRST_CHUNK
        for start in range(0, len(job_ids), size):
            self._decide()
            for job_id in job_ids[start : start + size]:
                self._do_one_by_rq(job_id)
            yield min(start + size, len(job_ids))

    def _do_one_by_rq(self, job_id: str) -> None:
        try:
            self._step(job_id)
        except fallback.NotInRegistry:
            self.result.missing += 1
        except NoSuchJobError:
            self.result.skipped[NO_SUCH_JOB] += 1
        except fallback.AlreadyCanceled:
            self.result.skipped[ALREADY_CANCELED] += 1
        except Exception as error:
            if not fallback.concerns_job(error) or fallback.concerns_registry(self._registry, error):
                raise
            self.result.failed.append((job_id, error))
        else:
            self.result.done += 1
            self.result.by_rq += 1
            # Its commands went over other connections.
            self._is_acknowledged &= not self._replica_wait


class EntryRemoval(BulkOperation):
    """An operation that removes entries with ZREM, and does not change the jobs."""

    def __init__(self, registry: Any, options: Options, decision: BulkDecision, steps: JobSteps) -> None:
        super().__init__(registry, options, decision, steps)
        self._members = Members(registry)

    def _do_jobs(self, job_ids: list[str]) -> Iterator[int]:
        processed = 0
        while processed < len(job_ids):
            if self._decide():
                chunk = job_ids[processed : processed + (self._chunk_size or _ENTRIES_PER_ZREM)]
                self._do_entries(chunk)
            else:
                chunk = job_ids[processed : processed + (self._chunk_size or _FIRST_CHUNK)]
                for job_id in chunk:
                    self._do_one_by_rq(job_id)
            processed += len(chunk)
            yield processed

    def _do_entries(self, chunk: list[str]) -> None:
        self._was_resent = False
        for part, done in in_parts(chunk, self._count_members if self.result.dry_run else self._remove):
            if isinstance(done, UnicodeEncodeError):
                self.result.failed.append((part[0], done))
                continue
            self.result.done += done
            if self._was_resent:
                self.result.unconfirmed += len(part) - done
            else:
                self.result.missing += len(part) - done

    def _remove(self, chunk: Sequence[str]) -> int:
        try:
            removed, *_ = ask(
                self._connection,
                [(INTEGER, 'ZREM', self._registry.key, *chunk), *self._replica_wait.commands()],
                self._note_resent,
            )
            self._is_acknowledged &= self._replica_wait.is_acknowledged
        except Exception as error:
            # RQ's loop over an empty registry sends no ZREM either.
            if not is_denied(error) or self._has_any(chunk):
                raise
            return 0
        return int(removed)

    def _has_any(self, chunk: Sequence[str]) -> bool:
        """Tell whether any of the jobs is in the registry; True if the user has no right to see that."""
        try:
            return any(self._members.contain(chunk))
        except Exception as error:
            if not is_denied(error):
                raise
            return True

    def _count_members(self, chunk: Sequence[str]) -> int:
        return sum(self._members.contain(chunk))


class _NotAnAnswer(Exception):
    """What answers scripts is no Redis, and says so in no error."""


def _is_compressed(data: Any) -> bool:
    return isinstance(data, bytes) and requeued_job.is_compressed(data)


def _read_answer(answer: Any, count: int) -> tuple[int, int, list[tuple[int, Any]]]:
    """Return how many of the jobs a script has processed, in how many microseconds, and the notes on them.

    There is a note on each job that the script did not do: its index, and a code, or metadata to be read.
    """
    is_one = isinstance(answer, list) and len(answer) >= 2 and len(answer) % 2 == 0
    if not is_one or not all(type(each) is int for each in (*answer[:2], *answer[2::2])):
        raise _NotAnAnswer(answer)
    processed, microseconds = answer[:2]
    notes = list(zip(answer[2::2], answer[3::2], strict=True))
    if not 0 < processed <= count or not all(0 <= index < processed for index, _ in notes):
        raise _NotAnAnswer(answer)
    return processed, microseconds, notes


def _plain_ids(job_ids: list[str]) -> int:
    """Return how many ids come before the first one that must be left to RQ."""
    # What all of them have besides is looked for at once: that takes an eighth of the time of a match on each.
    joined = ' '.join(job_ids)
    if joined.isascii() and all(job_ids):
        others = joined.encode().translate(None, _IN_PLAIN_ID)
        if others == b' ' * (len(job_ids) - 1):
            return len(job_ids)
    return next((n for n, job_id in enumerate(job_ids) if not _PLAIN_ID.fullmatch(job_id)), len(job_ids))
