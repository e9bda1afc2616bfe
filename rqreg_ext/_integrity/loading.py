"""Jobs that RQ cannot load or delete: invalid fields, ids that RQ refuses, groups that are gone."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple

from rq.job import Job, parse_job_id
from rq.timeouts import BaseTimeoutException
from rq.utils import parse_timeout, str_to_date

from .._bulk.fallback.job_ids import id_error_of, is_accepted_by_rq
from .._fastpath.exchange import INTEGER, VALUE, Command
from .._fastpath.rq_keys import STATUSES, JobKeys, group_key
from .._fastpath.server_errors import describe
from .._query.dates import is_sortable
from . import repair_steps
from .candidates import WRONG_TYPE, Candidate, LookupResults
from .problems import Problem, ProblemKind
from .reader import ChunkReader, text_or_none


def _date(value: bytes) -> Any:
    # The same result as str_to_date(), ten times as fast.
    if is_sortable(value) and value[10:11] == b'T':
        return datetime.fromisoformat(value[:-1].decode())
    return str_to_date(value)


def _exc_info(value: bytes) -> str:
    try:
        return zlib.decompress(value).decode()
    except zlib.error:
        return value.decode()


def _json(value: bytes) -> Any:
    return json.loads(value.decode())


# How Job.restore() reads each field for which it may raise. It does not raise for those of the serializer.
# First the fields that RQ writes for every job, then those of some jobs only.
_PARSERS_OF_ALL: dict[str, Callable[[bytes], Any]] = {
    **dict.fromkeys(('created_at', 'enqueued_at', 'started_at', 'ended_at', 'last_heartbeat'), _date),
    **dict.fromkeys(('origin', 'worker_name', 'description', 'group_id', 'status'), bytes.decode),
    **dict.fromkeys((f'{event}_callback_name' for event in ('success', 'failure', 'stopped')), bytes.decode),
    'timeout': parse_timeout,  # type: ignore[dict-item]
    'exc_info': _exc_info,
}
_PARSERS_OF_SOME: dict[str, Callable[[bytes], Any]] = {
    **dict.fromkeys((f'{event}_callback_timeout' for event in ('success', 'failure', 'stopped')), int),
    **dict.fromkeys(('result_ttl', 'failure_ttl', 'ttl', 'number_of_retries', 'retries_left', 'repeats_left'), int),
    **dict.fromkeys(('rate_limit_concurrency', 'allow_dependency_failures'), int),
    **dict.fromkeys(('enqueue_at_front', 'enqueue_at_front_on_retry'), int),
    **dict.fromkeys(('dependency_ids', 'retry_intervals', 'repeat_intervals'), _json),
    **dict.fromkeys(('dependency_id', 'rate_limit_key'), bytes.decode),
}
# The fields that it parses even if they are empty.
_PARSED_IF_EMPTY = {
    'enqueue_at_front', 'success_callback_timeout', 'failure_callback_timeout', 'stopped_callback_timeout',
}  # fmt: skip
_FIELDS_OF_ALL, _FIELDS_OF_SOME = tuple(_PARSERS_OF_ALL), tuple(_PARSERS_OF_SOME)
FIELDS = (*_FIELDS_OF_ALL, *_FIELDS_OF_SOME)
# The fields of all jobs, and what else tells whether a job is where it belongs.
_FIELDS_READ = (*_FIELDS_OF_ALL, 'repeats_left', 'rate_limit_key')
_GROUP_ID = FIELDS.index('group_id')
_STATUS = FIELDS.index('status')


def fields_read(*names: str) -> Callable[[Any], Any]:
    """Return a function of the first reply to HashCheck.commands(), which returns these fields, or the error."""
    select = itemgetter(*map(_FIELDS_READ.index, names))
    return lambda values: values if isinstance(values, Exception) else select(values)


class Hash(NamedTuple):
    """A job's hash: whether it exists and has data, and the values of FIELDS, None for those that it does not have."""

    exists: bool
    has_data: bool
    values: tuple[Any, ...]

    @property
    def status(self) -> str:
        """The status as RQ reads it; empty for none."""
        return text_or_none(self.values[_STATUS]) or ''


def hash_commands(keys: JobKeys, job_id: str) -> list[Command]:
    """Return the commands for the replies of hash_of()."""
    key = keys.job(job_id)
    return [(INTEGER, 'EXISTS', key), (INTEGER, 'HEXISTS', key, 'data'), (VALUE, 'HMGET', key, *FIELDS)]


