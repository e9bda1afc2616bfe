"""A page of a registry, and the jobs on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError
from rq.job import Job, parse_job_id
from rq.timeouts import BaseTimeoutException

from .._exchange import ENTRIES, INTEGER, TEXTS, VALUE, Command, exchange, shaped, without_errors
from .._rq_methods import find
from .arguments import ranks_of
from .job_fields import is_of_wrong_type, pairs_of


@dataclass(frozen=True)
class _PagePlace:
    total: int
    page: int
    per_page: int

    @property
    def pages(self) -> int:
        """How many pages the registry has; 0 where it is empty."""
        return -(-self.total // self.per_page)

    @property
    def has_next(self) -> bool:
        """Whether there is a page behind this one."""
        return self.page < self.pages


@dataclass(frozen=True)
class Page(_PagePlace):
    """The ids of the jobs on one page of a registry; an iterable of them.

    total: how many entries the registry has. page: which page this is, from 1. per_page: how many entries a page has.
    job_ids: str ordered by score. scores: of the entries, float, in the same order; None where not asked for.
    """

    job_ids: list[str]
    scores: list[float] | None = None

    def __len__(self) -> int:
        """Return how many entries are on this page."""
        return len(self.job_ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self.job_ids)


@dataclass(frozen=True)
class JobPage(_PagePlace):
    """The jobs on one page of a registry; an iterable of them.

    total, page, per_page, pages, has_next: as for Page.
    jobs: Job objects of the registry's job_class, ordered by score. missing: the ids of jobs that are gone.
    unreadable: (job id, exception) of each job that is there, but cannot be restored.
    """

    jobs: list[Job]
    missing: list[str]
    unreadable: list[tuple[str, Exception]]

    def __len__(self) -> int:
        """Return how many jobs are on this page."""
        return len(self.jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(self.jobs)


def page_reads(key: str, page: int, per_page: int, desc: bool, with_scores: bool) -> tuple[Command, Command]:
    """Return the commands that read a page of the registry of a key, and count its entries.

    What is read is shaped by page_of(): an entry that is no text may be off the page after a cleanup, and is nobody
    else's trouble in a batch.
    """
    start, stop = ranks_of(page, per_page)
    name = 'ZREVRANGE' if desc else 'ZRANGE'
    return (VALUE, name, key, start, stop, *(['WITHSCORES'] if with_scores else [])), (INTEGER, 'ZCARD', key)


def page_of(
    found: Any, total: int, page: int, per_page: int, with_scores: bool, parse: Callable[[str], str] | None
) -> Page:
    """Return the page of what was read; `parse` makes an entry a job id."""
    entries = shaped(ENTRIES if with_scores else TEXTS, found)
    members = [member for member, _ in entries] if with_scores else entries
    job_ids = members if parse is None else [parse(member) for member in members]
    return Page(total, page, per_page, job_ids, [score for _, score in entries] if with_scores else None)


def read_page(
    registry: Any,
    page: int,
    per_page: int,
    desc: bool,
    with_scores: bool,
    cleanup: bool,
    parse: Callable[[str], str] | None,
) -> Page:
    """Read a page, after the registry's cleanup where that is wanted."""
    # It needs the registries, which are made of this package.
    from .._cleaning import clean_and_exchange, cleaning_of, now

    reads = page_reads(registry.key, page, per_page, desc, with_scores)
    to_clean = [(cleaning_of(registry, now()), registry.cleanup)] if cleanup else []
    found, total = without_errors(clean_and_exchange(registry.connection, to_clean, reads))
    return page_of(found, total, page, per_page, with_scores, parse)


def read_jobs(registry: Any, page: Page) -> JobPage:
    """Read the jobs of a page, in one round trip."""
    result = JobPage(page.total, page.page, page.per_page, [], [], [])
    for job_id, job in zip(page.job_ids, _jobs(registry, page.job_ids), strict=True):
        if job is None:
            result.missing.append(job_id)
        elif isinstance(job, Exception):
            result.unreadable.append((job_id, job))
        else:
            result.jobs.append(job)
    return result


def _jobs(registry: Any, job_ids: list[str]) -> list[Any]:
    """Return each job, None where it is gone, or the exception by which it cannot be restored."""
    job_class, connection = registry.job_class, registry.connection
    if find(job_class, 'fetch_many').origin != ('rq.job', 'Job.fetch_many'):
        jobs: list[Any] = job_class.fetch_many(job_ids, connection=connection, serializer=registry.serializer)
        return jobs
    # What RQ's own does, but that one job which cannot be restored does not keep the others back.
    commands = [(VALUE, 'HGETALL', job_class.key_for(parse_job_id(job_id))) for job_id in job_ids]
    hashes = exchange(connection, commands)
    return [_restored(registry, job_id, fields) for job_id, fields in zip(job_ids, hashes, strict=True)]


def _restored(registry: Any, job_id: str, fields: Any) -> Any:
    if isinstance(fields, Exception) and not is_of_wrong_type(fields):
        raise fields
    if not fields or isinstance(fields, Exception):
        return fields or None
    try:
        job = registry.job_class(parse_job_id(job_id), connection=registry.connection, serializer=registry.serializer)
        job.restore(pairs_of(fields))
    except (RedisError, BaseTimeoutException):
        raise
    except Exception as error:
        return error
    return job
