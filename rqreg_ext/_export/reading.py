"""Reading all that Redis holds of jobs, a chunk of them in one round trip, or two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .._bulk.result import BulkResult
from .._core import json_fields, json_string
from .._fastpath.exchange import ENTRIES, INTEGER, SCORE, VALUE, Command, exchange
from .._fastpath.rq_keys import JobKeys, execution_key, executions_key, group_key, results_key
from .._fastpath.server_errors import is_wrong_type, note_key
from .._query.filters import NO_SUCH_JOB
from .._query.hashes import names_and_values
from .lines import score_of

# Of every job.
_COMMANDS = 8


# In the place of the name of a registry, for the jobs that wait in a queue.
QUEUED = 'queued'


class ExportSource(NamedTuple):
    """A registry, or a queue.

    Attributes:
        queue: The name of the queue.
        name: The name of the registry; 'queued' for the queue itself.
        key: Its key.
        parse: Returns the job id of an entry; None if the entries are ids.
    """

    queue: str
    name: str
    key: str
    parse: Callable[[str], str] | None = None

    @property
    def is_list(self) -> bool:
        """Whether it is a list, and no sorted set."""
        return self.name == QUEUED


_TIME: Command = (VALUE, 'TIME')


class _Clock:
    """What the server's time was when it answered each command of a round trip, in milliseconds.

    It is asked before the first and after the last of them, and was in between for the others.
    """

    def __init__(self, first: Any, last: Any, count: int) -> None:
        self._first = milliseconds(first)
        self._step = (milliseconds(last) - self._first) / max(count, 1)

    def moment(self, number: int, left: int) -> int | None:
        """Return when a key expires that had `left` milliseconds left; None if it does not expire."""
        return None if left < 0 else round(self._first + self._step * number + left)


def milliseconds(time: Sequence[Any]) -> float:
    """Return the reply to TIME in milliseconds."""
    seconds, microseconds = time
    return int(seconds) * 1000 + int(microseconds) / 1000


class _Hash(NamedTuple):
    """The JSON of a job's hash, and the group that it names."""

    text: str
    group: str | None


def _hash_of(reply: Any) -> _Hash | None:
    # Called while the server executes the next commands.
    return _Hash(json_fields(reply), _group_of(reply)) if reply else None


def _group_of(reply: Any) -> str | None:
    """Return the group that a hash names."""
    names, values = names_and_values(reply)
    names = list(names)
    name: Any = b'group_id' if b'group_id' in names else 'group_id'
    if name not in names:
        return None
    group = list(values)[names.index(name)]
    return (group.decode(errors='replace') if isinstance(group, bytes) else group) or None


def _fields_of(reply: Any) -> str:
    return json_fields(reply) if reply else ''


def _results_of(reply: Any) -> str:
    if not reply:
        return ''
    found = [f'[{json_string(result_id)}, {json_fields(payload)}]' for result_id, payload in reversed(reply)]
    return f'[{", ".join(found)}]'


def _set_of(reply: Any) -> str:
    return f'[{", ".join(sorted(map(json_string, reply)))}]' if reply else ''


class _Job:
    """What was read of a job: the JSON of each of its parts, and when its keys expire, by what they hold."""

    __slots__ = ('entries', 'executions', 'expires', 'group', 'id', 'parts')

    def __init__(self, job_id: str, found: _Hash, replies: Sequence[Any]) -> None:
        self.id = job_id
        self.group = found.group
        _, _, results, _, dependents, dependencies, self.executions, _ = replies
        self.parts = {'hash': found.text, 'results': results, 'dependents': dependents, 'dependencies': dependencies}
        self.expires: dict[str, int] = {}
        # What of it stands in the registry.
        self.entries: dict[str, float] = {}

    @property
    def has_more(self) -> bool:
        """Whether it has what only few jobs have."""
        return bool(self.executions or self.group or self.parts['dependents'] or self.parts['dependencies'])

    def note(self, name: str, moment: int | None) -> None:
        """Note when a key expires; None if it does not."""
        if moment is not None:
            self.expires[name] = moment


