"""Looking a second time at what seems wrong: others write while we read, and RQ itself moves jobs in several steps.

What is suspected is looked at twice, some time apart, with everything that its judgement rests on. Where both looks saw
the same, all of it was true at one moment between them, as if it had been read atomically, and it is not merely in
progress. Plain reads do it: on replicas too, and for users who may not EVAL.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..._exchange import Command
from ..._rights import is_of_a_key
from .lists import NOWHERE, Occurrences, find_in_list
from .places import name_of_unread
from .problems import Problem
from .reader import Reader

# What stands for the reply to a command on a key that holds something else.
WRONG_TYPE = 'WRONGTYPE'
# And for that on a key which the user may not read.
UNREAD = object()
# Suspicions that are looked at in one round trip, or a few.
_BATCH = 500


class Search(NamedTuple):
    """A job that is looked for where no command finds it without reading everything."""

    key: str
    job_id: str


class Found(NamedTuple):
    """What a look through lists and through registries of started jobs came upon."""

    in_lists: Mapping[Search, Occurrences]
    started: Mapping[Search, tuple[tuple[str, float], ...]]

    def in_list(self, key: str, job_id: str) -> Occurrences:
        """Return how often the job is in the list."""
        return self.in_lists.get(Search(key, job_id), NOWHERE)

    def entries(self, key: str, job_id: str) -> tuple[tuple[str, float], ...]:
        """Return the job's entries in the registry of started jobs, with their scores."""
        return self.started.get(Search(key, job_id), ())


class Suspicion(ABC):
    """Something that seems wrong. Equal suspicions are one."""

    @abstractmethod
    def commands(self) -> list[Command]:
        """Return the commands whose replies it is judged by."""

    def searches(self) -> tuple[list[Search], list[Search]]:
        """Return what has to be looked for in lists, and in registries of started jobs."""
        return [], []

    def evidence(self, replies: Sequence[Any], _: Found) -> Any:
        """Return what was seen, to be compared with what the other look saw."""
        return tuple(replies)

    @abstractmethod
    def judge(self, evidence: Any) -> Problem | None:
        """Return what is wrong, if anything is."""


def confirm(reader: Reader, suspicions: Iterable[Suspicion], settle: float) -> Iterator[Problem]:
    """Yield the problems among the suspicions, looking twice with `settle` seconds between."""
    first = {
        suspicion: evidence
        for suspicion, evidence in _look(reader, list(dict.fromkeys(suspicions)))
        if suspicion.judge(evidence) is not None
    }
    if not first:
        return
    time.sleep(settle)
    for suspicion, evidence in _look(reader, list(first)):
        if evidence == first[suspicion]:
            problem = suspicion.judge(evidence)
            if problem is not None:
                yield problem


def _look(reader: Reader, suspicions: Sequence[Suspicion]) -> Iterator[tuple[Suspicion, Any]]:
    """Yield the suspicions with what was seen; those are left out of which the user may not read everything."""
    found, unread = _search(reader, suspicions)
    suspicions = [
        one for one in suspicions if unread.isdisjoint(search.key for each in one.searches() for search in each)
    ]
    for start in range(0, len(suspicions), _BATCH):
        batch = suspicions[start : start + _BATCH]
        commands = [suspicion.commands() for suspicion in batch]
        replies = iter(reader.replies([command for of_one in commands for command in of_one]))
        for suspicion, of_one in zip(batch, commands, strict=True):
            seen = [_checked(reader, command, next(replies)) for command in of_one]
            if not any(reply is UNREAD for reply in seen):
                yield suspicion, suspicion.evidence(seen, found)


def _search(reader: Reader, suspicions: Iterable[Suspicion]) -> tuple[Found, set[str]]:
    """Return what was found, and the keys that the user may not read."""
    in_lists: dict[str, set[str]] = defaultdict(set)
    in_started: dict[str, set[str]] = defaultdict(set)
    for suspicion in suspicions:
        for wanted, searches in zip((in_lists, in_started), suspicion.searches(), strict=True):
            for key, job_id in searches:
                wanted[key].add(job_id)
    occurrences: dict[Search, Occurrences] = {}
    started: dict[Search, tuple[tuple[str, float], ...]] = {}
    unread: set[str] = set()
    for key, job_ids in in_lists.items():
        try:
            occurrences |= {Search(key, job_id): at for job_id, at in find_in_list(reader, key, job_ids).items()}
        except Exception as error:
            _note_unread(reader, key, error)
            unread.add(key)
    for key, job_ids in in_started.items():
        try:
            started |= _find_started(reader, key, job_ids)
        except Exception as error:
            _note_unread(reader, key, error)
            unread.add(key)
    return Found(occurrences, started), unread


def _find_started(reader: Reader, key: str, job_ids: set[str]) -> dict[Search, tuple[tuple[str, float], ...]]:
    started: dict[Search, tuple[tuple[str, float], ...]] = {}
    for entries in reader.entries_of(key):
        for member, score in entries:
            search = Search(key, member.partition(':')[0])
            if search.job_id in job_ids:
                started[search] = (*started.get(search, ()), (member, score))
    return started


def _note_unread(reader: Reader, key: str, error: Exception) -> None:
    """Note a key that the user may not read. Raises any other error."""
    if not is_of_a_key(error):
        raise error
    reader.errors.setdefault(name_of_unread(key), error)


def _checked(reader: Reader, command: Command, reply: Any) -> Any:
    """Return the reply. Raises the server's error, but for a key of another type, or that the user may not read."""
    if isinstance(reply, Exception):
        if str(reply).startswith(WRONG_TYPE):
            return WRONG_TYPE
        _note_unread(reader, command[2], reply)
        return UNREAD
    return reply
