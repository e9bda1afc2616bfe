"""Jobs that RQ cannot load, or not delete, wherever they are: spoiled fields, ids of older RQ, groups that are gone."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from rq.job import Job, parse_job_id
from rq.utils import parse_timeout, str_to_date

from ..._exchange import INTEGER, VALUE, Command
from ..by_rq import is_taken_by_rq, refusal_of
from ..job_fields import is_sortable
from ..result import describe
from . import mends
from .places import STATUSES, JobKeys, group_key
from .problems import Kind, Problem
from .reader import Reader, text_or_none
from .suspicions import WRONG_TYPE, Found, Suspicion


def _date(value: bytes) -> Any:
    # What RQ does takes ten times as long.
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


# What Job.restore() may raise for, and how it reads it. What it leaves to the serializer it takes in any case.
# First the fields that RQ writes with every job, then those that only some have.
_READ_OF_EVERY: dict[str, Callable[[bytes], Any]] = {
    **dict.fromkeys(('created_at', 'enqueued_at', 'started_at', 'ended_at', 'last_heartbeat'), _date),
    **dict.fromkeys(('origin', 'worker_name', 'description', 'group_id', 'status'), bytes.decode),
    **dict.fromkeys((f'{event}_callback_name' for event in ('success', 'failure', 'stopped')), bytes.decode),
    'timeout': parse_timeout,  # type: ignore[dict-item]
    'exc_info': _exc_info,
}
_READ_OF_SOME: dict[str, Callable[[bytes], Any]] = {
    **dict.fromkeys((f'{event}_callback_timeout' for event in ('success', 'failure', 'stopped')), int),
    **dict.fromkeys(('result_ttl', 'failure_ttl', 'ttl', 'number_of_retries', 'retries_left', 'repeats_left'), int),
    **dict.fromkeys(('rate_limit_concurrency', 'allow_dependency_failures'), int),
    **dict.fromkeys(('enqueue_at_front', 'enqueue_at_front_on_retry'), int),
    **dict.fromkeys(('dependency_ids', 'retry_intervals', 'repeat_intervals'), _json),
    **dict.fromkeys(('dependency_id', 'rate_limit_key'), bytes.decode),
}
# Those that it reads where they are empty, too.
_READ_WHEN_EMPTY = {
    'enqueue_at_front', 'success_callback_timeout', 'failure_callback_timeout', 'stopped_callback_timeout',
}  # fmt: skip
_OF_EVERY, _OF_SOME = tuple(_READ_OF_EVERY), tuple(_READ_OF_SOME)
FIELDS = (*_OF_EVERY, *_OF_SOME)
_GROUP_ID = FIELDS.index('group_id')
_STATUS = FIELDS.index('status')


class Hash(NamedTuple):
    """What was seen of a job's hash: whether it has data, and the values of FIELDS, None for what it has not."""

    exists: bool
    has_data: bool
    values: tuple[Any, ...]

    @property
    def status(self) -> str:
        """The status that RQ would read; empty for none."""
        return text_or_none(self.values[_STATUS]) or ''


def hash_commands(keys: JobKeys, job_id: str) -> list[Command]:
    """Return the commands whose replies hash_of() takes."""
    key = keys.job(job_id)
    return [(INTEGER, 'EXISTS', key), (INTEGER, 'HEXISTS', key, 'data'), (VALUE, 'HMGET', key, *FIELDS)]


def hash_of(replies: Sequence[Any]) -> Hash:
    """Return what the replies to hash_commands() say."""
    exists, has_data, values = replies
    return Hash(exists == 1, has_data == 1, (None,) * len(FIELDS) if values == WRONG_TYPE else tuple(values))


@dataclass(frozen=True)
class Loading:
    """A look at the hashes of jobs."""

    keys: JobKeys

    def suspicions(self, reader: Reader, job_ids: Sequence[str]) -> Iterator[Suspicion]:
        """Yield the jobs that RQ may not be able to load, or to delete.

        One round trip, one more where jobs have other fields than every job has, and one where they are in groups.
        """
        in_groups = []
        for job_id, is_sound, values in self._looks(reader, job_ids):
            if not is_sound or not is_taken_by_rq(job_id):
                yield UnloadableJob(self.keys, job_id, reader.connection)
            group_id = text_or_none(values[_GROUP_ID])
            if group_id:
                in_groups.append(JobOfMissingGroup(self.keys, job_id, group_id))
        groups = dict.fromkeys(job.group_id for job in in_groups)
        exist = reader.replies([(INTEGER, 'EXISTS', group_key(group_id)) for group_id in groups])
        missing = {group_id for group_id, exists in zip(groups, exist, strict=True) if exists != 1}
        yield from (job for job in in_groups if job.group_id in missing)

    def _looks(self, reader: Reader, job_ids: Sequence[str]) -> Iterator[tuple[str, bool, Sequence[Any]]]:
        """Yield of each job that is there whether RQ surely takes its fields, and those that every job has."""
        commands: list[Command] = []
        for job_id in job_ids:
            key = self.keys.job(job_id)
            commands += [(VALUE, 'HMGET', key, *_OF_EVERY), (INTEGER, 'HLEN', key), (INTEGER, 'HEXISTS', key, 'data')]
        replies = iter(reader.replies(commands))
        with_more = []
        for job_id, values, length, has_data in zip(job_ids, replies, replies, replies, strict=True):
            if isinstance(values, Exception) or length == 0:
                continue
            if not has_data:
                yield job_id, False, values
            elif length > 1 + len(_OF_EVERY) - values.count(None):
                with_more.append((job_id, values))
            else:
                yield job_id, _is_plain(values) or _is_sound(_READ_OF_EVERY, values), values
        rest = reader.replies([(VALUE, 'HMGET', self.keys.job(job_id), *_OF_SOME) for job_id, _ in with_more])
        for (job_id, values), others in zip(with_more, rest, strict=True):
            are_sound = not isinstance(others, Exception) and _is_sound(_READ_OF_SOME, others)
            yield job_id, are_sound and (_is_plain(values) or _is_sound(_READ_OF_EVERY, values)), values


