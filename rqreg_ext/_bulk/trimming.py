"""trim(): the old jobs of a registry are deleted, whatever "old" means in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from .._fastpath.rq_keys import CANCELED, FAILED, FINISHED, RegistryKind, registry_kind_of
from .._query.arguments import by_name_only, keep_newest_of
from .._query.filters import Filters, JobFilters, moment_of_filter
from .options import Progress
from .result import BulkResult

if TYPE_CHECKING:
    from typing_extensions import Unpack

_KINDS = (FAILED, FINISHED, CANCELED)


class TrimMixin:
    """The registry method that deletes old jobs."""

    @by_name_only
    def trim(
        self,
        *,
        keep: int | None = None,
        older_than: datetime | timedelta | float | None = None,
        progress: Progress | None = None,
        dry_run: bool = False,
        chunk_size: int | None = None,
        wait_replicas: int = 0,
        rate: float | None = None,
        limit: int | None = None,
        **filters: Unpack[JobFilters],
    ) -> BulkResult:
        """Delete the old jobs of a failed, finished or canceled registry: all but the newest, or those before a time.

        The call is purge() with `keep_newest`, or with a filter on the time when a job ended or was canceled. RQ itself
        never deletes canceled jobs.

        Args:
            keep: How many of the jobs that match to keep, the newest.
            older_than: The time before which jobs are old: a datetime with a time zone, a timedelta before now, or a
                Unix timestamp in seconds. Give this or `keep`.
            progress, dry_run, chunk_size, wait_replicas, rate, limit: See BulkOptions.
            **filters: See JobFilters. Without filters, all jobs match.

        Returns:
            A BulkResult, as purge() returns.

        Raises:
            TypeError, ValueError: An argument is wrong.
            NotImplementedError: This is a registry of another kind, whose jobs have yet to run.
            redis.exceptions.RedisError: An error that affects all jobs, with the attribute `result`.

        Round trips:
            Those of purge().

        Source:
            rq.registry.BaseRegistry.remove, rq.job.Job.delete.
        """
        registry: Any = self
        result: BulkResult = registry.purge(
            keep_newest=keep,
            progress=progress,
            dry_run=dry_run,
            chunk_size=chunk_size,
            wait_replicas=wait_replicas,
            rate=rate,
            limit=limit,
            **filters_of_trim(registry_kind_of(registry), keep, older_than, filters),
        )
        return result


def filters_of_trim(kind: RegistryKind | None, keep: Any, older_than: Any, filters: Mapping[str, Any]) -> JobFilters:
    """Check the arguments of trim(), and return the filters that select what may be deleted."""
    if kind not in _KINDS:
        raise NotImplementedError(
            f'trim() is for failed, finished and canceled registries: the jobs of a {kind} have yet to run. '
            'purge() deletes those that match filters'
        )
    if (keep is None) is (older_than is None):
        raise ValueError('trim() takes keep=, how many jobs to keep, or older_than=, the time before which to delete')
    found = dict(filters)
    if keep is not None:
        keep_newest_of(keep)
    else:
        moment = moment_of_filter('older_than', older_than)
        if kind is CANCELED:
            # The score is when the job was canceled.
            before = math.nextafter(moment.timestamp(), -math.inf)
            found['max_score'] = min(before, filters.get('max_score', before))
        elif 'ended_before' in filters:
            raise ValueError('older_than= is ended_before= here: give one of them')
        else:
            found['ended_before'] = moment
    checked = cast('JobFilters', found)
    Filters.of(**checked)
    return checked
