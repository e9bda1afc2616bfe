"""check() and repair(): whether what RQ left in Redis is true, and what can be mended.

All that they take is imported when they are first called: most programs with registries never do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .problems import CheckReport
    from .reader import Progress


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
