"""check() and repair() of a registry: find inconsistent data of RQ in Redis, and repair it.

The modules that do this are imported by the first call, as most programs never make one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._fastpath.deferred import imports_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .problems import CheckReport, Problem, ProblemKind
    from .reader import Progress
    from .repair_report import RepairReport


class IntegrityMixin:
    """check() and repair(), for all registries."""

    def check(
        self,
        *,
        orphans: bool = True,
        settle: float = 1.0,
        limit: int | None = None,
        chunk_size: int = 1000,
        progress: Progress | None = None,
    ) -> CheckReport:
        """Find inconsistent entries in this registry, and inconsistent jobs that belong in it.

        Changes nothing, and sends only short reads, so that other clients may write during the check. Each candidate is
        read twice, `settle` seconds apart, and reported only if both reads gave the same.

        Args:
            orphans: Whether to scan the keys of all jobs for those whose status and queue are this registry's, but that
                are in no registry, in no queue and with no worker.
            settle: Seconds between the two reads. The call takes that much longer if there are candidates.
            limit: The number of problems after which to stop; None to find all.
            chunk_size: How many entries to read at a time.
            progress: Called with the number of entries and jobs read, and their estimated total; stops the check if it
                returns False.

        Returns:
            CheckReport: A sequence of Problem, each of one ProblemKind.

        Raises:
            redis.exceptions.RedisError: The server or the connection failed.
            ValueError: An argument is wrong.
            NotImplementedError: The installed RQ is of a release that check() does not support.

        Round trips:
            A few per chunk, and with `orphans` a few for every thousand keys in the database.
        """
        # For start-up time: most programs never call this.
        with imports_of('check()'):
            from .check import check_registry

        return check_registry(self, orphans, settle, limit, chunk_size, progress)

    def repair(
        self,
        problems: Iterable[Problem] | None = None,
        *,
        kinds: Iterable[ProblemKind | str] | None = None,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> RepairReport:
        """Repair the problems of this registry that have one safe repair.

        An atomic script repairs each problem, and changes nothing if the problem is gone by then: workers may run
        during the call, and the call may be repeated. It deletes no job. Abandoned jobs are left to RQ's own cleanup
        of the registry, which retries or fails them.

        Args:
            problems: A result of check(), or some of its problems; None to check this registry first.
            kinds: The kinds of problems to repair; None for all of them.
            dry_run: Whether to change nothing, and only report what would be done.
            progress: Called with the number of problems processed, and their total; stops the repair if it returns
                False.

        Returns:
            RepairReport: The problems that were repaired, were gone, were left, or failed.

        Raises:
            redis.exceptions.RedisError: The server or the connection failed, or the server refused every script. The
                attribute `result` of the exception is the RepairReport so far.
            TypeError: `problems` is not a collection of Problem.
            ValueError: `kinds` has an unknown kind.

        Round trips:
            One for every 200 problems, and those of check() if `problems` is None.
        """
        # For start-up time: most programs never call this.
        with imports_of('repair()'):
            from .check import repair_registry

        return repair_registry(self, problems, kinds, dry_run, progress)
