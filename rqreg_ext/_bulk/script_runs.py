"""The runs of a script on one chunk of jobs after the other: what it is told of each job, and what it answers."""

from __future__ import annotations

import re
from enum import IntEnum
from string import ascii_letters, digits
from typing import Any, NamedTuple

from rq.job import Job

from .._fastpath import requeued_job
from .._fastpath.clients.support import answers_unchanged, client_refused
from .._fastpath.exchange import ClientRefusedError, ask, run_script
from .._fastpath.server_errors import error_to_raise
from .._query.chunks import chunks_of
from .chunk_sizer import SCRIPT_MICROSECONDS, ChunkSizer
from .replicas import ReplicaWait
from .scripts import DATA_IS_COMPRESSED, Script

# How many jobs with long data are read in one round trip. Some clients hold all of the replies in memory.
_LONG_AT_ONCE = 100

# The ids that scripts accept. RQ before 2.7 allows others too.
_PLAIN_ID = re.compile('[A-Za-z0-9_-]+')
_IN_PLAIN_ID = f'{ascii_letters}{digits}_-'.encode()


class JobCode(IntEnum):
    """Why many_jobs.inc.lua did not do a job: the codes that it returns."""

    NOT_IN_REGISTRY = 0
    FOR_RQ = 1
    NO_SUCH_JOB = 2
    QUEUE_UNKNOWN = 3
    ALREADY_CANCELED = 4
    DATA_UNKNOWN = 5


class ScriptRefusedError(Exception):
    """The server refuses the script, so that nothing was done: RQ's methods do the jobs."""


class ScriptAnswer(NamedTuple):
    """What a script did with a chunk of jobs.

    Attributes:
        processed: How many of the jobs it processed, which are the first ones.
        notes: The index of each of these that it did not do, and a JobCode; or metadata to be read.
    """

    processed: int
    notes: list[tuple[int, Any]]


