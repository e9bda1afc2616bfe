"""The workers of a Redis, their states and what they do, read in as few commands as the server allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

from .._fastpath.dispatch import is_cluster
from .._fastpath.exchange import TEXTS, VALUE, Command, ask, exchange, reply_text, without_errors
from .._fastpath.rq_keys import EXECUTION_PREFIX, job_prefix, worker_executions_key, worker_prefix
from .._fastpath.server_errors import is_denied, is_wrong_type
from .._query.chunks import chunks_of
from .._query.dates import moment_of
from .._query.hashes import pairs_of

# How many workers one SORT reads. It takes the server about a millisecond.
MOST_AT_ONCE = 1000
# The hash of a worker always has `birth` or `last_heartbeat`. RQ's set can also name workers whose hash is gone.
_FIELDS = ('state', 'queues', 'birth', 'last_heartbeat')
# RQ before 3 writes `current_job`; RQ 3 has a set of the executions of each worker.
_DETAILS = (
    *_FIELDS,
    'hostname',
    'pid',
    'successful_job_count',
    'failed_job_count',
    'total_working_time',
    'current_job',
)


class WorkerState(NamedTuple):
    """The state of a worker ('?' if it has none, as in RQ), and the names of its queues."""

    state: str
    queues: list[str]


class WorkerSnapshot(NamedTuple):
    """What a worker does, as RQ has stored it; in `snapshot(worker_details=True).worker_details`.

    Attributes:
        name: The name of the worker.
        state: 'busy', 'idle', 'suspended', 'started', ..., or '?' if it has none.
        queues: The names of its queues, in their order.
        birth_date: When it was started, a datetime in UTC; None if that is unknown.
        last_heartbeat: The time of its last heartbeat, a datetime in UTC; None if that is unknown.
        heartbeat_age: The seconds from its last heartbeat to the snapshot; None if that is unknown.
        hostname: The name of its host; None if it is unknown.
        pid: Its process id; None if it is unknown.
        successful_job_count: How many jobs have succeeded.
        failed_job_count: How many jobs have failed.
        total_working_time: How many seconds it has worked on jobs that have ended.
        current_job_id: The id of the job that it executes; None if there is none; of several, the one that has run
            longest.
        current_job_started_at: When the execution of that job began, a datetime in UTC; None if that is unknown.
    """

    name: str
    state: str
    queues: list[str]
    birth_date: datetime | None
    last_heartbeat: datetime | None
    heartbeat_age: float | None
    hostname: str | None
    pid: int | None
    successful_job_count: int
    failed_job_count: int
    total_working_time: float
    current_job_id: str | None
    current_job_started_at: datetime | None

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as a dict; the times are Unix timestamps in seconds."""
        return {
            name: value.timestamp() if isinstance(value, datetime) else value for name, value in self._asdict().items()
        }


