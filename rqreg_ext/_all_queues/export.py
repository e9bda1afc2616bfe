"""export() and restore(): the jobs of many queues in a file, and back in a Redis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import compress
from typing import TYPE_CHECKING, Any, Literal

from rq.job import Job
from rq.serializers import resolve_serializer

from .._bulk.call import BulkCall, ResultAttacher
from .._export.exporting import Export
from .._export.files import InputFile
from .._export.reading import QUEUED
from .._export.restoring import RestoreOperation
from .._fastpath.clients.by_url import client_from
from .._fastpath.dispatch import require_unchanged
from .._fastpath.rq_keys import REGISTRIES
from .._fastpath.server_errors import concerns_one_queue, note_key
from .._query.arguments import text_ids_of
from .._query.filters import Filters, JobFilters, fixed_in_time
from .._query.waiting_reads import filters_of
from ..waiting_jobs import WaitingJobs
from .operations import BulkResults
from .selection import class_named, existing_queues, registry_in

if TYPE_CHECKING:
    from redis import Redis
    from rq import Queue
    from typing_extensions import Unpack

    from .._bulk.options import IdsProgress

PlaceName = Literal['queued', 'started', 'finished', 'failed', 'deferred', 'scheduled', 'canceled', 'ready']
"""A registry of a queue, as in `queue.failed_job_registry`; 'queued' for the jobs that wait. 'ready' needs RQ 3."""


def export(
    connection: Redis | str,
    file: Any,
    registries: Iterable[PlaceName] | PlaceName = 'failed',
    queues: Iterable[str | Queue] | str | Queue | None = None,
    *,
    job_class: type[Job] | None = None,
    serializer: Any = None,
    ids: Iterable[str | Job] | None = None,
    progress: IdsProgress | None = None,
    chunk_size: int = 1000,
    limit: int | None = None,
    **filters: Unpack[JobFilters],
) -> BulkResults:
    """Write the jobs of many queues into a file that restore() reads.

    Nothing is changed. See the registry's export() for what is written of a job.

    Args:
        connection: A redis-py client, or a URL.
        file: The path of a new file, which is compressed if it ends with `.gz`; or a file that is open for writing in
            binary mode.
        registries: 'failed', 'finished', 'started', 'deferred', 'scheduled', 'canceled', or with RQ 3 'ready'; one or
            more of them. And 'queued' for the jobs that wait in the queues, in their order.
        queues: Names of queues, or Queue objects, whose job class and serializer are then used; None for all queues.
        job_class: The class of the jobs; rq.job.Job by default.
        serializer: The serializer of the jobs, or its import path.
        ids: The ids of the jobs to write, or Job objects, as far as they are in these registries, instead of all.
        progress: Called after each chunk as progress(processed, total); returning False ends the call, without a file.
            `total` is that of one registry, and None with `ids`.
        chunk_size: The most jobs to read at a time.
        limit: The most jobs to write, of all queues together; None for all. Entries whose job is gone do not count.
        **filters: See JobFilters; with 'queued', `min_score` and `max_score` are not taken. Without filters, all jobs
            match.

    Returns:
        A BulkResults. If one queue cannot be read, its error is in `errors`, and the file has the other queues.

    Raises:
        TypeError, ValueError: An argument is wrong, or names a queue that does not exist.
        FileExistsError: There is a file of this name. OSError: It cannot be written.
        NotImplementedError: The client changes commands, or may do so.
        redis.exceptions.RedisError: An error that affects all queues. Like any exception during the call, it has the
            result until then as its attribute `result`, and leaves no file.

    Round trips:
        Those of the registry's export() for each registry, and one to find the queues.

    Source:
        Redis HGETALL, XREVRANGE, SMEMBERS, ZRANGE, ZSCORE, PTTL; LRANGE of queues.
    """
    names = _names_of(registries)
    job_ids = None if ids is None else list(dict.fromkeys(text_ids_of(ids)))
    if job_ids is not None and filters:
        raise ValueError('export() takes either filters or ids=')
    Filters.of(**filters)
    if QUEUED in names:
        filters_of("export() with 'queued'", filters)
    selection = Filters.of(**fixed_in_time(filters))
    client = client_from(connection)
    require_unchanged(client, 'export()')
    found = existing_queues(client, queues)
    results = BulkResults()
    job_options = {'job_class': job_class, 'serializer': resolve_serializer(serializer)}
    exported = Export(file, chunk_size, limit)
    with ResultAttacher(results), exported:
        results._remaining_elsewhere = None
        for name, queue in found.items():
            call = BulkCall(progress)
            results._results[name] = call.result
            try:
                with call:
                    _export_queue(
                        exported, _registries(client, name, queue, names, job_options), selection, job_ids, call
                    )
            except Exception as error:
                if not concerns_one_queue(error):
                    raise
                results.errors[name] = error
            if exported.is_over:
                break
        else:
            results._remaining_elsewhere = 0
    return results


def _registries(
    client: Any, queue_name: str, queue: Queue | None, names: Iterable[str], job_options: dict[str, Any]
) -> Iterator[Any]:
    for name in names:
        registry_class = WaitingJobs if name == QUEUED else class_named(name)
        yield registry_in(client, registry_class, queue_name, queue, **job_options)


def _export_queue(
    exported: Export, registries: Iterable[Any], selection: Filters, job_ids: list[str] | None, call: BulkCall
) -> None:
    """Write the jobs of a queue's registries. An error about one queue names the key that was being read."""
    key = None
    try:
        for registry in registries:
            key = registry.key
            if job_ids is None:
                exported.add(registry, selection, call)
            else:
                there = compress(job_ids, registry.contains_many(job_ids))
                exported.add_ids(registry, there, call, are_there=True)
            if exported.is_over:
                break
    except Exception as error:
        if concerns_one_queue(error):
            note_key(error, key)
        raise


