"""restore(): jobs of a file in Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rq.group import Group

from .._bulk.call import Call
from .._bulk.result import BulkResult
from .._fastpath.dispatch import require_unchanged
from .._fastpath.exchange import INTEGER, VALUE, Command, ask, exchange, run_scripts
from .._fastpath.locations import (
    REGISTRIES,
    JobKeys,
    execution_key,
    executions_key,
    group_key,
    queue_key,
    queues_key,
    results_key,
)
from .._fastpath.releases import deletes_results
from .._fastpath.server_errors import concerns_whole_server, error_to_raise, note_key
from .._query.chunks import chunks_of
from .files import InputFile
from .lines import DamagedFile, ExportedJob, Value, check_header, read_line
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


class JobExists(Exception):
    """There is a job of this id: what it is was left as it is."""


# Of all jobs: a file may have many that exist.
_JOB_EXISTS = JobExists('the job exists already')


class _Step(NamedTuple):
    """A job of the file, and what the script gets that restores it.

    Attributes:
        job_id: The id of the job.
        result: Where it is counted.
        keys: The keys that must not exist.
        replaced: Keys that RQ before 3.0 leaves of a job that it deletes.
        shared: Keys of the job that may exist.
        arguments: The commands.
    """

    job_id: str
    result: BulkResult
    keys: list[str]
    replaced: list[str]
    shared: list[str]
    arguments: list[Value | int | float]


class Restore:
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
        self._keys = JobKeys(job_class)
        self._to_queue = to_queue
        self._skip_existing = skip_existing
        self._dry_run = dry_run
        self._call = Call(progress, dry_run)
        self._processed = 0
        self._was_resent = False
        self._listed: set[str] = set()
        require_unchanged(client, 'restore()', by_script=True)

    def run(self, file: InputFile) -> None:
        """Restore the jobs of a file. Raises DamagedFile, OSError, and redis.exceptions.RedisError."""
        self._ahead = self._server_ahead()
        try:
            with self._call as call:
                self.header = check_header(file.first_line())
                for jobs in self._chunks(file.lines()):
                    self._restore(jobs)
                    self._processed += len(jobs)
                    if not call.report(self._processed, None):
                        call.leave_rest()
                        break
        except DamagedFile as error:
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

    def _chunks(self, lines: Iterator[bytes]) -> Iterator[list[ExportedJob]]:
        """Yield the jobs of the file in chunks. Those before a line that is damaged are yielded before its error."""
        jobs: list[ExportedJob] = []
        octets = count = 0
        try:
            for line in lines:
                found = read_line(line)
                if isinstance(found, dict):
                    _check_end(found, count, next(lines, b''))
                    break
                jobs.append(found)
                count += 1
                octets += len(line)
                if len(jobs) == _CHUNK or octets > _OCTETS:
                    yield jobs
                    jobs, octets = [], 0
            else:
                raise DamagedFile('the file ends after it, without a last line: it is cut off')
        except DamagedFile:
            if jobs:
                yield jobs
            raise
        if jobs:
            yield jobs

    # ---- Writing

    def _restore(self, jobs: Sequence[ExportedJob]) -> None:
        now = time.monotonic() * 1000 + self._ahead
        steps = []
        for job in jobs:
            queue = job.queue if self._to_queue is None else self._to_queue
            result = self.results.setdefault(queue, BulkResult(dry_run=self._dry_run))
            if job.registry != QUEUED and job.registry not in REGISTRIES:
                result.failed.append((job.id, ValueError(f'the installed RQ has no {job.registry!r} registry')))
            elif job.expires.get('hash', now) < now:
                result.skipped[EXPIRED] += 1
            else:
                steps.append(self._step(job, queue, result))
                self._list_queue(queue)
        replies = self._look(steps) if self._dry_run else self._run(steps)
        of_server = [reply for step, reply in zip(steps, replies, strict=True) if not self._note(step, reply)]
        if of_server:
            raise error_to_raise(of_server[0]) or of_server[0]

    def _list_queue(self, queue: str) -> None:
        """Have RQ know the queue."""
        if queue not in self._listed and not self._dry_run:
            ask(self._client, [(INTEGER, 'SADD', queues_key(), queue_key(queue))])
        self._listed.add(queue)

    def _look(self, steps: Sequence[_Step]) -> list[Any]:
        """Return what the script would."""
        commands: list[Command] = [(INTEGER, 'EXISTS', key) for step in steps for key in step.keys]
        replies = iter(exchange(self._client, commands))
        found = []
        for step in steps:
            of_one = [next(replies) for _ in step.keys]
            error = next((reply for reply in of_one if isinstance(reply, Exception)), None)
            found.append(error if error is not None else int(not any(of_one)))
        return found

    def _run(self, steps: Sequence[_Step]) -> list[Any]:
        self._was_resent = False
        calls = [
            (
                'restore_job',
                (*step.keys, *step.replaced, *step.shared),
                (len(step.keys), len(step.replaced), *step.arguments),
            )
            for step in steps
        ]
        return run_scripts(self._client, calls, self._note_resent)

    def _note_resent(self) -> None:
        self._was_resent = True

    def _note(self, step: _Step, reply: Any) -> bool:
        """Count the job; return False if the server answers that to all."""
        result = step.result
        if isinstance(reply, Exception):
            if concerns_whole_server(reply):
                return False
            result.failed.append((step.job_id, note_key(reply, step.keys[0])))
        elif reply:
            result.done += 1
        elif self._was_resent:
            result.unconfirmed += 1
        elif self._skip_existing:
            result.skipped[EXISTS] += 1
        else:
            result.failed.append((step.job_id, _JOB_EXISTS))
        return True

    # ---- The script of a job

    def _step(self, job: ExportedJob, queue: str, result: BulkResult) -> _Step:
        keys = [self._keys.job(job.id)]
        replaced: list[str] = []
        if job.results:
            (keys if deletes_results else replaced).append(results_key(job.id))
        if job.executions:
            keys.append(executions_key(job.id))
            keys += [execution_key(job.id, execution.id) for execution in job.executions]
        # Other jobs write into these.
        shared = [self._keys.dependents(job.id)] if job.dependents else []
        if job.dependencies:
            shared.append(self._keys.dependencies(job.id))
        return _Step(job.id, result, keys, replaced, shared, self._commands(job, queue))

    def _commands(self, job: ExportedJob, queue: str) -> list[Value | int | float]:
        """Return the commands that restore the job, as the script takes them."""
        words: list[Any] = []
        keys = {
            'hash': self._keys.job(job.id),
            'results': results_key(job.id),
            'dependents': self._keys.dependents(job.id),
            'dependencies': self._keys.dependencies(job.id),
            'executions': executions_key(job.id),
        }
        fields = job.fields if self._to_queue is None else _with_origin(job.fields, queue)
        _add(words, _HSET, keys['hash'], fields)
        for result_id, payload in job.results:
            words += (_XADD, 2 + len(payload), keys['results'], result_id, *payload)
        _add(words, _SADD, keys['dependents'], job.dependents)
        _add(words, _SADD, keys['dependencies'], job.dependencies)
        for execution in job.executions:
            key = execution_key(job.id, execution.id)
            words += (_ZADD, 3, keys['executions'], execution.score, execution.id)
            _add(words, _HSET, key, execution.fields)
            if execution.expires is not None:
                words += (_PEXPIREAT, 2, key, execution.expires)
        if job.group is not None:
            words += (_SADD, 2, group_key(job.group), job.id)
            words += (_SADD, 2, Group.REDIS_GROUP_KEY, job.group)
        for name, moment in job.expires.items():
            words += (_PEXPIREAT, 2, keys[name], moment)
        if job.registry == QUEUED:
            words += (_RPUSH, 2, queue_key(queue), job.id)
        else:
            entries = [word for entry, score in job.entries.items() for word in (score, entry)]
            _add(words, _ZADD, REGISTRIES[job.registry].key(queue), entries)
        return words


def _add(words: list[Any], command: int, key: str, arguments: Sequence[Any]) -> None:
    """Add commands with these arguments, in chunks that Lua can take."""
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
        raise DamagedFile(f'the file has {count} jobs, but says that it has {values.get("jobs")!r}: some are missing')
    if following:
        raise DamagedFile('the file goes on after its end: restore the parts one by one')
