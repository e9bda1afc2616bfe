"""The methods of a started registry that stop, fail or remove many jobs: StartedMixin."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from rq import command as rq_command
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.executions import Execution
from rq.job import Job
from rq.utils import as_text

from .._fastpath import guards
from .._fastpath.dispatch import BulkDecision, is_cluster
from .._fastpath.exchange import ENTRIES, INTEGER, VALUE, Command, ask, exchange
from .._fastpath.rq_keys import executions_key
from .._fastpath.server_errors import concerns_one_job, is_denied
from .._query.arguments import by_name_only
from .._query.chunks import chunks_of
from .._query.filters import NO_SUCH_JOB, Filters, JobFilters
from .._query.hashes import pairs_of
from .._query.listing import parser_of
from .fallback.in_transaction import leave_rate_limit
from .fallback.presence import NotInRegistryError
from .mixin import finder_of, run_on_selected
from .operation import BulkOperation, JobSteps
from .options import IdsProgress, Options, Progress
from .result import NO_WORKER, BulkResult

if TYPE_CHECKING:
    from typing_extensions import Unpack

# A score in 1970: entries that have it count as abandoned, and no other entry has one that is as low.
_ABANDONED = 1
# How often fail_many() tries a job whose worker makes its entry current again.
_TRIES = 3
# How many jobs are done between two calls of progress().
_CHUNK = 100
# The entries of a job, each with its score.
Scores = Mapping[str, float]
Action = Callable[[Any, str, Scores], object]


class StartedMixin:
    """Methods of the registry of the jobs that are being executed. Jobs are given by their ids, not by executions."""

    def stop_many(
        self,
        ids: Iterable[str | Job],
        *,
        progress: IdsProgress | None = None,
        dry_run: bool = False,
        chunk_size: int | None = None,
    ) -> BulkResult:
        """Have the workers stop these jobs, as rq.command.send_stop_job_command() does with one job.

        The call sends the commands and does not wait: each worker then kills the process that executes the job, and
        moves the job to the failed registry with the status 'stopped'.

        Args:
            ids: Job ids or Job objects, from any iterable.
            progress: See BulkOptions.
            dry_run: Whether to send no command and report which would be sent.
            chunk_size: The most jobs between two calls of progress(); 100 by default.

        Returns:
            A BulkResult. Ids that are not in the registry count as missing. Jobs whose worker does not listen, because
            it was killed, for example, are skipped: fail_many() fails these. Jobs without a worker are in `failed`.

        Raises:
            TypeError, ValueError: An argument is wrong.
            redis.exceptions.RedisError: An error that affects all jobs, with the attribute `result`.

        Round trips:
            Three per 100 jobs.

        Source:
            rq.command.send_stop_job_command; Redis PUBLISH.
        """
        return _StopOperation(self, Options(progress, dry_run, chunk_size)).run(finder_of(ids))

    @by_name_only
    def stop_all(
        self,
        *,
        progress: Progress | None = None,
        dry_run: bool = False,
        chunk_size: int | None = None,
        **filters: Unpack[JobFilters],
    ) -> BulkResult:
        """Have the workers stop all jobs of this registry, or those that match the filters; see stop_many().

        As with get_job_ids(), RQ's cleanup() of abandoned jobs runs first.

        Args:
            progress: See BulkOptions.
            dry_run: Whether to send no command and report which would be sent.
            chunk_size: The most jobs between two calls of progress(); 100 by default.
            **filters: See JobFilters. Without filters, all jobs match.

        Returns:
            A BulkResult, as stop_many() returns. A job that has several executions counts once for each of them.

        Raises:
            TypeError, ValueError: An argument is wrong.
            redis.exceptions.RedisError: An error that affects all jobs, with the attribute `result`.

        Round trips:
            Three per 100 jobs, and three per 1000; one more per 1000 with filters.

        Source:
            rq.command.send_stop_job_command.
        """
        selection = Filters.of(**filters)
        return run_on_selected(self, _StopOperation(self, Options(progress, dry_run, chunk_size)), selection)

    def fail_many(
        self,
        ids: Iterable[str | Job],
        *,
        exception_handlers: list[Callable[..., Any]] | None = None,
        progress: IdsProgress | None = None,
        dry_run: bool = False,
        chunk_size: int | None = None,
    ) -> BulkResult:
        """Fail these jobs now, as RQ's cleanup() does with abandoned jobs when the time of their entries has passed.

        RQ's cleanup() does it: a job that has retries left is retried; any other is moved to the failed registry, its
        failure callback is called, and its dependents are enqueued if they allow for failures. RQ 3 only removes the
        entry of a job that has another status than 'started'. No process is ended: if a worker still executes a job,
        stop it by stop_many() first.

        Args:
            ids: Job ids or Job objects, from any iterable.
            exception_handlers: Functions that are called for each job, as by cleanup().
            progress, dry_run: See BulkOptions.
            chunk_size: The most jobs between two calls of progress(); 100 by default.

        Returns:
            A BulkResult. Ids that are not in the registry count as missing; jobs that RQ cannot load are in `failed`,
            and stay as they are.

        Raises:
            TypeError, ValueError: An argument is wrong.
            redis.exceptions.RedisError: An error that affects all jobs, with the attribute `result`.

        Round trips:
            One per 100 jobs, and for each job those of RQ's cleanup() and two more.

        Source:
            rq.registry.StartedJobRegistry.cleanup.
        """
        action = partial(_fail, exception_handlers)
        return _StartedOperation(self, Options(progress, dry_run, chunk_size), action).run(finder_of(ids))

    def remove_many(
        self,
        ids: Iterable[str | Job],
        delete_job: bool = False,
        *,
        progress: IdsProgress | None = None,
        dry_run: bool = False,
        chunk_size: int | None = None,
        wait_replicas: int = 0,
        rate: float | None = None,
        limit: int | None = None,
    ) -> BulkResult:
        """Remove jobs and their executions from this registry. RQ's remove() does not do that for started jobs.

        The executions are not ended: if a worker still works on a job, stop it by stop_many() first. The status of a
        job that is not deleted stays 'started'; fail_many() fails it instead.

        Args:
            ids: Job ids or Job objects, from any iterable.
            delete_job: Whether to delete the jobs too, as Job.delete() does.
            progress, dry_run: See BulkOptions.
            chunk_size: The most jobs between two calls of progress(); 100 by default.
            wait_replicas: As in the other registries. RQ's methods change each job here, so that no chunk is
                acknowledged.
            rate, limit: See BulkOptions.

        Returns:
            A BulkResult. Ids that are not in the registry count as missing; jobs that RQ cannot delete are in `failed`.

        Raises:
            TypeError, ValueError: An argument is wrong.
            redis.exceptions.RedisError: An error that affects all jobs, with the attribute `result`.

        Round trips:
            One per 100 jobs, and three for each job; about ten more with `delete_job`.

        Source:
            rq.executions.Execution.delete, rq.job.Job.delete.
        """
        action = partial(_remove, bool(delete_job))
        options = Options(progress, dry_run, chunk_size, wait_replicas, rate, limit)
        return _StartedOperation(self, options, action).run(finder_of(ids))


class _StartedOperation(BulkOperation):
    """An operation on jobs of a started registry, one by one."""

    def __init__(self, registry: Any, options: Options, action: Action) -> None:
        super().__init__(registry, options, BulkDecision(registry, None), JobSteps(self._act))
        self._action = action
        self._entries: dict[str, dict[str, float]] = {}

    def _do_jobs(self, job_ids: list[str]) -> Iterator[int]:
        size = self._chunk_size or _CHUNK
        processed = 0
        for chunk in chunks_of(job_ids, size):
            self._entries = entries_by_job(self._registry)
            self._do_chunk(chunk)
            processed += len(chunk)
            yield processed

    def _do_chunk(self, job_ids: Sequence[str]) -> None:
        for job_id in job_ids:
            self._do_one_by_rq(job_id)

    def _act(self, job_id: str) -> None:
        entries = self._entries.get(job_id)
        if not entries:
            raise NotInRegistryError
        if not self.result.dry_run:
            self._action(self._registry, job_id, entries)


def entries_by_job(registry: Any) -> dict[str, dict[str, float]]:
    """Return the entries of a started registry with their scores, by the id of the job. One round trip."""
    parse = parser_of(registry) or str
    (entries,) = ask(registry.connection, [(ENTRIES, 'ZRANGE', registry.key, 0, -1, 'WITHSCORES')])
    found: dict[str, dict[str, float]] = {}
    for entry, score in entries:
        found.setdefault(parse(entry), {})[entry] = score
    return found


# ---- Failing


def _fail(exception_handlers: list[Callable[..., Any]] | None, registry: Any, job_id: str, entries: Scores) -> None:
    """Have RQ's cleanup() fail a job: it takes the entries for abandoned that have a score up to the one given."""
    connection = registry.connection
    if not connection.exists(registry.job_class.key_for(job_id)):
        connection.zrem(registry.key, *entries)
        raise NoSuchJobError(f'No such job: {registry.job_class.key_for(job_id)}')
    for _ in range(_TRIES):
        connection.zadd(registry.key, dict.fromkeys(entries, _ABANDONED), xx=True)
        try:
            registry.cleanup(_ABANDONED, exception_handlers)
        except BaseException:
            # An error of this one must not hide the first.
            with suppress(Exception):
                connection.zadd(registry.key, entries, xx=True)
            raise
        if all(connection.zscore(registry.key, entry) is None for entry in entries):
            return
    raise InvalidJobOperation(f'the worker of job {job_id} keeps it in {registry.key!r}: stop the job first')


