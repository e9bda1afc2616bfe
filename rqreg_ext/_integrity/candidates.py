"""Candidates: possible problems, which are read twice before they are reported.

Other clients write while we read, and RQ itself moves a job in several steps. So each candidate reads all its evidence
twice, some seconds apart. If both reads gave the same, the evidence is taken to be consistent, and not a moment in the
middle of a move. (A change that is undone between the two reads goes unnoticed.) Only plain reads are sent: they work
on replicas, and for users without the right to EVAL.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .._fastpath.exchange import Command
from .._fastpath.rq_keys import name_of_unread
from .._fastpath.server_errors import is_wrong_type, note_key
from .._query.chunks import chunks_of
from .lists import NOWHERE, Occurrences, find_in_list
from .problems import Problem
from .reader import ChunkReader

# Replaces the reply to a command on a key of another type.
WRONG_TYPE = 'WRONGTYPE'
# Replaces the reply if the key cannot be read for another reason: the user has no right to, for example.
UNREADABLE = object()
# How many candidates are read in one round trip, or a few.
_PAGE = 500


class ListLookup(NamedTuple):
    """A search for a job in a list or a registry of started jobs, which takes reading all of it."""

    key: str
    job_id: str


class LookupResults(NamedTuple):
    """The results of the ListLookups, in lists and in registries of started jobs."""

    in_lists: Mapping[ListLookup, Occurrences]
    started: Mapping[ListLookup, tuple[tuple[str, float], ...]]

    def in_list(self, key: str, job_id: str) -> Occurrences:
        """Return how often the job is in the list, and where."""
        return self.in_lists.get(ListLookup(key, job_id), NOWHERE)

    def entries(self, key: str, job_id: str) -> tuple[tuple[str, float], ...]:
        """Return the entries of the job in the registry of started jobs, as (member, score)."""
        return self.started.get(ListLookup(key, job_id), ())


class Candidate(ABC):
    """A possible problem. Equal candidates are read once."""

    @abstractmethod
    def commands(self) -> list[Command]:
        """Return the commands that read the evidence."""

    def lookups(self) -> tuple[list[ListLookup], list[ListLookup]]:
        """Return the lookups in lists, and those in registries of started jobs, that the evidence needs too."""
        return [], []

    def evidence(self, replies: Sequence[Any], _: LookupResults) -> Any:
        """Return the evidence, which is compared between the two reads."""
        return tuple(replies)

    @abstractmethod
    def diagnose(self, evidence: Any) -> Problem | None:
        """Return the problem that the evidence shows, or None."""


def confirm(reader: ChunkReader, candidates: Iterable[Candidate], settle: float) -> Iterator[Problem]:
    """Yield the problems among the candidates, reading each twice, `settle` seconds apart."""
    first = {
        candidate: evidence
        for candidate, evidence in _read(reader, list(dict.fromkeys(candidates)))
        if candidate.diagnose(evidence) is not None
    }
    if not first:
        return
    time.sleep(settle)
    for candidate, evidence in _read(reader, list(first)):
        if evidence == first[candidate]:
            problem = candidate.diagnose(evidence)
            if problem is not None:
                yield problem


def _read(reader: ChunkReader, candidates: Sequence[Candidate]) -> Iterator[tuple[Candidate, Any]]:
    """Yield the candidates with their evidence, without those of which a part cannot be read."""
    results, unreadable = _look_up(reader, candidates)
    candidates = [
        candidate
        for candidate in candidates
        if unreadable.isdisjoint(lookup.key for lookups in candidate.lookups() for lookup in lookups)
    ]
    for page in chunks_of(candidates, _PAGE):
        commands = [candidate.commands() for candidate in page]
        replies = iter(reader.replies([command for of_candidate in commands for command in of_candidate]))
        for candidate, of_candidate in zip(page, commands, strict=True):
            values = [_value_of(reader, command, next(replies)) for command in of_candidate]
            if not any(value is UNREADABLE for value in values):
                yield candidate, candidate.evidence(values, results)


def _look_up(reader: ChunkReader, candidates: Iterable[Candidate]) -> tuple[LookupResults, set[str]]:
    """Return the results of the lookups, and the keys that cannot be read."""
    in_lists: dict[str, set[str]] = defaultdict(set)
    in_started: dict[str, set[str]] = defaultdict(set)
    for candidate in candidates:
        for job_ids_of, lookups in zip((in_lists, in_started), candidate.lookups(), strict=True):
            for key, job_id in lookups:
                job_ids_of[key].add(job_id)
    occurrences: dict[ListLookup, Occurrences] = {}
    started: dict[ListLookup, tuple[tuple[str, float], ...]] = {}
    unreadable: set[str] = set()
    for key, job_ids in in_lists.items():
        try:
            occurrences |= {ListLookup(key, job_id): at for job_id, at in find_in_list(reader, key, job_ids).items()}
        except Exception as error:
            _note_unreadable(reader, key, error)
            unreadable.add(key)
    for key, job_ids in in_started.items():
        try:
            started |= _find_started(reader, key, job_ids)
        except Exception as error:
            _note_unreadable(reader, key, error)
            unreadable.add(key)
    return LookupResults(occurrences, started), unreadable


def _find_started(reader: ChunkReader, key: str, job_ids: set[str]) -> dict[ListLookup, tuple[tuple[str, float], ...]]:
    started: dict[ListLookup, tuple[tuple[str, float], ...]] = {}
    for entries in reader.entries_of(key):
        for member, score in entries:
            lookup = ListLookup(key, member.partition(':')[0])
            if lookup.job_id in job_ids:
                started[lookup] = (*started.get(lookup, ()), (member, score))
    return started


def _note_unreadable(reader: ChunkReader, key: str, error: Exception) -> None:
    """Add the error of a key that cannot be read to reader.errors. Raises errors that are not about one queue."""
    reader.note_error(name_of_unread(key), note_key(error, key))


def _value_of(reader: ChunkReader, command: Command, reply: Any) -> Any:
    """Return the reply, or WRONG_TYPE or UNREADABLE for an error about the key. Raises any other error."""
    if isinstance(reply, Exception):
        if is_wrong_type(reply):
            return WRONG_TYPE
        _note_unreadable(reader, command[2], reply)
        return UNREADABLE
    return reply
