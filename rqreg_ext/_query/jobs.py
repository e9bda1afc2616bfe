"""Reading many jobs, and their latest results, as RQ's objects: get_jobs().

RQ reads the hash of a job in rq.job.Job.fetch_many() and Job.restore(), and its latest result in Result.fetch_latest().
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import RedisError
from rq import job as rq_job
from rq import results as rq_results
from rq.job import Job
from rq.results import Result
from rq.serializers import DefaultSerializer, resolve_serializer
from rq.timeouts import BaseTimeoutException

from .._fastpath.clients.by_url import client_from
from .._fastpath.dispatch import fetches_as_rq, has_rq_constructor, reads_results_as_rq, restores_as_rq
from .._fastpath.exchange import VALUE, Command, exchange
from .._fastpath.releases import release
from .._fastpath.server_errors import is_wrong_type
from .arguments import text_ids_of
from .chunks import chunks_of
from .dates import moment_if_any, moment_of
from .hashes import BoundedCache, names_and_values, pairs_of
from .rows import latest_result

if TYPE_CHECKING:
    from redis import Redis

# How many jobs are read in one round trip.
_CHUNK = 1000


class JobList(list['Job | None']):
    """The jobs that get_jobs(ids) returns, in the order of the ids: a Job, or None for one that is not there.

    Attributes:
        missing: The ids of jobs that do not exist.
        unreadable: (job id, exception) of each job that exists, but that RQ cannot load. It is None in the list, too.
        results: With `with_results`, the latest rq.results.Result of each job in the list by its id, None for a job
            that has none; None otherwise. `job.return_value()` then needs no round trip for a job that has a result.
        unreadable_results: (job id, exception) of each job whose latest result RQ cannot load. It is not in `results`.
    """

    def __init__(
        self,
        jobs: Iterable[Job | None] = (),
        missing: Iterable[str] = (),
        unreadable: Iterable[tuple[str, Exception]] = (),
        results: Mapping[str, Result | None] | None = None,
        unreadable_results: Iterable[tuple[str, Exception]] = (),
    ) -> None:
        super().__init__(jobs)
        self.missing = list(missing)
        self.unreadable = list(unreadable)
        self.results = None if results is None else dict(results)
        self.unreadable_results = list(unreadable_results)

    def __repr__(self) -> str:
        return f'<{type(self).__name__}: {described(len(self), self)}>'


def described(count: int, found: Any) -> str:
    """Return how many jobs a JobList or a JobPage has, and what it could not read, for its repr()."""
    not_loaded = [
        (len(found.missing), 'missing'),
        (len(found.unreadable), 'unreadable'),
        (len(found.unreadable_results), 'with an unreadable result'),
    ]
    return ', '.join([f'{count} jobs', *(f'{number} {reason}' for number, reason in not_loaded if number)])


class LoadedJobs(NamedTuple):
    """What was read of some jobs: the attributes of a JobList."""

    jobs: list[Job | None]
    missing: list[str]
    unreadable: list[tuple[str, Exception]]
    results: dict[str, Result | None] | None
    unreadable_results: list[tuple[str, Exception]]


def get_jobs(
    connection: Redis | str,
    ids: Iterable[str | Job],
    *,
    job_class: type[Job] | None = None,
    serializer: Any = None,
    with_results: bool = False,
) -> JobList:
    """Read the jobs with these ids, as Job.fetch_many() does, of any queues and registries.

    Args:
        connection: A redis-py client, or a URL.
        ids: Job ids, or Job objects to read anew; from any iterable.
        job_class: The class of the jobs; rq.job.Job by default.
        serializer: The serializer of the jobs, or its import path; RQ's default one by default.
        with_results: Whether to read the latest result of each job too. It needs the right to XREVRANGE.

    Returns:
        A JobList: in the order of `ids`, a Job, or None. Unlike fetch_many(), a job that RQ cannot load does not fail
        the call.

    Raises:
        TypeError: An argument has the wrong type.
        redis.exceptions.RedisError: The server or the connection failed.

    Round trips:
        One per 1000 jobs, with the results.

    Source:
        rq.job.Job.fetch_many, Job.restore, Job.latest_result; Redis HGETALL, XREVRANGE.
    """
    job_class = Job if job_class is None else job_class
    job_ids = text_ids_of(ids)
    client = client_from(connection)
    return JobList(*load_jobs(job_class, client, resolve_serializer(serializer), job_ids, with_results))


def load_jobs(
    job_class: Any, connection: Any, serializer: Any, job_ids: Sequence[str], with_results: bool
) -> LoadedJobs:
    """Read the jobs, as objects of job_class, and their latest results. One round trip per _CHUNK jobs."""
    loading = _Loading(job_class, connection, serializer, bool(with_results))
    for chunk in chunks_of(job_ids, _CHUNK):
        loading.load(chunk)
    return loading.found


class _Loading:
    """Loads jobs in chunks.

    Attributes:
        found: What was read until now.
    """

    def __init__(self, job_class: Any, connection: Any, serializer: Any, with_results: bool) -> None:
        self.found = LoadedJobs([], [], [], {} if with_results else None, [])
        self._job_class = job_class
        self._connection = connection
        self._serializer = serializer

    def load(self, job_ids: Sequence[str]) -> None:
        """Load some jobs, and their latest results if requested. One round trip."""
        if not fetches_as_rq(self._job_class):
            jobs = self._job_class.fetch_many(job_ids, connection=self._connection, serializer=self._serializer)
            self.found.jobs.extend(jobs)
            self.found.missing.extend(job_id for job_id, job in zip(job_ids, jobs, strict=True) if job is None)
            self._note_results(jobs, None)
            return
        reads_results = self.found.results is not None and reads_results_as_rq(self._job_class)
        hashes = [rq_job.parse_job_id(job_id) for job_id in job_ids]
        restore, shape = _restore_of(self._job_class, self._connection)
        commands: list[Command] = [(shape, 'HGETALL', self._job_class.key_for(job_id)) for job_id in hashes]
        if reads_results:
            commands += [latest_result(job_id, VALUE) for job_id in hashes]
        replies = exchange(self._connection, commands)
        for reply in replies:
            if isinstance(reply, Exception) and not isinstance(reply, UnicodeDecodeError) and not is_wrong_type(reply):
                raise reply
        jobs = self._restored(job_ids, hashes, replies, restore)
        self._note_results(jobs, replies[len(hashes) :] if reads_results else None)

    def _restored(
        self, job_ids: Sequence[str], hashes: Sequence[str], replies: Sequence[Any], restore: Callable[[Any, Any], Any]
    ) -> list[Any]:
        """Return the jobs, and add them to what was found."""
        job_class, connection, serializer = self._job_class, self._connection, self._serializer
        if serializer is DefaultSerializer and has_rq_constructor(job_class):
            # RQ resolves the serializer once more for each job, which takes long for its default.
            serializer = None
        jobs: list[Any] = []
        for job_id, hash_id, fields in zip(job_ids, hashes, replies, strict=False):
            job = None
            if not fields:
                self.found.missing.append(job_id)
            elif isinstance(fields, Exception):
                self.found.unreadable.append((job_id, fields))
            else:
                try:
                    made = job_class(hash_id, connection=connection, serializer=serializer)
                    restore(made, fields)
                    job = made
                except (RedisError, BaseTimeoutException):
                    raise
                except Exception as error:
                    self.found.unreadable.append((job_id, error))
            jobs.append(job)
        self.found.jobs.extend(jobs)
        return jobs

    def _note_results(self, jobs: Sequence[Any], replies: Sequence[Any] | None) -> None:
        """Add the latest results to what was found: those of the replies, or as RQ's Job.latest_result() reads them."""
        results = self.found.results
        if results is None:
            return
        for index, job in enumerate(jobs):
            if job is None:
                continue
            try:
                result = job.latest_result() if replies is None else _result_from(job, replies[index])
            except BaseTimeoutException:
                raise
            except Exception as error:
                if isinstance(error, RedisError) and not is_wrong_type(error):
                    raise
                self.found.unreadable_results.append((job.id, error))
            else:
                results[job.id] = job._cached_result = result