class ScriptRuns:
    """Runs a script on chunks of jobs, and finds out for it what it cannot know of a job.

    Attributes:
        sizer: How many jobs the next run gets.
        compressed: By job id, DATA_IS_COMPRESSED for each job whose long data RQ would write back unchanged.
        was_resent: Whether the last run was sent again after a lost connection, and may have been done twice.
    """

    def __init__(self, registry: Any, dry_run: bool, chunk_size: int | None, replica_wait: ReplicaWait) -> None:
        self._registry = registry
        self._connection = registry.connection
        self._dry_run = dry_run
        self._replica_wait = replica_wait
        self.sizer = ChunkSizer(chunk_size)
        self.compressed: dict[str, str] = {}
        self.was_resent = False
        self._has_compared_answers = False

    def run(self, script: Script, job_ids: list[str], marked_ids: list[str], known_queue: str) -> ScriptAnswer:
        """Run the script once.

        Args:
            script: The script.
            job_ids: The ids of the jobs, all of them plain.
            marked_ids: The same with what the script is told of each job.
            known_queue: The key of a long queue that was searched for the jobs, or ''.

        Raises:
            ScriptRefusedError: The server refuses the script.
            ClientRefusedError: The client has begun to change commands.
            redis.exceptions.RedisError: An error that affects all jobs.
        """
        arguments = script.arguments(self._registry, SCRIPT_MICROSECONDS, self._dry_run, known_queue)
        try:
            self.was_resent = False
            self._require_answers(job_ids[0])
            answer = run_script(
                self._connection,
                script.name,
                [self._registry.key],
                arguments,
                (*script.values_before_ids(), *marked_ids),
                on_resent=self._note_resent,
                then=self._replica_wait.commands(),
            )
            processed, microseconds, notes = _read_answer(answer, len(job_ids))
        except ClientRefusedError:
            raise
        except Exception as error:
            if not isinstance(error, _NotAnAnswer) and (to_raise := error_to_raise(error)) is not None:
                raise to_raise from None
            raise ScriptRefusedError from error
        self.sizer.adjust(processed, microseconds)
        return ScriptAnswer(processed, notes)

    def add_missing_facts(self, script: Script, job_ids: list[str], answer: ScriptAnswer) -> ScriptAnswer:
        """Read what the script asked for: the metadata of jobs, or whether their long data is compressed.

        Return the answer up to the first such job. If only RQ can do that job, it is left to RQ's method and counts as
        processed.
        """
        processed, notes = answer
        if not notes and not self.compressed:
            return answer
        if any(type(code) is bytes or code == JobCode.DATA_UNKNOWN for _, code in notes):
            was_learned = {index: script.learn_metadata(code) for index, code in notes if type(code) is bytes}
            long = {index: job_ids[index] for index, code in notes if code == JobCode.DATA_UNKNOWN}
            was_learned |= dict(zip(long, self._have_compressed_data(list(long.values())), strict=True))
            processed = min(was_learned)
            notes = [(index, code) for index, code in notes if index < processed]
            if not was_learned[processed]:
                notes.append((processed, JobCode.FOR_RQ))
                processed += 1
        if self.compressed:
            for job_id in self.compressed.keys() & set(job_ids[:processed]):
                del self.compressed[job_id]
        return ScriptAnswer(processed, notes)

    def _note_resent(self) -> None:
        self.was_resent = True

    def _require_answers(self, job_id: str) -> None:
        """Raise ClientRefusedError if a wrapped client changes what RQ would read of the first job."""
        if not self._has_compared_answers:
            if not answers_unchanged(self._connection, Job.key_for(job_id)):
                raise client_refused(self._connection, 'a script')
            self._has_compared_answers = True

    def _have_compressed_data(self, job_ids: list[str]) -> list[bool]:
        """Return whether RQ would write the data of each job back as it is, and remember it.

        The data is too long for the script: reading it there takes several times as long, and holds the server. One
        round trip per _LONG_AT_ONCE jobs.
        """
        found: list[bool] = []
        for page in chunks_of(job_ids, _LONG_AT_ONCE):
            found += ask(self._connection, [(_is_compressed, 'HGET', Job.key_for(job_id), 'data') for job_id in page])
        self.compressed.update(
            (job_id, DATA_IS_COMPRESSED) for job_id, is_compressed in zip(job_ids, found, strict=True) if is_compressed
        )
        return found


class _NotAnAnswer(Exception):
    """What answers scripts is not a Redis, and says so in no error."""


def _is_compressed(data: Any) -> bool:
    return isinstance(data, bytes) and requeued_job.is_compressed(data)


def _read_answer(answer: Any, count: int) -> tuple[int, int, list[tuple[int, Any]]]:
    """Return how many of the jobs a script has processed, in how many microseconds, and the notes on them."""
    if not isinstance(answer, list) or len(answer) < 2 or len(answer) % 2:
        raise _NotAnAnswer(answer)
    processed, microseconds, *noted = answer
    if type(processed) is not int or type(microseconds) is not int or not 0 < processed <= count:
        raise _NotAnAnswer(answer)
    if not noted:
        return processed, microseconds, []
    notes = list(zip(noted[::2], noted[1::2], strict=True))
    if not all(type(index) is int and 0 <= index < processed for index, _ in notes):
        raise _NotAnAnswer(answer)
    return processed, microseconds, notes


def count_leading_plain(job_ids: list[str]) -> int:
    """Return how many ids come before the first one that must be left to RQ."""
    # One translate() of all ids takes an eighth of the time of a regex match on each.
    joined = ' '.join(job_ids)
    if joined.isascii() and all(job_ids):
        others = joined.encode().translate(None, _IN_PLAIN_ID)
        if others == b' ' * (len(job_ids) - 1):
            return len(job_ids)
    return next((n for n, job_id in enumerate(job_ids) if not _PLAIN_ID.fullmatch(job_id)), len(job_ids))
