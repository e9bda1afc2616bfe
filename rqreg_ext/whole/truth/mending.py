"""Mending: a script for each problem, which looks again whether it stands, and RQ's own clean-up where that does it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rq.job import Job
from rq.utils import now, utcformat

from ... import _core, _installed_rq
from ..._exchange import VALUE, Command, exchange
from ..._script_errors import error_to_raise, words_of
from ..by_rq import is_of_the_job
from .mends import Mend
from .places import Place
from .problems import Kind, Problem
from .reader import Progress, text
from .repairs import RepairReport
from .suspicions import WRONG_TYPE

# Problems that are mended in one round trip, each by itself.
_BATCH = 200
# Those whose last argument is an index in a list.
_FROM_LIST = frozenset({'drop_missing_from_list', 'drop_stale_from_list'})
NO_ANSWER = 'there is no one safe answer'

# Makes the registry of a kind and a queue.
RegistryOf = Callable[[Place, str], Any]


def registries_of(connection: Any, job_class: type[Job], serializer: Any) -> RegistryOf:
    """Return what makes our registries on this connection."""
    from ... import registry

    def registry_of(place: Place, queue: str) -> Any:
        ours = getattr(registry, place.rq_class.__name__)
        return ours(queue, connection=connection, job_class=job_class, serializer=serializer)

    return registry_of


class Mending:
    """The mending of some problems."""

    def __init__(self, connection: Any, registry_of: RegistryOf, dry_run: bool) -> None:
        self._connection = connection
        self._registry_of = registry_of
        self._report = RepairReport(dry_run)
        self._to_clean_up: dict[tuple[Place, str], list[Problem]] = {}
        # Whether a script was run, and the first error of one that was not.
        self._has_run = False
        self._refusal: Exception | None = None

    def mend(self, problems: Any, kinds: frozenset[Kind], progress: Progress | None) -> RepairReport:
        """Mend those of the problems that are of these kinds and have one safe answer.

        Raises TypeError for what are no problems, and redis.exceptions.RedisError where the connection or the server
        fails, or where the server refused every script; that has the report until then as its attribute `result`.
        """
        ordered = _in_order(problems_to_mend(problems, kinds))
        self._report.errors.update(getattr(problems, 'errors', {}))
        started = time.monotonic()
        try:
            self._mend_all(ordered, progress)
        except BaseException as error:
            error.result = self._report  # type: ignore[attr-defined]
            raise
        finally:
            self._report.seconds = time.monotonic() - started
        return self._report

    def _mend_all(self, ordered: Sequence[Problem], progress: Progress | None) -> None:
        for start in range(0, len(ordered), _BATCH):
            self._mend_some(ordered[start : start + _BATCH])
            if progress is not None and progress(min(start + _BATCH, len(ordered)), len(ordered)) is False:
                self._report.stopped = start + _BATCH < len(ordered)
                break
        if self._refusal is not None and not self._has_run:
            raise self._refusal
        for (place, queue), waiting in self._to_clean_up.items():
            self._clean_up(place, queue, waiting)

    def _mend_some(self, problems: Sequence[Problem]) -> None:
        mends = [(problem, problem.mend) for problem in problems if problem.mend is not None]
        self._report.left += [(problem, NO_ANSWER) for problem in problems if problem.mend is None]
        for (problem, mend), answer in zip(mends, self._run([mend for _, mend in mends]), strict=True):
            if isinstance(answer, Exception):
                self._report.failed.append((problem, answer))
            elif answer == 0:
                self._report.gone[problem.kind] += 1
            elif answer != 1:
                self._report.left.append((problem, text(answer)))
            elif mend.clean_up is None or self._report.dry_run:
                self._report.mended[problem.kind] += 1
            else:
                self._to_clean_up.setdefault(mend.clean_up, []).append(problem)

    def _run(self, mends: Sequence[Mend]) -> list[Any]:
        """Return the scripts' answers; an error of the server's is an exception in its place."""
        first: tuple[str | int, ...] = (
            'look' if self._report.dry_run else 'mend',
            _installed_rq.current_timestamp(),
            utcformat(now()),
        )
        answers = exchange(self._connection, [_command(mend, first, by_sha1=True) for mend in mends])
        unknown = [index for index, answer in enumerate(answers) if _is(answer, 'NoScriptError')]
        texts = [_command(mends[index], first, by_sha1=False) for index in unknown]
        for index, answer in zip(unknown, exchange(self._connection, texts), strict=True):
            answers[index] = answer
        for answer in answers:
            if not isinstance(answer, Exception) or words_of(answer).startswith(WRONG_TYPE):
                self._has_run = True
                continue
            # RQ has no path of its own for any of this.
            to_raise = error_to_raise(answer)
            if to_raise is not None:
                raise to_raise
            self._refusal = self._refusal or answer
        return answers

    def _clean_up(self, place: Place, queue: str, problems: Sequence[Problem]) -> None:
        """Have RQ clean up a registry, with all that it does for the jobs: retries, failures, callbacks."""
        try:
            self._registry_of(place, queue).cleanup()
        except Exception as error:
            if not is_of_the_job(error):
                raise
            self._report.failed += [(problem, error) for problem in problems]
        else:
            self._report.mended.update(problem.kind for problem in problems)


def _command(mend: Mend, first: tuple[str | int, ...], by_sha1: bool) -> Command:
    sha1, script = _core.SCRIPTS[mend.script]
    name, what = ('EVALSHA', sha1) if by_sha1 else ('EVAL', script)
    return (VALUE, name, what, len(mend.keys), *mend.keys, *first, *mend.arguments)


def _is(answer: Any, name: str) -> bool:
    """Tell whether an answer is this exception, of whichever package the client is."""
    return isinstance(answer, Exception) and type(answer).__name__ == name


def problems_to_mend(problems: Any, kinds: frozenset[Kind]) -> list[Problem]:
    """Return the problems of these kinds. Raises TypeError for what are no problems."""
    if isinstance(problems, (Problem, str, bytes)) or not isinstance(problems, Iterable):
        raise TypeError(f'problems={problems!r} is no collection of problems: give what check() returned, or a list')
    given = list(problems)
    for problem in given:
        if not isinstance(problem, Problem):
            raise TypeError(f'{problem!r} is no Problem: give what check() returned, or some of that')
    return [problem for problem in given if problem.kind in kinds]


def _in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems in the order in which they are mended.

    Lists from their ends to their fronts, where what is taken out moves nothing that is still to come; and last the
    jobs that go back into a queue, in the order in which they were enqueued.
    """
    rest: list[Problem] = []
    from_list: list[Problem] = []
    to_queue: list[Problem] = []
    for problem in problems:
        script = problem.mend.script if problem.mend is not None else ''
        (from_list if script in _FROM_LIST else to_queue if script == 'put_back_in_queue' else rest).append(problem)
    from_list.sort(key=lambda problem: _argument(problem, -1), reverse=True)
    to_queue.sort(key=lambda problem: _argument(problem, 3))
    return rest + from_list + to_queue


def _argument(problem: Problem, index: int) -> Any:
    return problem.mend.arguments[index] if problem.mend is not None else None