def _result_from(job: Any, reply: Any) -> Result | None:
    """Return what RQ's Result.fetch_latest() makes of the reply, or raise its error."""
    if isinstance(reply, Exception):
        raise reply
    if not reply:
        return None
    result_id, payload = reply[0]
    # As above: RQ resolves the serializer.
    serializer = None if job.serializer is DefaultSerializer else job.serializer
    return rq_results.Result.restore(
        job.id, result_id.decode(), pairs_of(payload), connection=job.connection, serializer=serializer
    )


# ---- Restoring a job from its hash


_name_of = BoundedCache(bytes.decode).__getitem__
_date_of = moment_if_any if release.parses_missing_dates else moment_of


def _restore_of(job_class: Any, connection: Any) -> tuple[Callable[[Any, Any], Any], Any]:
    """Return a function that restores a job from its hash, and the shape in which it takes that."""
    fast = _fast_restore() if restores_as_rq(job_class, connection) else None
    if fast is None:
        return lambda job, fields: job.restore(fields), pairs_of
    return fast, _decoded


def _fast_restore() -> Callable[[Any, Any], Any] | None:
    """Return RQ's Job.restore(), which calls functions of ours that return the same, and take a tenth of the time.

    Most of the time of RQ's goes into parsing dates and decoding the names of the fields.
    """
    original = vars(rq_job.Job)['restore']
    code = _code_of(original.__code__)
    if code is None:
        return None
    names = {**vars(rq_job), 'decode_redis_hash': lambda fields: fields, 'str_to_date': _date_of}
    return FunctionType(code, names, original.__name__, original.__defaults__, original.__closure__)


@lru_cache(maxsize=4)
def _code_of(code: CodeType) -> CodeType | None:
    """Return a copy of the code, so that what the interpreter learns while it runs is not mixed with RQ's."""
    return code.replace() if 'decode_redis_hash' in code.co_names else None


def _decoded(fields: Any) -> Any:
    """Return what RQ's decode_redis_hash() does, or the error that it raises."""
    names, values = names_and_values(fields)
    try:
        return dict(zip(map(_name_of, names), values, strict=True))
    except UnicodeDecodeError as error:
        return error