class ExportReader:
    """Reads the jobs of a registry or a queue, and returns their lines; counts them in a result."""

    def __init__(self, client: Any, keys: JobKeys, source: ExportSource, result: BulkResult) -> None:
        self._result = result
        self._client = client
        self._keys = keys
        self._source = source
        self._where = f', "queue": {json_string(source.queue)}, "registry": "{source.name}"'
        # A started job has an entry for each of its executions, and one line.
        self._started: set[str] = set()

    def lines(self, entries: Sequence[str]) -> list[str]:
        """Return the lines of those of the entries whose jobs exist, and count all.

        Raises redis.exceptions.RedisError. One round trip, and another if some have what only few jobs have.
        """
        parse = self._source.parse
        job_ids = list(entries) if parse is None else list(map(parse, entries))
        commands = [
            command for entry, job_id in zip(entries, job_ids, strict=True) for command in self._commands(entry, job_id)
        ]
        clock, replies, errors = self._exchange(commands)
        failing = {number // _COMMANDS: error for number, error in reversed(errors.items())}
        # A line as soon as it is complete, for the sake of memory and of the garbage collector.
        found: list[_Job | str] = []
        for index, (entry, job_id) in enumerate(zip(entries, job_ids, strict=True)):
            first = index * _COMMANDS
            if index in failing:
                self._result.failed.append((job_id, failing[index]))
                continue
            job = self._job(entry, job_id, replies[first : first + _COMMANDS])
            if job is not None:
                job.note('hash', clock.moment(first + 1, replies[first + 1]))
                job.note('results', clock.moment(first + 3, replies[first + 3]))
                found.append(job if job.has_more else self._line(job))
        failed = self._read_rest([job for job in found if isinstance(job, _Job)])
        self._result.failed += failed.items()
        lines = [
            job if isinstance(job, str) else self._line(job)
            for job in found
            if isinstance(job, str) or job.id not in failed
        ]
        self._result.done += len(lines)
        return lines

    def _exchange(self, commands: Sequence[Command]) -> tuple[_Clock, list[Any], dict[int, Exception]]:
        """Return the times of the replies, these, and the errors among them that are about one key, by their index."""
        first, *replies, last = exchange(self._client, [_TIME, *commands, _TIME])
        for reply in (first, last):
            if isinstance(reply, Exception):
                raise reply
        errors = {number: reply for number, reply in enumerate(replies) if isinstance(reply, Exception)}
        for number, error in errors.items():
            if not is_wrong_type(error):
                raise note_key(error, commands[number][2])
        return _Clock(first, last, len(commands)), replies, errors

    def _commands(self, entry: str, job_id: str) -> tuple[Command, ...]:
        key, results, source = self._keys.job(job_id), results_key(job_id), self._source
        return (
            (_hash_of, 'HGETALL', key),
            (INTEGER, 'PTTL', key),
            (_results_of, 'XREVRANGE', results, '+', '-'),
            (INTEGER, 'PTTL', results),
            (_set_of, 'SMEMBERS', self._keys.dependents(job_id)),
            (_set_of, 'SMEMBERS', self._keys.dependencies(job_id)),
            (ENTRIES, 'ZRANGE', executions_key(job_id), 0, -1, 'WITHSCORES'),
            (VALUE, 'HGET', key, 'status') if source.is_list else (SCORE, 'ZSCORE', source.key, entry),
        )

    def _job(self, entry: str, job_id: str, replies: Sequence[Any]) -> _Job | None:
        """Return the job; None if there is no such job, or not any more. That is counted."""
        score = replies[-1]
        if score is None and not self._source.is_list:
            self._result.missing += 1
        elif replies[0] is None:
            self._result.skipped[NO_SUCH_JOB] += 1
        elif job_id not in self._started:
            job = _Job(job_id, replies[0], replies)
            if not self._source.is_list:
                job.entries[entry] = score
            if self._source.parse is not None:
                self._started.add(job_id)
            return job
        return None

    def _read_rest(self, jobs: Sequence[_Job]) -> dict[str, Exception]:
        """Read what few jobs have; return the errors by the ids of the jobs. One round trip, or none."""
        if not jobs:
            return {}
        commands = [self._commands_of_rest(job) for job in jobs]
        clock, replies, _ = self._exchange([command for of_job in commands for command in of_job])
        failed: dict[str, Exception] = {}
        first = 0
        for job, of_job in zip(jobs, commands, strict=True):
            found = replies[first : first + len(of_job)]
            moments = [
                clock.moment(first + index, left) if type(left) is int else None for index, left in enumerate(found)
            ]
            error = next((reply for reply in found if isinstance(reply, Exception)), None)
            if error is not None:
                failed[job.id] = error
            else:
                self._note_rest(job, found, moments)
            first += len(of_job)
        return failed

    def _commands_of_rest(self, job: _Job) -> list[Command]:
        keys = (self._keys.dependents(job.id), self._keys.dependencies(job.id), executions_key(job.id))
        commands: list[Command] = [(INTEGER, 'PTTL', key) for key in keys]
        commands.append((INTEGER, 'SISMEMBER', group_key(job.group or ''), job.id))
        for execution, _ in job.executions:
            key = execution_key(job.id, execution)
            commands += [
                (_fields_of, 'HGETALL', key),
                (INTEGER, 'PTTL', key),
                (SCORE, 'ZSCORE', self._source.key, f'{job.id}:{execution}'),
            ]
        return commands

    def _note_rest(self, job: _Job, replies: Sequence[Any], moments: Sequence[int | None]) -> None:
        for name, moment in zip(('dependents', 'dependencies', 'executions'), moments, strict=False):
            job.note(name, moment)
        if replies[3]:
            job.parts['group'] = json_string(job.group or '')
        executions = []
        for index, (execution, score) in enumerate(job.executions):
            place = 4 + 3 * index
            expires = moments[place + 1]
            until = '' if expires is None else f', "expires": {expires}'
            fields = replies[place] or '{}'
            executions.append(
                f'{{"id": {json_string(execution)}, "score": {score_of(score)}{until}, "hash": {fields}}}'
            )
            if replies[place + 2] is not None:
                job.entries[f'{job.id}:{execution}'] = replies[place + 2]
        if executions:
            job.parts['executions'] = f'[{", ".join(executions)}]'

    def _line(self, job: _Job) -> str:
        words = [f'{{"id": {json_string(job.id)}{self._where}']
        # A queue has no scores: the order of the lines is its order.
        if self._source.parse is None and not self._source.is_list:
            words.append(f'"score": {score_of(job.entries[job.id])}')
        elif self._source.parse is not None:
            entries = [f'{json_string(entry)}: {score_of(score)}' for entry, score in job.entries.items()]
            words.append(f'"entries": {{{", ".join(entries)}}}')
        if job.expires:
            moments = [f'"{name}": {moment}' for name, moment in job.expires.items()]
            words.append(f'"expires": {{{", ".join(moments)}}}')
        words += [f'"{name}": {part}' for name, part in job.parts.items() if part]
        return f'{", ".join(words)}}}\n'
