"""restore(): jobs of a file in Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from rq.group import Group

from .._bulk.call import BulkCall
from .._bulk.result import BulkResult
from .._fastpath.dispatch import require_unchanged
from .._fastpath.exchange import INTEGER, VALUE, Command, ask, exchange, run_scripts
from .._fastpath.releases import release
from .._fastpath.rq_keys import (
    REGISTRIES,
    JobKeys,
    execution_key,
    executions_key,
    group_key,
    queue_key,
    queues_key,
    results_key,
)
from .._fastpath.server_errors import concerns_whole_server, error_to_raise, note_key
from .._query.chunks import chunks_of
from .files import InputFile
from .lines import DamagedFileError, ExportedJob, Value, check_header, read_line
from .reading import QUEUED, milliseconds

# Reasons why a job is skipped.
EXISTS = 'exists already'
EXPIRED = 'expired'

# The commands of restore_job.lua.
_HSET, _PEXPIREAT, _XADD, _SADD, _ZADD, _RPUSH = range(1, 7)
# How many arguments one command of the script has at most. Those of a hash are pairs.
_MOST_ARGUMENTS = 1000
# How many jobs are restored in a round trip at most, and octets of lines.
_CHUNK, _OCTETS = 1000, 2_000_000


class JobExistsError(Exception):
    """A job with this id exists already, and was left as it is."""


# Of all jobs: a file may have many that exist.
_JOB_EXISTS = JobExistsError('the job exists already')


class _Step(NamedTuple):
    """A job of the file, and what the script gets that restores it. It keeps nothing else of the line.

    Attributes:
        job_id: The id of the job.
        queue: The queue that it is restored to.
        registry: The name of its registry.
        expires: When its hash expires; None if it does not.
        keys: Those that must not exist; those that RQ before 3.0 leaves of a job that it deletes; others of the job.
        arguments: How many keys must not exist, how many are replaced, and the commands.
    """

    job_id: str
    queue: str
    registry: str
    expires: int | None
    keys: tuple[str, ...]
    arguments: tuple[Any, ...]

    @property
    def required(self) -> tuple[str, ...]:
        """The keys that must not exist."""
        return self.keys[: self.arguments[0]]


class _Prepared:
    """The chunks of an iterator, each of which can be made before it is asked for."""

    def __init__(self, chunks: Iterator[list[_Step]]) -> None:
        self._chunks = chunks
        self._next: list[_Step] | BaseException | None = None
        self._is_prepared = False

    def prepare(self) -> None:
        """Make the next chunk, if that was not done."""
        if not self._is_prepared:
            try:
                self._next = next(self._chunks, None)
            except BaseException as error:
                # An interruption too: the replies to the jobs that were sent are still to be counted.
                self._next = error
            self._is_prepared = True

    def take(self) -> list[_Step] | None:
        """Return the next chunk; None at the end. Raises what making it has raised."""
        self.prepare()
        self._is_prepared = False
        if isinstance(self._next, BaseException):
            raise self._next
        return self._next


class RestoreOperation:
    """A call of restore().

    Attributes:
        results: What was done until now, by the names of the queues.
        header: The header of the file.
    """

    def __init__(
        self,
        client: Any,
        job_class: Any,
        to_queue: str | None,
        skip_existing: bool,
        dry_run: bool,
        progress: Any,
    ) -> None:
        self.results: dict[str, BulkResult] = {}
        self.header: dict[str, Any] = {}
        self._client = client
        keys = JobKeys(job_class)
        # By the parts of a job.
        self._key_of: dict[str, Callable[[str], str]] = {
            'hash': keys.job,
            'results': results_key,
            'dependents': keys.dependents,
            'dependencies': keys.dependencies,
            'executions': executions_key,
        }
        self._to_queue = to_queue
        self._skip_existing = skip_existing
        self._dry_run = dry_run
        self._call = BulkCall(progress, dry_run)
        self._processed = 0
        self._was_resent = False
        self._listed: set[str] = set()
        require_unchanged(client, 'restore()', by_script=True)

    def run(self, file: InputFile) -> None:
        """Restore the jobs of a file. Raises DamagedFileError, OSError, and redis.exceptions.RedisError."""
        self._ahead = self._server_ahead()
        try:
            with self._call as call:
                self.header = check_header(file.first_line())
                self._prepared = _Prepared(self._chunks(file.lines()))
                while (steps := self._prepared.take()) is not None:
                    self._restore(steps)
                    self._processed += len(steps)
                    if not call.report(self._processed, None):
                        call.leave_rest()
                        break
        except DamagedFileError as error:
            raise file.damaged(error) from error
        finally:
            for result in self.results.values():
                # They are restored together.
                call.end(result)

    def _server_ahead(self) -> float:
        """Return how many milliseconds the server's clock is ahead of time.monotonic()."""
        (now,) = ask(self._client, [(VALUE, 'TIME')])
        return milliseconds(now) - time.monotonic() * 1000

    # ---- Reading

    def _chunks(self, lines: Iterator[bytes]) -> Iterator[list[_Step]]:
        """Yield the jobs of the file in chunks. Those before a line that is damaged are yielded before its error."""
        steps: list[_Step] = []
        octets = count = 0
        try:
            for line in lines:
                found = read_line(line)
                if isinstance(found, dict):
                    _check_end(found, count, next(lines, b''))
                    break
                steps.append(self._step(found))
                count += 1
                octets += len(line)
                if len(steps) == _CHUNK or octets > _OCTETS:
                    yield steps
                    steps, octets = [], 0
            else:
                raise DamagedFileError('the file ends after it, without a last line: it is cut off')
        except DamagedFileError:
            if steps:
                yield steps
            raise
        if steps:
            yield steps

    # ---- Writing

    def _restore(self, steps: Sequence[_Step]) -> None:
        now = time.monotonic() * 1000 + self._ahead
        kept = []
        for step in steps:
            result = self.results.setdefault(step.queue, BulkResult(dry_run=self._dry_run))
            if step.registry != QUEUED and step.registry not in REGISTRIES:
                result.failed.append((step.job_id, ValueError(f'the installed RQ has no {step.registry!r} registry')))
            elif step.expires is not None and step.expires < now:
                result.skipped[EXPIRED] += 1
            else:
                kept.append(step)
        replies = self._look(kept) if self._dry_run else self._run(kept)
        of_server = [reply for step, reply in zip(kept, replies, strict=True) if not self._note(step, reply)]
        if of_server:
            raise error_to_raise(of_server[0]) or of_server[0]

    def _look(self, steps: Sequence[_Step]) -> list[Any]:
        """Return what the script would."""
        commands: list[Command] = [(INTEGER, 'EXISTS', key) for step in steps for key in step.required]
        replies = iter(exchange(self._client, commands))
        found = []
        for step in steps:
            of_one = [next(replies) for _ in step.required]
            error = next((reply for reply in of_one if isinstance(reply, Exception)), None)
            found.append(error if error is not None else int(not any(of_one)))
        return found

    def _run(self, steps: Sequence[_Step]) -> list[Any]:
        self._was_resent = False
        calls = [('restore_job', step.keys, step.arguments) for step in steps]
        return run_scripts(self._client, calls, self._note_resent, self._after_first)

    def _after_first(self, reply: Any) -> Any:
        # The server is at work on the other jobs meanwhile.
        self._prepared.prepare()
        return reply

    def _note_resent(self) -> None:
        self._was_resent = True

    def _note(self, step: _Step, reply: Any) -> bool:
        """Count the job; return False if the server answers that to all."""
        result = self.results[step.queue]
        if isinstance(reply, Exception):
            if concerns_whole_server(reply):
                return False
            result.failed.append((step.job_id, note_key(reply, step.keys[0])))
        elif reply:
            result.done += 1
            self._listed.add(step.queue)
        elif self._was_resent:
            result.unconfirmed += 1
        elif self._skip_existing:
            result.skipped[EXISTS] += 1
        else:
            result.failed.append((step.job_id, _JOB_EXISTS))
        return True

    # ---- The script of a job

    def _step(self, job: ExportedJob) -> _Step:
        job_id, key_of = job.id, self._key_of
        queue = job.queue if self._to_queue is None else self._to_queue
        required, replaced, shared = [key_of['hash'](job_id)], list[str](), list[str]()
        words: list[Any] = []
        _add(words, _HSET, required[0], job.fields if self._to_queue is None else _with_origin(job.fields, queue))
        if job.results:
            key = key_of['results'](job_id)
            (required if release.deletes_results else replaced).append(key)
            for result_id, payload in job.results:
                words += (_XADD, 2 + len(payload), key, result_id, *payload)
        for part, members in (('dependents', job.dependents), ('dependencies', job.dependencies)):
            if members:
                # Other jobs write into these.
                shared.append(key_of[part](job_id))
                _add(words, _SADD, shared[-1], members)
        if job.executions:
            required += self._add_executions(words, job)
        if job.group is not None:
            words += (_SADD, 2, group_key(job.group), job_id)
            words += (_SADD, 2, Group.REDIS_GROUP_KEY, job.group)
        for part, moment in job.expires.items():
            words += (_PEXPIREAT, 2, key_of[part](job_id), moment)
        if queue not in self._listed:
            # Not before, as there may be no job that does not exist already.
            words += (_SADD, 2, queues_key(), queue_key(queue))
        if job.registry == QUEUED:
            words += (_RPUSH, 2, queue_key(queue), job_id)
        elif job.registry in REGISTRIES:
            entries = [word for entry, score in job.entries.items() for word in (score, entry)]
            _add(words, _ZADD, REGISTRIES[job.registry].key(queue), entries)
        keys, arguments = (*required, *replaced, *shared), (len(required), len(replaced), *words)
        return _Step(job_id, queue, job.registry, job.expires.get('hash'), keys, arguments)

    def _add_executions(self, words: list[Any], job: ExportedJob) -> list[str]:
        """Add the commands that restore the executions, and return their keys."""
        keys = [self._key_of['executions'](job.id)]
        for execution in job.executions:
            key = execution_key(job.id, execution.id)
            keys.append(key)
            words += (_ZADD, 3, keys[0], execution.score, execution.id)
            _add(words, _HSET, key, execution.fields)
            if execution.expires is not None:
                words += (_PEXPIREAT, 2, key, execution.expires)
        return keys


def _add(words: list[Any], command: int, key: str, arguments: Sequence[Any]) -> None:
    """Add commands with these arguments, in chunks that Lua can take."""
    if len(arguments) <= _MOST_ARGUMENTS:
        if arguments:
            words += (command, 1 + len(arguments), key, *arguments)
        return
    for chunk in chunks_of(arguments, _MOST_ARGUMENTS):
        words += (command, 1 + len(chunk), key, *chunk)


def _with_origin(fields: Sequence[Value], queue: str) -> list[Value]:
    """Return the fields of a job of this queue."""
    changed = list(fields)
    names = changed[::2]
    for name in ('origin', b'origin'):
        if name in names:
            changed[2 * names.index(name) + 1] = queue
    return changed


def _check_end(values: dict[str, Any], count: int, following: bytes) -> None:
    if values.get('jobs') != count:
        raise DamagedFileError(
            f'the file has {count} jobs, but says that it has {values.get("jobs")!r}: some are missing'
        )
    if following:
        raise DamagedFileError('the file goes on after its end: restore the parts one by one')
