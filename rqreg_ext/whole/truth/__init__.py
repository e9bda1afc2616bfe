"""check() and repair(): whether what RQ left in Redis is true, and what can be mended.

All that they take is imported when they are first called: most programs with registries never do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .problems import CheckReport, Kind, Problem
    from .reader import Progress
    from .repairs import RepairReport


class Truth:
    """Finding and mending what is wrong."""

    def check(
        self,
        *,
        orphans: bool = True,
        settle: float = 1.0,
        limit: int | None = None,
        chunk_size: int = 1000,
        progress: Progress | None = None,
    ) -> CheckReport:
        """Return a CheckReport of what is wrong with this registry, and with the jobs that belong in it.

        Changes nothing, and holds the server no longer than single plain reads do. Jobs may come and go meanwhile: what
        seems wrong is looked at twice, and reported where it was the same for `settle` seconds.

        orphans: also scan the keys of all jobs for those that belong here by status and queue, and that nothing holds.
        settle: seconds that a suspicion must stand; the call takes that much longer where there is one.
        limit: the number of problems after which to stop.
        chunk_size: how many entries are read at a time.
        progress: called with how many entries and jobs were looked at, and how many there are; False ends the check.

        The kinds of problems are those of Kind. Raises redis.exceptions.RedisError; ValueError for bad arguments; and
        NotImplementedError for an RQ whose ways are not known. Costs a few round trips for every `chunk_size` entries,
        and with `orphans` for every thousand keys in the database. Memory grows with what is wrong only.
        """
        from .checking import check_registry

        return check_registry(self, orphans, settle, limit, chunk_size, progress)

    def repair(
        self,
        problems: Iterable[Problem] | None = None,
        *,
        kinds: Iterable[Kind | str] | None = None,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> RepairReport:
        """Mend what has one safe answer, and return a RepairReport of what was mended, and what was left and why.

        problems: what check() returned, or some of it; by default this registry is checked now.
        kinds: the kinds to mend; by default all of them.
        dry_run: change nothing, and say what would be done.
        progress: called with how many problems were dealt with, and how many there are; False ends the repair.

        Each problem is mended by one atomic script, which looks again whether it still stands: so it is safe beside
        workers, and may be called again after anything. Jobs are never deleted. Abandoned jobs are left to RQ's own
        clean-up of their registry, with all that it does for them, as any count of it does.

        Raises redis.exceptions.RedisError, with the report until then as its attribute `result`; TypeError, ValueError
        for bad arguments. A server that refuses all of the scripts is such an error: RQ has no repair to fall back on.
        Where it refuses some of them, those problems are among the failed, and nothing was done about them.
        Costs a round trip for every 200 problems, beside a check().
        """
        from .checking import repair_registry

        return repair_registry(self, problems, kinds, dry_run, progress)
