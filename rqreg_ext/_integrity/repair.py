"""Runs the repair steps: a script for each problem, and RQ's own cleanup where that repairs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rq import utils
from rq.job import Job

from .._fastpath import releases
from .._fastpath.exchange import run_scripts
from .._fastpath.rq_keys import RegistryKind
from .._fastpath.server_errors import concerns_one_job, concerns_one_queue, error_to_raise, is_wrong_type
from .._query.chunks import chunks_of
from .problems import Problem, ProblemKind
from .reader import Progress, text
from .repair_report import RepairReport
from .repair_step import RepairStep

# How many problems are repaired in one round trip, each by its own script.
_CHUNK = 200
# Scripts whose last argument is an index in a list.
_FROM_LIST = frozenset({'drop_missing_from_list', 'drop_stale_from_list'})
NO_SAFE_REPAIR = 'there is no one safe repair'

# Returns the registry of a kind and a queue.
RegistryOf = Callable[[RegistryKind, str], Any]


def registries_of(connection: Any, job_class: type[Job], serializer: Any) -> RegistryOf:
    """Return a function that creates RQ's registries on this connection."""

    def registry_of(registry_kind: RegistryKind, queue: str) -> Any:
        return registry_kind.rq_class(queue, connection=connection, job_class=job_class, serializer=serializer)

    return registry_of


class Repair:
    """A call of repair()."""

    def __init__(self, connection: Any, registry_of: RegistryOf, dry_run: bool) -> None:
        self._connection = connection
        self._registry_of = registry_of
        self._report = RepairReport(dry_run)
        self._clean_ups: dict[tuple[RegistryKind, str], list[Problem]] = {}
        # Whether the server ran a script, and the error of the first one that it refused.
        self._script_ran = False
        self._refusal: Exception | None = None

    def run(self, problems: Any, kinds: frozenset[ProblemKind], progress: Progress | None) -> RepairReport:
        """Repair the problems of these kinds.

        Raises TypeError if `problems` is not a collection of Problem, and redis.exceptions.RedisError if the connection
        or the server fails, or the server refused every script. The attribute `result` of an exception is the report so
        far.
        """
        ordered = _in_order(problems_to_repair(problems, kinds))
        self._report.errors.update(getattr(problems, 'errors', {}))
        started = time.monotonic()
        try:
            self._repair_all(ordered, progress)
        except BaseException as error:
            error.result = self._report  # type: ignore[attr-defined]
            raise
        finally:
            self._report.seconds = time.monotonic() - started
        return self._report

    def _repair_all(self, ordered: Sequence[Problem], progress: Progress | None) -> None:
        processed = 0
        for chunk in chunks_of(ordered, _CHUNK):
            self._repair_chunk(chunk)
            processed += len(chunk)
            if progress is not None and progress(processed, len(ordered)) is False:
                self._report.stopped = processed < len(ordered)
                break
        if self._refusal is not None and not self._script_ran:
            raise self._refusal
        for (registry_kind, queue), pending in self._clean_ups.items():
            self._clean_up(registry_kind, queue, pending)

    def _repair_chunk(self, problems: Sequence[Problem]) -> None:
        steps = [(problem, problem.repair_step) for problem in problems if problem.repair_step is not None]
        self._report.left += [(problem, NO_SAFE_REPAIR) for problem in problems if problem.repair_step is None]
        for (problem, step), answer in zip(steps, self._run_scripts([step for _, step in steps]), strict=True):
            if isinstance(answer, Exception):
                self._report.failed.append((problem, answer))
            elif answer == 0:
                self._report.gone[problem.kind] += 1
            elif answer != 1:
                self._report.left.append((problem, text(answer)))
            elif step.clean_up is None or self._report.dry_run:
                self._report.repaired[problem.kind] += 1
            else:
                self._clean_ups.setdefault(step.clean_up, []).append(problem)

    def _run_scripts(self, steps: Sequence[RepairStep]) -> list[Any]:
        """Return the scripts' answers, with an exception in place of an error of the server."""
        common: tuple[str | int, ...] = (
            'dry_run' if self._report.dry_run else 'repair',
            releases.current_timestamp(),
            utils.utcformat(utils.now()),
        )
        answers = run_scripts(
            self._connection, [(step.script, step.keys, (*common, *step.arguments)) for step in steps]
        )
        for answer in answers:
            if not isinstance(answer, Exception) or is_wrong_type(answer):
                self._script_ran = True
                continue
            # RQ has no code that could do the repair instead, as in the bulk operations.
            to_raise = error_to_raise(answer)
            if to_raise is not None:
                raise to_raise
            self._refusal = self._refusal or answer
        return answers

    def _clean_up(self, registry_kind: RegistryKind, queue: str, problems: Sequence[Problem]) -> None:
        """Run RQ's cleanup of a registry, which retries or fails its jobs and runs their callbacks."""
        try:
            self._registry_of(registry_kind, queue).cleanup()
        except Exception as error:
            if not concerns_one_job(error) and not concerns_one_queue(error):
                raise
            self._report.failed += [(problem, error) for problem in problems]
        else:
            self._report.repaired.update(problem.kind for problem in problems)


def problems_to_repair(problems: Any, kinds: frozenset[ProblemKind]) -> list[Problem]:
    """Return the problems of these kinds. Raises TypeError if `problems` is not a collection of Problem."""
    if isinstance(problems, (Problem, str, bytes)) or not isinstance(problems, Iterable):
        raise TypeError(f'problems={problems!r} is not a collection of problems: give what check() returned, or a list')
    given = list(problems)
    for problem in given:
        if not isinstance(problem, Problem):
            raise TypeError(f'{problem!r} is not a Problem: give what check() returned, or some of it')
    return [problem for problem in given if problem.kind in kinds]


def _in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems in the order in which they are repaired.

    Removals from lists go from the end to the front, so that they do not move the ids that are removed later. Jobs that
    return to a queue come last, in the order in which they were enqueued.
    """
    others: list[Problem] = []
    from_list: list[Problem] = []
    to_queue: list[Problem] = []
    for problem in problems:
        script = problem.repair_step.script if problem.repair_step is not None else ''
        (from_list if script in _FROM_LIST else to_queue if script == 'put_back_in_queue' else others).append(problem)
    from_list.sort(key=lambda problem: _argument(problem, -1), reverse=True)
    to_queue.sort(key=lambda problem: _argument(problem, 3))
    return others + from_list + to_queue


def _argument(problem: Problem, index: int) -> Any:
    return problem.repair_step.arguments[index] if problem.repair_step is not None else None
