"""purge(keep_newest=N): which jobs are the newest, and which of the others to delete."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from heapq import nlargest
from typing import Any

from .._fastpath.dispatch import reads_entries
from .._fastpath.rq_keys import FAILED, FINISHED, registry_kind_of
from .._query.chunks import chunks_of
from .._query.filters import NO_KNOWN_END, Filters
from .._query.listing import cursor_of, listed_in_bounds, parser_of
from .._query.rows import EVERY_JOB_HAS, Row, Rows

# How many jobs are looked at in one round trip.
_CHUNK = 1000


def newest_of(registry: Any, selection: Filters, keep: int) -> NewestByEnd | NewestByScore:
    """Return what selects the jobs that match, but for the newest."""
    if registry_kind_of(registry) in (FINISHED, FAILED):
        return NewestByEnd(registry, selection, keep)
    return NewestByScore(registry, selection, keep)


class _Newest:
    """Keeps the newest of the jobs that match.

    Attributes:
        selection: The filters with which the entries are read, after find().
    """

    def __init__(self, registry: Any, selection: Filters, keep: int) -> None:
        self.selection = selection
        self._registry = registry
        self._keep = keep
        self._kept: set[str] = set()


class NewestByEnd(_Newest):
    """Keeps the jobs that ended last. Their order by score is another one where jobs have different TTLs."""

    def __init__(self, registry: Any, selection: Filters, keep: int) -> None:
        super().__init__(registry, selection, keep)
        # The end of the oldest job that is kept, if there are more jobs than that. No job that ended later is selected:
        # it may have come after find().
        self._oldest = b''

    def find(self) -> None:
        """Find the newest jobs. Two round trips per _CHUNK jobs, and one more if an end is only known from results."""
        rows = Rows(self._registry)
        end_of = rows.end()
        test = self.selection.test(rows)
        # By id: a job that ends again meanwhile may be read twice.
        ends: dict[str, bytes] = {}
        for job_ids in chunks_of(_ids(self._registry, self.selection), _CHUNK):
            for job_id, row in rows.matching(self.selection.select(job_ids), test):
                end = end_of(row)
                if end:
                    ends[job_id] = max(end, ends.get(job_id, b''))
            # One job too many: it shows below that some are not among the newest.
            if len(ends) > 2 * self._keep + _CHUNK:
                ends = _latest(ends, self._keep + 1)
        newest = _latest(ends, self._keep)
        self._kept = set(newest)
        self._oldest = min(newest.values()) if len(ends) > self._keep else b''

    def matching(self, job_ids: Sequence[str], unknown: Counter[str]) -> list[str]:
        """Return those of the ids that match and are not kept; count in `unknown` those whose end is unknown."""
        rows = Rows(self._registry)
        rows.column(EVERY_JOB_HAS)
        end_of = rows.end()
        test = self.selection.test(rows)

        def is_older(row: Row) -> bool | str:
            answer = test(row)
            # The entries of jobs that are gone are removed, if the filters select them.
            if answer is False or not any(row):
                return answer
            end = end_of(row)
            if not end:
                return NO_KNOWN_END
            return answer if end <= self._oldest else False

        selected = self.selection.select(job_ids)
        found = rows.matching(selected, is_older, unknown) if selected else []
        return [job_id for job_id, _ in found if job_id not in self._kept]


def _latest(ends: Mapping[str, bytes], count: int) -> dict[str, bytes]:
    """Return the jobs that ended last, with their ends."""
    return dict(nlargest(count, ends.items(), key=lambda job: (job[1], job[0])))


class NewestByScore(_Newest):
    """Keeps the jobs with the highest scores: in these registries, they came or are due last."""

    def find(self) -> None:
        """Find the newest jobs. Two round trips per _CHUNK entries, until enough match."""
        registry: Any = self._registry
        low, high = self.selection.min_score, self.selection.max_score
        listed = None if reads_entries(registry) else frozenset(registry.get_job_ids(cleanup=False))
        newest = -float('inf')
        rows = Rows(registry)
        rows.column(EVERY_JOB_HAS)
        test = self.selection.test(rows)
        for chunk in chunks_of(registry.iter_entries(_CHUNK, desc=True, min_score=low, max_score=high), _CHUNK):
            scores = {job_id: score for job_id, score in chunk if listed is None or job_id in listed}
            for job_id, row in rows.matching(self.selection.select(scores), test):
                if not any(row):
                    continue
                self._kept.add(job_id)
                newest = scores[job_id]
                if len(self._kept) == self._keep:
                    self._read_up_to(newest)
                    return
        self._read_up_to(newest)

    def _read_up_to(self, score: float) -> None:
        """Select no entry with a higher score: it may have come after find()."""
        self.selection = copy.copy(self.selection)
        self.selection.max_score = score

    def matching(self, job_ids: Sequence[str], unknown: Counter[str]) -> list[str]:
        """Return those of the ids that match and are not kept."""
        selected = [job_id for job_id in job_ids if job_id not in self._kept]
        return self.selection.matching(self._registry, selected, unknown)


def _ids(registry: Any, selection: Filters) -> Iterable[str]:
    """Return the ids of the jobs within the bounds on scores."""
    low, high = selection.min_score, selection.max_score
    if not reads_entries(registry):
        return listed_in_bounds(registry, low, high, cleanup=False)
    parse = parser_of(registry)
    members = (member for chunk in cursor_of(registry, _CHUNK, False, low, high).member_chunks() for member in chunk)
    return members if parse is None else map(parse, members)