_DAY = rb'(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)'
_DATE = rb'(?:[12]\d{3}-' + _DAY + rb'T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}Z)?'
_are_dates = re.compile(b','.join([_DATE] * 5)).fullmatch


def _is_plain(values: Sequence[Any]) -> bool:
    """Tell at a glance of the fields that every job has whether RQ takes them; False where that takes a closer look."""
    dates, texts, (timeout, exc_info) = values[:5], values[5:-2], values[-2:]
    return (
        not exc_info
        and (not timeout or timeout.isdigit())
        and _are_dates(b','.join([date or b'' for date in dates])) is not None
        and b''.join([text for text in texts if text]).isascii()
    )


def _is_sound(readers: Mapping[str, Callable[[bytes], Any]], values: Sequence[Any]) -> bool:
    """Tell whether RQ surely takes these; for what it may not take, its own method is asked."""
    try:
        for (name, read), value in zip(readers.items(), values, strict=True):
            if value or (value is not None and name in _READ_WHEN_EMPTY):
                read(value)
    except Exception:
        return False
    return True


@dataclass(frozen=True)
class UnloadableJob(Suspicion):
    """A job that RQ seems not to be able to load."""

    keys: JobKeys
    job_id: str
    connection: Any = field(compare=False, repr=False)

    def commands(self) -> list[Command]:
        """Return the commands whose replies it is judged by."""
        return hash_commands(self.keys, self.job_id)

    def evidence(self, replies: Sequence[Any], _: Found | None) -> Hash:
        """Return its hash."""
        return hash_of(replies)

    def judge(self, found: Hash) -> Problem | None:
        """Return what is wrong, if anything is."""
        return unloadable(self.keys, self.job_id, found, self.connection)


def unloadable(keys: JobKeys, job_id: str, found: Hash, connection: Any) -> Problem | None:
    """Return the problem of a job that RQ cannot load; None where it can, and where there is none."""
    if not found.exists:
        return None
    problem = unreadable(keys, job_id, found.has_data, found.status)
    if problem is not None:
        return problem
    key = keys.job(job_id)
    if not is_taken_by_rq(job_id):
        refusal = refusal_of(job_id)
        says = str(refusal) if refusal is not None else f'an id ends at its first colon, as {parse_job_id(job_id)!r}'
        detail = f'job {job_id} has an id that this RQ refuses ({says}): it can neither load, requeue nor delete it'
        return Problem(Kind.REFUSED_ID, job_id, key, detail)
    error = _error_of(keys, found, connection)
    if error is None:
        return None
    detail = f'job {job_id} has a field that RQ cannot read ({describe(error)}): it can neither load nor requeue it'
    return Problem(Kind.UNREADABLE_JOB, job_id, key, detail)


def _error_of(keys: JobKeys, found: Hash, connection: Any) -> Exception | None:
    """Return what RQ raises for the fields of a job."""
    # A class with a restore() of its own may read other fields, and take what RQ does not. A client that decodes
    # responses reads no jobs in any case.
    if keys.job_class.restore is not Job.restore or any(isinstance(value, str) for value in found.values):
        return None
    fields = {name.encode(): value for name, value in zip(FIELDS, found.values, strict=True) if value is not None}
    try:
        Job(connection=connection).restore({**fields, b'data': b''})
    except Exception as error:
        return error
    return None


def unreadable(keys: JobKeys, job_id: str, has_data: bool, status: str | None) -> Problem | None:
    """Return the problem of a job that RQ cannot make a Job of; None where it can."""
    if not has_data:
        what = 'has no data, as where a heartbeat came after the job was deleted'
    elif status and status not in STATUSES:
        what = f'has the status {status!r}, which this RQ does not know'
    else:
        return None
    detail = f'job {job_id} {what}: RQ cannot load it, nor a list of jobs with it among them'
    return Problem(Kind.UNREADABLE_JOB, job_id, keys.job(job_id), detail)


@dataclass(frozen=True)
class JobOfMissingGroup(Suspicion):
    """A job whose group seems to be gone."""

    keys: JobKeys
    job_id: str
    group_id: str

    def commands(self) -> list[Command]:
        """Return the commands whose replies it is judged by."""
        return [(VALUE, 'HGET', self.keys.job(self.job_id), 'group_id'), (INTEGER, 'EXISTS', group_key(self.group_id))]

    def judge(self, evidence: tuple[Any, ...]) -> Problem | None:
        """Return what is wrong, if anything is."""
        group_id, exists = evidence
        if exists or group_id == WRONG_TYPE or text_or_none(group_id) != self.group_id:
            return None
        key, group = self.keys.job(self.job_id), group_key(self.group_id)
        detail = (
            f'job {self.job_id} belongs to the group {self.group_id!r}, and {group} is gone:'
            ' RQ cannot delete the job, and raises NoSuchGroupError'
        )
        mend = mends.drop_missing_group(key, group, self.group_id)
        return Problem(Kind.MISSING_GROUP, self.job_id, key, detail, 'take the group out of the job', mend=mend)