# ---- Removing


def _remove(delete_job: bool, registry: Any, job_id: str, entries: Scores) -> None:
    """Remove a job's entries and executions, and delete the job if that is requested, in one transaction."""
    connection = registry.connection
    job = registry.job_class(job_id, connection=connection, serializer=registry.serializer)
    # Only its queue is needed: the job may be gone, or RQ may not be able to load it.
    job.origin = registry.name
    executions = [_execution(entry, connection, delete_job) for entry in entries]

    def write(pipeline: Any, to_delete: Any = None) -> None:
        pipeline.zrem(registry.key, *entries)
        for execution in executions:
            execution.delete(to_delete or job, pipeline)
        if to_delete is not None:
            to_delete.delete(pipeline=pipeline)

    found = None
    if delete_job:
        try:
            found = registry.job_class.fetch(job_id, connection=connection, serializer=registry.serializer)
        except NoSuchJobError:
            _run(connection, write)
            raise
    _run(connection, partial(write, to_delete=found))
    if found is not None:
        leave_rate_limit(found)


def _execution(entry: str, connection: Any, delete_job: bool) -> Any:
    """Return the execution of an entry, with the name of its worker if its hash still exists."""
    execution = Execution.from_composite_key(entry, connection=connection)
    fields = pairs_of(connection.hgetall(execution.key))
    # Before RQ 3, executions do not know their workers.
    execution.worker_name = as_text(_worker_of(fields) or '')
    if delete_job and not fields:
        # Job.delete() fails for an execution without a hash, until the time of the execution has passed.
        connection.zrem(executions_key(execution.job_id), execution.id)
    return execution