def _names_of(registries: Any) -> list[str]:
    given = [registries] if isinstance(registries, str) else registries
    if not isinstance(given, Iterable) or isinstance(given, bytes):
        raise TypeError(f'registries={registries!r} names no registries: give some of {_known()}')
    names = list(dict.fromkeys(given))
    for name in names:
        if not isinstance(name, str) or name not in (*REGISTRIES, QUEUED):
            raise ValueError(f'{name!r} in registries names no registry of RQ: give some of {_known()}')
    return names


def _known() -> str:
    return ', '.join(map(repr, (*REGISTRIES, QUEUED)))


def restore(
    connection: Redis | str,
    file: Any,
    *,
    to_queue: str | None = None,
    skip_existing: bool = False,
    job_class: type[Job] | None = None,
    progress: IdsProgress | None = None,
    dry_run: bool = False,
) -> BulkResults:
    """Put the jobs of a file that export() wrote into the registries that they were in, in this Redis or another one.

    Each job is restored completely or not at all, with all that export() wrote of it. A key expires when it would have
    expired. A job that exists already is left as it is. RQ lists the queues afterwards. A started job is restored with
    its executions: no worker executes it, so that RQ's cleanup retries it or fails it, as it does with abandoned jobs.

    Args:
        connection: A redis-py client, or a URL.
        file: The path of a file, compressed or not; or a file that is open for reading in binary mode.
        to_queue: The name of the queue to put all jobs into, in the place of their own.
        skip_existing: Whether jobs that exist are skipped; by default they are in `failed`, with a JobExistsError. So
            the same call again does the rest after an interruption.
        job_class: The class of the jobs, which defines their keys; rq.job.Job by default.
        progress: Called after each chunk as progress(processed, None); returning False ends the call.
        dry_run: Whether to change nothing and report what would be done.

    Returns:
        A BulkResults, by the queues into which jobs were put. Jobs that have expired since are skipped.

    Raises:
        TypeError, ValueError: An argument is wrong.
        DamagedFileError: A line of the file is damaged, or the file is cut off; the message has the number of the line.
            What stands before that line was restored. OSError: It cannot be read.
        NotImplementedError: The client changes commands, or may do so; or a cluster keeps RQ's keys in several slots.
        redis.exceptions.RedisError: An error that affects all jobs. Like any exception during the call, it has the
            result until then as its attribute `result`.

    Round trips:
        One per 1000 jobs, and one for each queue.

    Source:
        Redis HSET, XADD, SADD, ZADD, PEXPIREAT.
    """
    if to_queue is not None and (not isinstance(to_queue, str) or not to_queue):
        raise TypeError(
            f"to_queue={to_queue!r} is not a name of a queue: give a str, or leave it out for the jobs' own"
        )
    client = client_from(connection)
    call = RestoreOperation(
        client, Job if job_class is None else job_class, to_queue, bool(skip_existing), bool(dry_run), progress
    )
    results = BulkResults(bool(dry_run))
    results._results = call.results
    source = InputFile(file)
    with ResultAttacher(results), closing(source):
        results._remaining_elsewhere = None
        call.run(source)
        results._remaining_elsewhere = 0
    return results