def hash_of(replies: Sequence[Any]) -> Hash:
    """Return the Hash of the replies to hash_commands()."""
    exists, has_data, values = replies
    return Hash(exists == 1, has_data == 1, (None,) * len(FIELDS) if values == WRONG_TYPE else tuple(values))


@dataclass(frozen=True)
class HashCheck:
    """Checks whether RQ can load and delete jobs."""

    keys: JobKeys

    def candidates(self, reader: ChunkReader, job_ids: Sequence[str]) -> Iterator[Candidate]:
        """Yield the jobs that RQ may not be able to load, or to delete.

        One round trip; another if jobs have fields that only some jobs have, and another if jobs are in groups.
        """
        yield from self.among(reader, job_ids, reader.replies(self.commands(job_ids)))

    def commands(self, job_ids: Sequence[str]) -> list[Command]:
        """Return the commands that read the hashes: three for each job, the first of them for fields_read()."""
        commands: list[Command] = []
        for job_id in job_ids:
            key = self.keys.job(job_id)
            commands += [
                (VALUE, 'HMGET', key, *_FIELDS_READ),
                (INTEGER, 'HLEN', key),
                (INTEGER, 'HEXISTS', key, 'data'),
            ]
        return commands

    def among(self, reader: ChunkReader, job_ids: Sequence[str], replies: Sequence[Any]) -> Iterator[Candidate]:
        """Yield the same, from the replies to commands()."""
        in_groups = []
        for job_id, is_loadable, values in self._judge(reader, job_ids, replies):
            if not is_loadable or not is_accepted_by_rq(job_id):
                yield UnloadableJob(self.keys, job_id, reader.connection)
            group_id = text_or_none(values[_GROUP_ID])
            if group_id:
                in_groups.append(JobOfMissingGroup(self.keys, job_id, group_id))
        groups = dict.fromkeys(job.group_id for job in in_groups)
        exist = reader.replies([(INTEGER, 'EXISTS', group_key(group_id)) for group_id in groups])
        missing = {group_id for group_id, exists in zip(groups, exist, strict=True) if exists != 1}
        yield from (job for job in in_groups if job.group_id in missing)

    def _judge(
        self, reader: ChunkReader, job_ids: Sequence[str], replies: Sequence[Any]
    ) -> Iterator[tuple[str, bool, Sequence[Any]]]:
        """Yield each job that exists, whether RQ can surely load it, and the values of _FIELDS_OF_ALL."""
        with_more = []
        for job_id, found, length, has_data in zip(job_ids, replies[::3], replies[1::3], replies[2::3], strict=True):
            if isinstance(found, Exception) or length == 0:
                continue
            values = found[: len(_FIELDS_OF_ALL)]
            if not has_data:
                yield job_id, False, values
            elif length > 1 + len(_FIELDS_OF_ALL) - values.count(None):
                with_more.append((job_id, values))
            else:
                yield job_id, _is_usual(values) or _all_parse(_PARSERS_OF_ALL, values), values
        rest = reader.replies([(VALUE, 'HMGET', self.keys.job(job_id), *_FIELDS_OF_SOME) for job_id, _ in with_more])
        for (job_id, values), others in zip(with_more, rest, strict=True):
            others_parse = not isinstance(others, Exception) and _all_parse(_PARSERS_OF_SOME, others)
            yield job_id, others_parse and (_is_usual(values) or _all_parse(_PARSERS_OF_ALL, values)), values


_DAY = rb'(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)'
_DATE = rb'(?:[12]\d{3}-' + _DAY + rb'T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}Z)?'
_are_dates = re.compile(b','.join([_DATE] * 5)).fullmatch


def _is_usual(values: Sequence[Any]) -> bool:
    """Return whether the fields of all jobs have usual values, which RQ can load: a fast test for most jobs."""
    dates, texts, (timeout, exc_info) = values[:5], values[5:-2], values[-2:]
    return (
        not exc_info
        and (not timeout or timeout.isdigit())
        and _are_dates(b','.join([date or b'' for date in dates])) is not None
        and b''.join([text for text in texts if text]).isascii()
    )


def _all_parse(parsers: Mapping[str, Callable[[bytes], Any]], values: Sequence[Any]) -> bool:
    """Return whether RQ can surely parse all values. If not, Job.restore() decides later."""
    try:
        for (name, parse), value in zip(parsers.items(), values, strict=True):
            if value or (value is not None and name in _PARSED_IF_EMPTY):
                parse(value)
    except BaseTimeoutException:
        raise
    except Exception:
        return False
    return True