class WorkersReader:
    """Reads the workers, in two steps if their details are requested: what they execute is found by their names.

    Attributes:
        states: The workers; the error if the user may not read them, or their set has another type.
        details: What each does, by its name, if requested; the error if the user may not read that.
    """

    def __init__(self, client: Any, workers_key: str, with_details: bool = False) -> None:
        self.states: list[WorkerState] | Exception | None = None
        self.details: dict[str, WorkerSnapshot] | Exception | None = None
        self._client = client
        self._workers_key = workers_key
        self._with_details = with_details
        self._fields = _DETAILS if with_details else _FIELDS
        self._found: list[tuple[str, dict[str, Any]]] = []
        # The second step: the index of the worker, and the command.
        self._asked: list[tuple[int, Command]] = []

    def command(self) -> Command:
        """Return the command of the first step, which reads up to MOST_AT_ONCE workers; of a cluster, their keys."""
        if is_cluster(self._client):
            return self._list_keys()
        # Each member of the set is the key of a worker's hash.
        values = [*(['#'] if self._with_details else []), *(f'*->{field}' for field in self._fields)]
        words = [word for value in values for word in ('GET', value)]
        return (VALUE, 'SORT', self._workers_key, 'BY', 'nosort', 'LIMIT', 0, MOST_AT_ONCE, *words)

    def _list_keys(self) -> Command:
        return (TEXTS, 'SMEMBERS', self._workers_key)

    def take(self, reply: Any) -> None:
        """Set `states` from the reply to that command.

        If SORT was refused, or there are more workers, each worker is read, which takes two round trips, and one more
        for each further thousand. SORT is refused in a cluster, on a replica, and for a user without the right to all
        keys.
        """
        try:
            self._found = list(self._existing(self._rows_from(reply)))
        except Exception as error:
            if not is_denied(error) and not is_wrong_type(error):
                raise
            self.states = self.details = error
        else:
            self.states = [
                WorkerState(_text_or(fields['state'], '?'), _names(fields['queues'])) for _, fields in self._found
            ]

    def _rows_from(self, reply: Any) -> Iterable[tuple[Any, ...]]:
        width = len(self._fields) + self._with_details
        if is_cluster(self._client) and not isinstance(reply, Exception):
            return self._read_each(reply)
        if isinstance(reply, Exception) or len(reply) >= MOST_AT_ONCE * width:
            return self._read_each(*ask(self._client, [self._list_keys()]))
        rows = zip(*[iter(reply)] * width, strict=True)
        return rows if self._with_details else (('', *row) for row in rows)

    def _read_each(self, worker_keys: Iterable[str]) -> Iterator[tuple[Any, ...]]:
        for chunk in chunks_of(worker_keys, MOST_AT_ONCE):
            found = exchange(self._client, [(VALUE, 'HMGET', key, *self._fields) for key in chunk])
            if any(map(is_denied, found)):
                # The user has no right to HMGET. RQ reads workers with HGETALL.
                found = ask(self._client, [(self._selected_fields, 'HGETALL', key) for key in chunk])
            for key, values in zip(chunk, without_errors(found), strict=True):
                yield (key, *values)

    def _selected_fields(self, reply: Any) -> list[Any]:
        fields: dict[Any, Any] = pairs_of(reply)
        return [fields.get(name.encode(), fields.get(name)) for name in self._fields]

    def _existing(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[str, dict[str, Any]]]:
        for key, *values in rows:
            if any(value is not None for value in values[: len(_FIELDS)]):
                yield reply_text(key).removeprefix(worker_prefix()), dict(zip(self._fields, values, strict=True))

    # ---- The second step

    def detail_commands(self) -> list[Command]:
        """Return the commands of the second step: what each worker executes, and since when."""
        for index, (name, fields) in enumerate(self._found):
            job_id, key = fields['current_job'], worker_executions_key(name)
            if job_id:
                self._asked.append((index, (VALUE, 'HGET', f'{job_prefix()}{reply_text(job_id)}', 'started_at')))
            elif key is not None:
                started = f'{EXECUTION_PREFIX}*->created_at'
                self._asked.append((index, (VALUE, 'SORT', key, 'BY', 'nosort', 'GET', '#', 'GET', started)))
        return [command for _, command in self._asked]

    def take_details(self, replies: Sequence[Any], timestamp: float) -> None:
        """Set `details` from the replies to these commands. Ages are those at `timestamp`.

        Two round trips more if SORT was refused.
        """
        if isinstance(self.states, Exception):
            return
        try:
            self.details = self._details(replies, timestamp)
        except Exception as error:
            if not is_denied(error):
                raise
            self.details = error

    def _details(self, replies: Sequence[Any], timestamp: float) -> dict[str, WorkerSnapshot]:
        replies = list(replies)
        refused: list[int] = []
        for number, reply in enumerate(replies):
            if isinstance(reply, Exception):
                if self._asked[number][1][1] == 'SORT':
                    refused.append(number)
                elif is_denied(reply) or is_wrong_type(reply):
                    replies[number] = None
                else:
                    raise reply
        if refused:
            again = self._executions([self._asked[number][1][2] for number in refused])
            for number, executions in zip(refused, again, strict=True):
                replies[number] = executions
        current = {
            index: _current_job(self._found[index][1], reply)
            for (index, _), reply in zip(self._asked, replies, strict=True)
        }
        return {
            name: _details_of(name, fields, *current.get(index, (None, None)), timestamp)
            for index, (name, fields) in enumerate(self._found)
        }

    def _executions(self, keys: Sequence[str]) -> list[list[Any]]:
        """Return what SORT would: the executions in each of these sets, each followed by when it was created."""
        # A key of another type has no executions; what is refused again is raised.
        members = [
            [] if isinstance(found, Exception) and is_wrong_type(found) else without_errors([found])[0]
            for found in exchange(self._client, [(VALUE, 'SMEMBERS', key) for key in keys])
        ]
        of_all = [reply_text(member) for found in members for member in found]
        reads = [(VALUE, 'HGETALL', f'{EXECUTION_PREFIX}{member}') for member in of_all]
        hashes = without_errors(exchange(self._client, reads)) if reads else []
        created = {member: _field(fields, 'created_at') for member, fields in zip(of_all, hashes, strict=True)}
        return [[value for member in found for value in (member, created[reply_text(member)])] for found in members]


def _current_job(fields: Mapping[str, Any], reply: Any) -> tuple[str | None, datetime | None]:
    """Return the job that a worker executes, and since when, from the reply about its executions."""
    if fields['current_job']:
        return reply_text(fields['current_job']), _moment(reply)
    # RQ passes over executions whose hash has expired.
    running = [
        (float(created_at), reply_text(execution))
        for execution, created_at in zip(reply[::2], reply[1::2], strict=True)
        if created_at is not None
    ]
    if not running:
        return None, None
    created_at, execution = min(running)
    return execution.partition(':')[0], datetime.fromtimestamp(created_at, timezone.utc)


def _details_of(
    name: str, fields: Mapping[str, Any], job_id: str | None, started_at: datetime | None, timestamp: float
) -> WorkerSnapshot:
    last_heartbeat = _moment(fields['last_heartbeat'])
    pid = fields['pid']
    return WorkerSnapshot(
        name=name,
        state=_text_or(fields['state'], '?'),
        queues=_names(fields['queues']),
        birth_date=_moment(fields['birth']),
        last_heartbeat=last_heartbeat,
        heartbeat_age=None if last_heartbeat is None else timestamp - last_heartbeat.timestamp(),
        hostname=_text_or(fields['hostname'] or None, None),
        pid=int(pid) if pid else None,
        successful_job_count=int(fields['successful_job_count'] or 0),
        failed_job_count=int(fields['failed_job_count'] or 0),
        total_working_time=float(fields['total_working_time'] or 0),
        current_job_id=job_id,
        current_job_started_at=started_at,
    )


def _field(reply: Any, name: str) -> Any:
    fields = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
    return fields.get(name.encode(), fields.get(name))


def _moment(date: Any) -> datetime | None:
    try:
        return moment_of(date if isinstance(date, bytes) else date.encode()) if date else None
    except ValueError:
        return None


def _names(queues: Any) -> list[str]:
    return reply_text(queues).split(',') if queues else []


def _text_or(value: bytes | str | None, default: Any) -> Any:
    return default if value is None else reply_text(value)
