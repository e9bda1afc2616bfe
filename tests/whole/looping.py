"""RQ's loop over a registry beside one call of ours, on copies of one database."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import redis
import rq.job
from depth import IS_DEEP
from differential.client_kinds import PLAIN
from differential.comparison import TRIES, Different, Setup, _Player
from differential.database import COPY_SCRIPT, differences, dump
from differential.sides import REGISTRIES, RQ_DATABASE, Bench
from differential.world import World
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rq.exceptions import NoSuchJobError
from rq.executions import ExecutionRegistry

if TYPE_CHECKING:
    from differential.comparison import Comparison

    from rqreg_ext.whole.result import BulkResult

BEFORE_JOB_DATABASE = 5
EXAMPLES = settings(
    max_examples=1000 if IS_DEEP else 60,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)

# One job by RQ, and all of them by ours.
Step = Callable[[Any, str], Any]
Call = Callable[[Any, Sequence[str]], 'BulkResult']

# RQ cannot restore these jobs, which to delete them nobody needs to.
UNREADABLE = (
    'bad_created_at',
    'bad_enqueued_at',
    'bad_timeout',
    'timeout_with_unit',
    'bad_ttl',
    'bad_retries',
    'undecodable_description',
    'bad_dependencies',
)


# RQ removes and requeues none of its entries.
KINDS = [kind for kind in REGISTRIES if kind != 'StartedJobRegistry']


def is_readable(world: World) -> bool:
    """Tell whether RQ can restore all the jobs."""
    return not any(trait in UNREADABLE for job in world.jobs for trait in job.traits)


def is_loopable(setup: Setup, *own: str) -> bool:
    """Tell whether the registry's entries are its job ids, as RQ's own loop takes them, and its methods are RQ's.

    own: the subclasses whose method is their own; what it leaves half done stays so.
    """
    return (
        setup.patch is None
        and setup.subclass not in ('shouting_job_ids', 'own_job_ids', *own)
        # By other clients ours differs from RQ's loop in a few jobs that RQ cannot load, or that have a rate limit.
        and setup.client == PLAIN
        and setup.connection != 'single'
    )


def on_random_examples(compare: Callable[[Any], None], record_property: Callable[[str, Any], None]) -> None:
    """Make a comparison with Hypothesis's data, again and again, and note how many times that was."""
    ran = 0

    @EXAMPLES
    @given(data=st.data())
    def counted(data: Any) -> None:
        nonlocal ran
        ran += 1
        compare(data)

    try:
        counted()
    finally:
        record_property('examples', ran)


def is_id(job_id: str) -> bool:
    """Tell whether this RQ takes the text for the id of a job."""
    validate = getattr(rq.job, 'validate_job_id', None)
    try:
        return validate is None or validate(rq.job.parse_job_id(job_id)) is None
    except ValueError:
        return False


class Loop:
    """RQ's loop over the jobs that are in the registry: one that RQ raises for half way is put back as it was.

    By a client that changes what it is given, or has a connection of its own, it stays as RQ has left it, unless RQ
    raises for its id.
    An entry that cannot be the id of a job, and has no hash, is one whose job is gone.
    A command that the user may not send ends the loop.
    """

    def __init__(self, comparison: Comparison, step: Step, bench: Bench) -> None:
        self.client: redis.Redis = comparison.rq.inspector
        self.bench = bench
        self.kept = comparison.rq.server.client(db=BEFORE_JOB_DATABASE)
        self.step = step
        self.failed: dict[str, type[Exception]] = {}
        self.no_such_job: list[str] = []
        self.already_canceled = 0

    def run(self, registry: Any, job_ids: Sequence[str]) -> None:
        for job_id in job_ids:
            if self._is_elsewhere(registry, job_id):
                continue
            self._copy(self.client, self.kept, BEFORE_JOB_DATABASE)
            try:
                with self.bench.using_client():
                    self.step(registry, job_id)
            except NoSuchJobError:
                self.no_such_job.append(job_id)
            except Exception as error:
                is_gone = not self._command(self.kept, 'EXISTS', rq.job.Job.key_for(rq.job.parse_job_id(job_id)))
                if isinstance(error, ValueError) and not is_id(job_id) and is_gone:
                    self.no_such_job.append(job_id)
                    continue
                if 'already canceled' in str(error):
                    self.already_canceled += 1
                    continue
                is_of_id = isinstance(error, ValueError) and not is_id(job_id)
                setup = self.bench.setup
                if is_of_id or not (setup.client_kind.is_changing or setup.connection == 'single'):
                    self._copy(self.kept, self.client, RQ_DATABASE)
                if isinstance(error, redis.exceptions.NoPermissionError):
                    raise
                self.failed[job_id] = type(error)
        self.kept.close()

    def _is_elsewhere(self, registry: Any, job_id: str) -> bool:
        """Tell whether the job is not in the registry, as far as that can be told from outside."""
        is_plain = registry.parse_job_id('x:y') == 'x:y'
        return is_plain and self._command(self.client, 'ZSCORE', registry.key, job_id) is None

    def _command(self, client: Any, name: str, *words: Any) -> Any:
        return client.execute_command(*self.bench.setup.client_kind.command(name, *words))

    def _copy(self, source: Any, target: Any, database: int) -> None:
        target.flushdb()
        source.eval(COPY_SCRIPT, 0, database)