@dataclass(frozen=True)
class UnloadableJob(Candidate):
    """A job that RQ may not be able to load."""

    keys: JobKeys
    job_id: str
    connection: Any = field(compare=False, repr=False)

    def commands(self) -> list[Command]:
        """Return the commands that read the evidence."""
        return hash_commands(self.keys, self.job_id)

    def evidence(self, replies: Sequence[Any], _: LookupResults | None) -> Hash:
        """Return the job's hash."""
        return hash_of(replies)

    def diagnose(self, job_hash: Hash) -> Problem | None:
        """Return the problem that the evidence shows, or None."""
        return unloadable(self.keys, self.job_id, job_hash, self.connection)


def unloadable(keys: JobKeys, job_id: str, job_hash: Hash, connection: Any) -> Problem | None:
    """Return the problem of a job that RQ cannot load; None if it can, or if there is no such job."""
    if not job_hash.exists:
        return None
    problem = unreadable(keys, job_id, job_hash.has_data, job_hash.status)
    if problem is not None:
        return problem
    key = keys.job(job_id)
    if not is_accepted_by_rq(job_id):
        reason = id_error_of(job_id) or f'an id ends at its first colon, as {parse_job_id(job_id)!r}'
        detail = f'job {job_id} has an id that this RQ refuses ({reason}): it can neither load, requeue nor delete it'
        return Problem(ProblemKind.REFUSED_ID, job_id, key, detail)
    error = _restore_error(keys, job_hash, connection)
    if error is None:
        return None
    detail = f'job {job_id} has a field that RQ cannot read ({describe(error)}): it can neither load nor requeue it'
    return Problem(ProblemKind.UNREADABLE_JOB, job_id, key, detail)


def _restore_error(keys: JobKeys, job_hash: Hash, connection: Any) -> Exception | None:
    """Return the exception that Job.restore() raises for the fields of a job, or None."""
    # A job class with its own restore() may read other fields, or accept values that RQ does not. And RQ cannot load
    # any job over a client with decode_responses, so the values are str here.
    if keys.job_class.restore is not Job.restore or any(isinstance(value, str) for value in job_hash.values):
        return None
    fields = {name.encode(): value for name, value in zip(FIELDS, job_hash.values, strict=True) if value is not None}
    try:
        Job(connection=connection).restore({**fields, b'data': b''})
    except BaseTimeoutException:
        raise
    except Exception as error:
        return error
    return None


def unreadable(keys: JobKeys, job_id: str, has_data: bool, status: str | None) -> Problem | None:
    """Return the problem of a job without data, or with an unknown status; None for any other job."""
    if not has_data:
        reason = 'has no data (a heartbeat after the job was deleted does that)'
    elif status and status not in STATUSES:
        reason = f'has the status {status!r}, which this RQ does not know'
    else:
        return None
    detail = f'job {job_id} {reason}: RQ cannot load it, nor a list of jobs with this one in it'
    return Problem(ProblemKind.UNREADABLE_JOB, job_id, keys.job(job_id), detail)


@dataclass(frozen=True)
class JobOfMissingGroup(Candidate):
    """A job whose group seems to be gone."""

    keys: JobKeys
    job_id: str
    group_id: str

    def commands(self) -> list[Command]:
        """Return the commands that read the evidence."""
        return [(VALUE, 'HGET', self.keys.job(self.job_id), 'group_id'), (INTEGER, 'EXISTS', group_key(self.group_id))]

    def diagnose(self, evidence: tuple[Any, ...]) -> Problem | None:
        """Return the problem that the evidence shows, or None."""
        group_id, exists = evidence
        if exists or group_id == WRONG_TYPE or text_or_none(group_id) != self.group_id:
            return None
        key, group = self.keys.job(self.job_id), group_key(self.group_id)
        detail = (
            f'job {self.job_id} belongs to the group {self.group_id!r}, but {group} is gone:'
            ' RQ cannot delete the job, and raises NoSuchGroupError'
        )
        repair_step = repair_steps.drop_missing_group(key, group, self.group_id)
        return Problem(
            ProblemKind.MISSING_GROUP,
            self.job_id,
            key,
            detail,
            'remove the group from the job',
            repair_step=repair_step,
        )
