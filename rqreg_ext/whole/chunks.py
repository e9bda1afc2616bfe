"""Many jobs, a chunk at a time: by a script where one may stand for RQ, by RQ where not, and what came of each."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job

from .._dispatch import NotSent
from .._exchange import INTEGER, VALUE, ask, run_script
from .._rights import is_denied
from .._script_errors import error_to_raise
from . import by_rq
from .arguments import chunk_size_of, progress_of
from .membership import Members
from .queue_search import find_in_queue, length_of
from .result import ALREADY_CANCELED, NO_SUCH_JOB, BulkResult
from .scripts import SHORT_QUEUE, Script

# For how long a script goes on beginning with jobs; the last ones it began with come on top.
SCRIPT_MICROSECONDS = 2000
# Ids given to a script at once: at first, at most, and at most where the server has no clock for scripts.
_FIRST, _MOST, _MOST_WITHOUT_CLOCK = 100, 2000, 200
# Entries to remove in one command.
_ENTRIES = 500
# Jobs that are fetched from the registry, filtered and looked for in a queue at once: of a long queue that is read
# for each group, a part of its length.
_GROUP, _LARGEST_GROUP, _QUEUE_PER_GROUP = 1000, 100_000, 4

# Ids that scripts are given. RQ before 2.7 has others too.
_PLAIN_ID = re.compile('[A-Za-z0-9_-]+')
_PLAIN_IDS = re.compile('[A-Za-z0-9_-]+(?: [A-Za-z0-9_-]+)*')
# The codes of many_jobs.inc.lua.
_NOT_IN_REGISTRY, _FOR_RQ, _NO_SUCH_JOB, _QUEUE_UNKNOWN, _ALREADY_CANCELED = range(5)

# Called after each chunk with how many entries are behind, and how many there are, None where nobody knows.
Progress = Callable[[int, 'int | None'], Any]
# Returns the ids of the jobs that a call is about, and how many they are, None where nobody knows.
Find = Callable[[], 'tuple[Iterable[str], int | None]']


class Pace:
    """How many ids to give to a script, so that it comes to most of them in its time."""

    def __init__(self, chunk_size: int | None) -> None:
        self._most = _MOST if chunk_size is None else min(chunk_size, _MOST)
        self.size = min(_FIRST, self._most)

    def learn(self, handled: int, microseconds: int) -> None:
        """Take note of how long a script took."""
        most = self._most if microseconds else min(self._most, _MOST_WITHOUT_CLOCK)
        self.size = max(1, min(most, handled * SCRIPT_MICROSECONDS // max(microseconds, 1), 2 * self.size))


class Options(NamedTuple):
    """What all calls are told; see Changing."""

    progress: Progress | None
    dry_run: bool
    chunk_size: int | None


class Bulk:
    """A call on many jobs of a registry.

    script: what does a chunk of jobs; None where RQ does all of them.
    do_by_rq: does one job, or raises: NotInRegistry, NoSuchJobError, AlreadyCanceled, or what RQ has to say.
    """

    def __init__(
        self, registry: Any, options: Options, script: Script | None, do_by_rq: Callable[[str], object]
    ) -> None:
        self.result = BulkResult(dry_run=bool(options.dry_run))
        self._registry = registry
        self._connection = registry.connection
        self._script = script
        self._do_by_rq = do_by_rq
        self._progress: Progress | None = progress_of(options.progress)
        self._chunk_size = None if options.chunk_size is None else chunk_size_of(options.chunk_size)
        self._pace = Pace(self._chunk_size)
        self._queue_length = 0
        self._behind = 0
        self._total: int | None = None

    def run(self, find: Find, select: Callable[[Sequence[str]], Sequence[str]] | None = None) -> BulkResult:
        """Find the jobs, and do those of them that `select` picks; return the result.

        Whatever ends the call before, also a KeyboardInterrupt, has the result until then as its attribute `result`.
        """
        begun = time.monotonic()
        try:
            job_ids, self._total = find()
            ids = iter(job_ids)
            while group := list(islice(ids, self._group_size())):
                if not self._do_group(group, group if select is None else select(group)):
                    break
        except BaseException as error:
            self.result.seconds = time.monotonic() - begun
            error.result = self.result  # type: ignore[attr-defined]
            raise
        self.result.seconds = time.monotonic() - begun
        return self.result

    # ---- Groups

    def _group_size(self) -> int:
        if self._script is not None and self._script.empties_queues and not self.result.dry_run:
            self._queue_length = length_of(self._connection, self._queue_key(self._registry.name))
        if self._queue_length <= SHORT_QUEUE:
            return _GROUP
        return max(_GROUP, min(self._queue_length // _QUEUE_PER_GROUP, _LARGEST_GROUP))

    def _do_group(self, group: Sequence[str], selected: Sequence[str]) -> bool:
        """Do some jobs; return whether to go on."""
        before = self._behind
        unique = list(dict.fromkeys(selected))
        # What is given twice is not there any more the second time.
        self.result.missing += len(selected) - len(unique)
        for handled in self._do_jobs(unique):
            self._behind = before + min(handled, len(group))
            # The last chunk's part is told with the rest of the group.
            if handled < len(unique) and not self._goes_on():
                return False
        self._behind = before + len(group)
        return self._goes_on()

    def _goes_on(self) -> bool:
        if self._progress is not None and self._progress(self._behind, self._total) is False:
            self.result.stopped = True
        return not self.result.stopped

    def _do_jobs(self, job_ids: list[str]) -> Iterator[int]:
        """Do the jobs, a chunk after the other; yield how many are behind."""
        if self._script is None:
            yield from self._do_all_by_rq(job_ids)
            return
        queue_key, marks = '', {}
        if self._queue_length > SHORT_QUEUE:
            queue_key = self._queue_key(self._registry.name)
            found = self._find_in_queue(queue_key, job_ids)
            if found is None:
                yield from self._do_all_by_rq(job_ids)
                return
            marks = found
        unlooked: list[str] = []
        for handled in self._do_by_script(job_ids, queue_key, marks, unlooked):
            yield handled - len(unlooked)
        handled = len(job_ids) - len(unlooked)
        for name, ids in self._by_origin(unlooked).items():
            queue_key = self._queue_key(name)
            found = self._find_in_queue(queue_key, ids)
            again: list[str] = []
            if found is None:
                again = ids
            else:
                for count in self._do_by_script(ids, queue_key, found, again):
                    yield handled + count
            # Their origin has changed in this moment, or nobody may look through their queue.
            for job_id in again:
                self._do_one_by_rq(job_id)
            handled += len(ids)

    def _find_in_queue(self, queue_key: str, job_ids: list[str]) -> dict[str, str] | None:
        """Return which of the jobs are in a long queue; None where the user may not read it, which RQ does not."""
        try:
            return find_in_queue(self._connection, queue_key, job_ids)
        except Exception as error:
            if not is_denied(error):
                raise
            return None

    def _by_origin(self, job_ids: Sequence[str]) -> dict[str, list[str]]:
        """Return the jobs by the name of the queue they belong to. One round trip."""
        commands = [(VALUE, 'HGET', Job.key_for(job_id), 'origin') for job_id in job_ids]
        grouped: dict[str, list[str]] = {}
        for job_id, origin in zip(job_ids, ask(self._connection, commands) if commands else [], strict=True):
            grouped.setdefault((origin or b'').decode(), []).append(job_id)
        return grouped

    @staticmethod
    def _queue_key(name: str) -> str:
        return f'{Queue.redis_queue_namespace_prefix}{name}'

    # ---- By a script

    def _do_by_script(
        self, job_ids: list[str], queue_key: str, marks: dict[str, str], unlooked: list[str]
    ) -> Iterator[int]:
        """Do the jobs; append those to `unlooked` that may be in a long queue that nobody has looked through."""
        begun = 0
        while begun < len(job_ids):
            chunk = job_ids[begun : begun + self._pace.size]
            if self._script is None or not _PLAIN_ID.fullmatch(chunk[0]):
                self._do_one_by_rq(chunk[0])
                begun += 1
            else:
                begun += self._run_script(chunk[: _plain_ids(chunk)], queue_key, marks, unlooked)
            yield begun

    def _run_script(self, chunk: list[str], queue_key: str, marks: dict[str, str], unlooked: list[str]) -> int:
        """Do as many jobs as the script comes to, and those it leaves to RQ; return how many."""
        assert self._script is not None
        arguments = self._script.arguments(self._registry, SCRIPT_MICROSECONDS, self.result.dry_run, queue_key)
        marked = [marks.get(job_id, '') + job_id for job_id in chunk] if marks else chunk
        try:
            answer = run_script(self._connection, self._script.name, [self._registry.key], (*arguments, *marked))
        except Exception as error:
            # Or the client has begun to change what it is given.
            to_raise = None if isinstance(error, NotSent) else error_to_raise(error)
            if to_raise is not None:
                raise to_raise from None
            self._script = None
            for job_id in chunk:
                self._do_one_by_rq(job_id)
            return len(chunk)
        handled, microseconds = answer[:2]
        self._pace.learn(handled, microseconds)
        notes = list(zip(answer[2::2], answer[3::2], strict=True))
        if any(type(code) is bytes for _, code in notes):
            handled, notes = self._tell(chunk, notes)
        self.result.done += handled - len(notes)
        for place, code in notes:
            self._note(chunk[place], code, unlooked)
        return int(handled)

    def _tell(self, chunk: list[str], notes: list[tuple[int, Any]]) -> tuple[int, list[tuple[int, int]]]:
        """Let the script be told what it wants to know; return how many jobs are done, and what it said of these.

        What it cannot be told of the next job leaves that to RQ.
        """
        assert self._script is not None
        answers = {place: self._script.learn(wanted) for place, wanted in notes if type(wanted) is bytes}
        handled = min(answers)
        before = [(place, code) for place, code in notes if place < handled]
        if answers[handled]:
            return handled, before
        return handled + 1, [*before, (handled, _FOR_RQ)]

    def _note(self, job_id: str, code: int, unlooked: list[str]) -> None:
        if code == _NOT_IN_REGISTRY:
            self.result.missing += 1
        elif code == _NO_SUCH_JOB:
            self.result.skipped[NO_SUCH_JOB] += 1
        elif code == _ALREADY_CANCELED:
            self.result.skipped[ALREADY_CANCELED] += 1
        elif code == _QUEUE_UNKNOWN:
            unlooked.append(job_id)
        else:
            self._do_one_by_rq(job_id)

    # ---- By RQ

    def _do_all_by_rq(self, job_ids: list[str]) -> Iterator[int]:
        size = self._chunk_size or _FIRST
        for begun in range(0, len(job_ids), size):
            for job_id in job_ids[begun : begun + size]:
                self._do_one_by_rq(job_id)
            yield min(begun + size, len(job_ids))

    def _do_one_by_rq(self, job_id: str) -> None:
        try:
            self._do_by_rq(job_id)
        except by_rq.NotInRegistry:
            self.result.missing += 1
        except NoSuchJobError:
            self.result.skipped[NO_SUCH_JOB] += 1
        except by_rq.AlreadyCanceled:
            self.result.skipped[ALREADY_CANCELED] += 1
        except Exception as error:
            if not by_rq.is_of_the_job(error) or by_rq.is_of_the_registry(self._registry, error):
                raise
            self.result.failed.append((job_id, error))
        else:
            self.result.done += 1
            self.result.by_rq += 1


class EntryRemoval(Bulk):
    """A call that removes entries and touches no jobs: ZREM does it."""

    def __init__(self, registry: Any, options: Options) -> None:
        super().__init__(registry, options, None, registry.remove)
        self._members = Members(registry)

    def _do_jobs(self, job_ids: list[str]) -> Iterator[int]:
        size = self._chunk_size or _ENTRIES
        for begun in range(0, len(job_ids), size):
            chunk = job_ids[begun : begun + size]
            done = self._count(chunk) if self.result.dry_run else self._remove(chunk)
            self.result.done += done
            self.result.missing += len(chunk) - done
            yield begun + len(chunk)

    def _remove(self, chunk: list[str]) -> int:
        (removed,) = ask(self._connection, [(INTEGER, 'ZREM', self._registry.key, *chunk)])
        return int(removed)

    def _count(self, chunk: list[str]) -> int:
        return sum(self._members.contain(chunk))


def _plain_ids(job_ids: list[str]) -> int:
    """Return how many of the ids come before one that only RQ has words for."""
    # One look at all of them is a fifth of the time of one at each.
    joined = ' '.join(job_ids)
    if _PLAIN_IDS.fullmatch(joined) and joined.count(' ') == len(job_ids) - 1:
        return len(job_ids)
    return next((n for n, job_id in enumerate(job_ids) if not _PLAIN_ID.fullmatch(job_id)), len(job_ids))