def same_as_loop(
    comparison: Comparison,
    kind: str,
    step: Step,
    call: Call,
    world: World,
    setup: Setup | None = None,
    ids: Sequence[str] | None = None,
) -> BulkResult | Exception:
    """Let RQ go through the registry's jobs (or those of the ids that are in it) and ours do them all; compare.

    Return ours: the result, or the exception that both raised before the first job.
    """
    __tracebackhide__ = True
    for _ in range(TRIES):
        begun = math.floor(time.time())
        lines, ours = _play(comparison, kind, step, call, world, setup or Setup(), ids)
        if not lines:
            return ours
        if math.floor(time.time()) == begun:
            raise Different('\n  '.join([f'{kind} on {world!r}, {setup!r}, {ids!r}:', *lines]))
    raise RuntimeError('no example ran without a change of the second on the clock')


def _play(
    comparison: Comparison, kind: str, step: Step, call: Call, world: World, setup: Setup, ids: Sequence[str] | None
) -> tuple[list[str], Any]:
    now = math.floor(time.time())
    comparison.prepare(world, setup, now)
    client_kind = setup.client_kind
    others = client_kind.others(dump(comparison.ours.inspector))
    benches = [Bench(side, world, setup, now) for side in (comparison.rq, comparison.ours)]
    theirs, ours = (_Player(bench)._construct(kind) for bench in benches)
    for_rq, for_us = benches
    loop = Loop(comparison, step, for_rq)
    for_rq.begin_call()
    try:
        with for_rq.using_client():
            job_ids = theirs.get_job_ids() if ids is None else [job_id for job_id in ids if job_id in theirs]
        loop.run(theirs, job_ids)
        error = None
    except Exception as raised:
        error = raised
    # Which RQ does not send where it refuses the id of each job.
    for_us.begin_call(besides=['HGETALL'])
    try:
        with for_us.using_client():
            result: Any = call(ours, ids if ids is not None else [])
    except Exception as raised:
        result = raised
    left, left_by_ours = dump(comparison.rq.inspector), dump(comparison.ours.inspector)
    for job_id in loop.failed:
        # RQ drops executions that have expired as soon as it looks at them, also where it fails then.
        for database in (left, left_by_ours):
            key = ExecutionRegistry.key_template.format(rq.job.parse_job_id(job_id)).encode()
            database.pop(client_kind.prefix + key, None)
    lines = differences(left, left_by_ours)
    lines += [f"another application's: {line}" for line in differences(others, client_kind.others(left_by_ours))]
    if error is not None or isinstance(result, Exception):
        if type(error) is not type(result):
            lines.append(f'RQ raised {error!r}, ours {result!r}')
        return lines, result
    return lines + _result_differences(loop, result, len(job_ids) if ids is None else len(ids)), result


def _result_differences(loop: Loop, result: BulkResult, total: int) -> list[str]:
    lines = []
    failed = {job_id: type(error) for job_id, error in result.failed}
    if failed != loop.failed:
        lines.append(f'RQ failed on {loop.failed}, ours on {failed}')
    if result.total != total:
        lines.append(f'{total} jobs, but ours counts {result.total}: {result}')
    if result.skipped['no such job'] != len(loop.no_such_job):
        lines.append(f'RQ found no job for {loop.no_such_job}, ours skipped {result.skipped}')
    if result.skipped['already canceled'] != loop.already_canceled:
        lines.append(f'RQ found {loop.already_canceled} jobs canceled, ours skipped {result.skipped}')
    return lines