def _run(connection: Any, write: Callable[[Any], object]) -> None:
    with connection.pipeline() as pipeline:
        write(pipeline)
        pipeline.execute()


# ---- Stopping


class _StopOperation(_StartedOperation):
    """Sends the commands of a chunk of jobs in one write."""

    def __init__(self, registry: Any, options: Options) -> None:
        super().__init__(registry, options, _send_by_rq)

    def _do_chunk(self, job_ids: Sequence[str]) -> None:
        if not guards.stop_guard.holds():
            super()._do_chunk(job_ids)
            return
        listed = [job_id for job_id in job_ids if job_id in self._entries]
        self.result.missing += len(job_ids) - len(listed)
        commands: list[Command] = []
        for job_id, worker_name in zip(listed, self._worker_names(listed), strict=True):
            if isinstance(worker_name, NoSuchJobError):
                self.result.skipped[NO_SUCH_JOB] += 1
            elif isinstance(worker_name, Exception):
                self.result.failed.append((job_id, worker_name))
            else:
                commands.append(_stop_command(worker_name, job_id))
        if self.result.dry_run:
            self.result.done += len(commands)
            return
        for receivers in ask(self._registry.connection, commands) if commands else []:
            # A node of a cluster counts only those that listen to itself.
            if receivers or is_cluster(self._registry.connection):
                self.result.done += 1
            else:
                self.result.skipped[NO_WORKER] += 1

    def _worker_names(self, job_ids: Sequence[str]) -> Iterator[Any]:
        """Yield the name of the worker of each job, or the exception that RQ raises."""
        keys = [self._registry.job_class.key_for(job_id) for job_id in job_ids]
        for key, found in zip(keys, self._worker_fields(keys), strict=True):
            if isinstance(found, Exception):
                if not concerns_one_job(found):
                    raise found
                yield found
            elif found is None:
                yield NoSuchJobError(f'No such job: {key}')
            else:
                yield _text_or_error(found) if found else InvalidJobOperation('Job is not currently executing')

    def _worker_fields(self, keys: Sequence[str]) -> Iterator[Any]:
        """Yield what the hash of each job has of its worker, the server's error, or None for a hash that is gone."""
        connection = self._registry.connection
        reads: list[Command] = [
            command for key in keys for command in ((VALUE, 'HGET', key, 'worker_name'), (INTEGER, 'EXISTS', key))
        ]
        replies = exchange(connection, reads)
        if any(map(is_denied, replies)):
            # As RQ reads a job.
            for fields in exchange(connection, [(VALUE, 'HGETALL', key) for key in keys]):
                yield fields if isinstance(fields, Exception) else _worker_of(pairs_of(fields))
            return
        for name, exists in zip(replies[::2], replies[1::2], strict=True):
            yield name if isinstance(name, Exception) else (name or b'') if exists else None


def _worker_of(fields: Mapping[Any, Any]) -> Any:
    return (fields.get(b'worker_name') or fields.get('worker_name') or b'') if fields else None


def _text_or_error(name: bytes | str) -> str | UnicodeDecodeError:
    try:
        return as_text(name)
    except UnicodeDecodeError as error:
        return error


def _stop_command(worker_name: str, job_id: str) -> Command:
    """Return the command that rq.command.send_stop_job_command() sends."""
    payload = {'command': 'stop-job', 'job_id': job_id}
    return (INTEGER, 'PUBLISH', rq_command.PUBSUB_CHANNEL_TEMPLATE % worker_name, json.dumps(payload))


def _send_by_rq(registry: Any, job_id: str, entries: Scores) -> None:
    rq_command.send_stop_job_command(registry.connection, job_id, registry.serializer)
