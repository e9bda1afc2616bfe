"""An operation on many jobs that wait in a queue: its list takes the place of a registry's sorted set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from .._fastpath import releases
from .._fastpath.clients.support import sends_unchanged
from .._fastpath.dispatch import BulkDecision
from .._query.list_cursor import ListCursor, count_of
from .._query.queue_search import length_of
from .operation import BulkOperation, JobSteps
from .options import Options
from .scripts import Script

# How many entries are read at a time when jobs are searched.
_PAGE = 5000
# How often jobs are searched that have moved farther than the script has looked.
_TRIES = 3
_SMALLEST_PORTION, _LARGEST_PORTION, _QUEUE_PER_PORTION = 1000, 100_000, 4


class WaitingDecision(BulkDecision):
    """Whether a script may replace RQ's methods for jobs that wait."""

    def __init__(self, waiting: Any, guard: Any) -> None:
        super().__init__(waiting, guard)
        self._waiting = waiting
        self._own_guard = guard

    def holds(self) -> bool:
        """Return whether it may."""
        waiting = self._waiting
        return bool(
            releases.is_known
            and self._own_guard.holds()
            and type(waiting.key) is str
            and type(waiting.name) is str
            and sends_unchanged(waiting.connection)
        )

    def forget_client(self) -> None:
        """Do nothing: the client is asked each time."""


class WaitingOperation(BulkOperation):
    """One call that changes many jobs that wait.

    The places of jobs in the list are found by reading it: once for each portion of ids, or once for all jobs.
    """

    def __init__(self, waiting: Any, options: Options, guard: Any, steps: JobSteps, script: Script) -> None:
        super().__init__(waiting, options, WaitingDecision(waiting, guard), steps, script)
        # Counted from the tail.
        self._places: dict[str, int] = {}
        self._are_places_known = False
        # The portion of ids whose places were found.
        self._found_of: list[str] = []
        # What may have been done by a script whose reply was lost, so that it is in its place no more.
        self._perhaps_done: set[str] = set()

    def find_all(self) -> tuple[Iterable[str], int]:
        """Return the ids of all jobs that wait now, and their number. Their places are noted as they are read."""
        total = count_of(self._connection, self._registry.key)
        self._are_places_known = True
        # No more than there are now: jobs may be added during the call.
        return islice(self._listed(_SMALLEST_PORTION, is_removed=not self.result.dry_run), total), total

    def _listed(self, size: int, is_removed: bool = False) -> Iterator[str]:
        for page in ListCursor(self._connection, self._registry.key, size, is_removed=is_removed).pages():
            for member, place in zip(page.members, page.places, strict=True):
                self._places.setdefault(member, place)
            yield from page.members

    def _portion_size(self) -> int:
        self._processor.decide()
        if self._processor.script is None or self._are_places_known:
            return _SMALLEST_PORTION
        # The list is read for each portion.
        length = length_of(self._connection, self._registry.key)
        return max(_SMALLEST_PORTION, min(length // _QUEUE_PER_PORTION, _LARGEST_PORTION))

    def _do_jobs(self, job_ids: list[str]) -> Iterator[int]:
        self._processor.decide()
        if self._processor.script is None:
            yield from self._do_all_by_rq(job_ids)
            return
        if not self._are_places_known and self._found_of is not self._portion:
            # With a pace, only some jobs of a portion are processed at a time.
            self._find_places(self._portion)
            self._found_of = self._portion
        left = job_ids
        done = 0
        for _ in range(_TRIES):
            there = [job_id for job_id in left if job_id in self._places]
            self._note_absent(left)
            done += len(left) - len(there)
            moved: list[str] = []
            for chunk in self._do_by_script(there, '', {}):
                moved += chunk.not_searched
                if self._runs.was_resent and not self.result.dry_run:
                    self._perhaps_done.update(chunk.not_searched)
                done += chunk.processed - len(chunk.not_searched)
                yield done
            self._forget(there)
            if not moved:
                return
            self._find_places(moved)
            left = moved
        if not left:
            yield len(job_ids)
        for processed in self._do_all_by_rq(left):
            yield len(job_ids) - len(left) + processed

    def _note_absent(self, job_ids: Sequence[str]) -> None:
        """Count those of the jobs that do not wait."""
        for job_id in job_ids:
            if job_id in self._places:
                continue
            if job_id in self._perhaps_done:
                self.result.unconfirmed += 1
            else:
                self.result.missing += 1
        self._perhaps_done.clear()

    def _find_places(self, job_ids: Sequence[str]) -> None:
        """Find the places of these jobs. One round trip for each 5 000 entries."""
        wanted = set(job_ids)
        # Other jobs that were read with these keep theirs.
        self._forget(job_ids)
        for page in ListCursor(self._connection, self._registry.key, _PAGE).pages():
            for member, place in zip(page.members, page.places, strict=True):
                if member in wanted:
                    # RQ removes the entry that is nearer to the head.
                    self._places.setdefault(member, place)

    def _forget(self, job_ids: Iterable[str]) -> None:
        for job_id in job_ids:
            self._places.pop(job_id, None)

    def _marked(self, chunk: list[str], queue_ends: dict[str, str]) -> list[str]:
        return [f'{self._runs.compressed.get(job_id, "")}{self._places[job_id]} {job_id}' for job_id in chunk]
