"""Pages of a registry: of job ids, and of jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._fastpath.cleanup import clean_and_exchange, cleanup_commands_of, current_timestamp
from .._fastpath.exchange import ENTRIES, INTEGER, TEXTS, VALUE, Command, shaped, without_errors
from .arguments import ranks_of
from .jobs import described, load_jobs

if TYPE_CHECKING:
    from rq.job import Job
    from rq.results import Result


@dataclass(frozen=True)
class _PageNumbers:
    total: int
    page: int
    per_page: int

    @property
    def pages(self) -> int:
        """The number of pages; 0 if the registry is empty."""
        return -(-self.total // self.per_page)

    @property
    def has_next(self) -> bool:
        """Whether there is a page after this one."""
        return self.page < self.pages


@dataclass(frozen=True, repr=False)
class Page(_PageNumbers):
    """One page of the job ids in a registry, returned by get_page(). Iterating over it gives the ids.

    Attributes:
        total: The number of entries in the registry.
        page: The number of this page, from 1.
        per_page: How many entries a page has.
        pages (int): The number of pages; 0 if the registry is empty.
        has_next (bool): Whether there is a page after this one.
        job_ids: The ids on this page, ordered by score.
        scores: The scores of the entries, in the same order; None without `with_scores`. In most registries they are
            Unix timestamps in seconds.
    """

    job_ids: list[str]
    scores: list[float] | None = None

    def __len__(self) -> int:
        """Return the number of entries on this page."""
        return len(self.job_ids)

    def __repr__(self) -> str:
        return f'<Page {self.page} of {self.pages}: {len(self)} of {self.total} entries>'

    def __iter__(self) -> Iterator[str]:
        return iter(self.job_ids)


@dataclass(frozen=True, repr=False)
class JobPage(_PageNumbers):
    """One page of the jobs in a registry, returned by get_jobs(). Iterating over it gives the jobs.

    Attributes:
        total: The number of entries in the registry.
        page: The number of this page, from 1.
        per_page: How many entries a page has.
        pages (int): The number of pages; 0 if the registry is empty.
        has_next (bool): Whether there is a page after this one.
        jobs: The jobs on this page that could be loaded, ordered by score: objects of the registry's job_class.
        missing: The ids of jobs whose hash no longer exists.
        unreadable: (job id, exception) of each job that exists, but that RQ cannot load.
        results: With `with_results`, the latest rq.results.Result of each job in `jobs` by its id, None for a job that
            has none; None otherwise. `job.return_value()` then needs no round trip for a job that has a result.
        unreadable_results: (job id, exception) of each job whose latest result RQ cannot load. It is not in `results`.
    """

    jobs: list[Job]
    missing: list[str]
    unreadable: list[tuple[str, Exception]]
    results: dict[str, Result | None] | None = None
    unreadable_results: list[tuple[str, Exception]] = field(default_factory=list)

    def __len__(self) -> int:
        """Return the number of jobs on this page that could be loaded."""
        return len(self.jobs)

    def __repr__(self) -> str:
        counts = described(len(self), self)
        return f'<{type(self).__name__} {self.page} of {self.pages}: {counts}, of {self.total} entries>'

    def __iter__(self) -> Iterator[Job]:
        return iter(self.jobs)


def page_reads(key: str, page: int, per_page: int, desc: bool, with_scores: bool) -> tuple[Command, Command]:
    """Return the commands that read a page of the registry with this key, and count its entries.

    page_of() decodes the reply to the first. It is not decoded at once, because an entry that is not UTF-8 may be
    moved to another page by a cleanup, and in a batch it must not fail the other calls.
    """
    start, stop = ranks_of(page, per_page)
    name = 'ZREVRANGE' if desc else 'ZRANGE'
    return (VALUE, name, key, start, stop, *(['WITHSCORES'] if with_scores else [])), (INTEGER, 'ZCARD', key)


def page_of(
    found: Any, total: int, page: int, per_page: int, with_scores: bool, parse: Callable[[str], str] | None
) -> Page:
    """Build a page from the replies to page_reads(); `parse` extracts the job id from an entry."""
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
    """Read a page, after the registry's cleanup if `cleanup` is true."""
    reads = page_reads(registry.key, page, per_page, desc, with_scores)
    to_clean = [(cleanup_commands_of(registry, current_timestamp()), registry.cleanup)] if cleanup else []
    found, total = without_errors(clean_and_exchange(registry.connection, to_clean, reads))
    return page_of(found, total, page, per_page, with_scores, parse)


def read_jobs(registry: Any, page: Page, with_results: bool) -> JobPage:
    """Read the jobs of a page, and their latest results if requested, in one round trip."""
    found = load_jobs(registry.job_class, registry.connection, registry.serializer, page.job_ids, with_results)
    return JobPage(
        page.total,
        page.page,
        page.per_page,
        [job for job in found.jobs if job is not None],
        found.missing,
        found.unreadable,
        found.results,
        found.unreadable_results,
    )
