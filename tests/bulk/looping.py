"""Compares RQ's loop over a registry with one call of ours, on copies of one database."""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import redis
import rq.job
from depth import IS_DEEP
from differential.client_kinds import RECORDED
from differential.comparison import TRIES, Different, Setup, _Player
from differential.database import COPY_SCRIPT, differences, dump
from differential.known_differences import MAY_RUN_SCRIPTS_ONLY
from differential.sides import REGISTRIES, RQ_DATABASE, Bench
from differential.world import World
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rq.exceptions import NoSuchJobError
from rq.executions import ExecutionRegistry

if TYPE_CHECKING:
    from differential.comparison import Comparison

    from rqreg_ext._bulk.result import BulkResult

BEFORE_JOB_DATABASE = 5
EXAMPLES = settings(
    max_examples=1000 if IS_DEEP else 60,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)

# Patches of commands that our calls send and RQ's loop does not, to see whether a job is in the registry or exists, and
# why a registry cannot be read. What such a patch returns makes a difference.
ASKED_BY_OURS = tuple(
    f'{method} {how} ' for method in ('zscore', 'zcard', 'exists', 'execute_command') for how in ('fixed', 'raises')
)
# RQ sends it after the transaction that cancels a job with a rate limit, which is done then.
SENT_AFTER_CANCEL = 'zrem raises '
# Users without the right to commands that RQ's methods send, and our scripts do not.
MAY_RUN_SCRIPTS_ONLY_IN_BULK = (*MAY_RUN_SCRIPTS_ONLY, 'no DEL')
# RQ's call for one job, and our call for all jobs.
Step = Callable[[Any, str], Any]
Call = Callable[[Any, Sequence[str]], 'BulkResult']

# RQ cannot load these jobs. Deleting a job does not need loading it.
UNREADABLE = (
    'bad_created_at',
    'bad_enqueued_at',
    'bad_timeout',
    'timeout_with_unit',
    'bad_ttl',
    'bad_retries',
    'undecodable_description',
    'long_undecodable_description',
    'bad_dependencies',
)


# RQ cannot remove or requeue entries of a started registry.
KINDS = [kind for kind in REGISTRIES if kind != 'StartedJobRegistry']


def is_readable(world: World) -> bool:
    """Tell whether RQ can load all the jobs."""
    return not any(trait in UNREADABLE for job in world.jobs for trait in job.traits)


def is_loopable(setup: Setup, *own: str) -> bool:
    """Tell whether a loop of RQ's can be compared: the entries are job ids, and the methods are RQ's.

    own: Subclasses that override the method. What such a method leaves half done cannot be compared.
    """
    return (
        setup.patch is None
        and setup.subclass not in ('shouting_job_ids', 'own_job_ids', *own)
        and not setup.client.startswith((*ASKED_BY_OURS, SENT_AFTER_CANCEL))
        # Such a user may have no right to see which of these ids are in the registry.
        and not (setup.client_kind.rights and setup.subclass == 'fixed_job_ids')
    )


def on_random_examples(compare: Callable[[Any], None], record_property: Callable[[str, Any], None]) -> None:
    """Make a comparison on many random examples, and record their number."""
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
    """Tell whether this RQ accepts the text as the id of a job."""
    validate = getattr(rq.job, 'validate_job_id', None)
    try:
        return validate is None or validate(rq.job.parse_job_id(job_id)) is None
    except ValueError:
        return False


def _is_denied(error: Exception) -> bool:
    """Tell whether the user has no right to a command, be it in a script of RQ's for a rate limit."""
    words = str(error)
    is_in_script = 'user_script' in words and re.search(r"NOPERM|no permissions|can't run this command", words)
    return isinstance(error, redis.exceptions.NoPermissionError) or bool(is_in_script)


class Loop:
    """RQ's loop over the jobs that are in the registry, with the results that our calls must have.

    If RQ raises an error half way through a job, the job is restored as it was before, except if our code calls RQ's
    method as it is too; then it is restored only if RQ refuses the id. An entry that cannot be the id of a job, and has
    no hash, counts as an entry without a job. A command that the user has no right to ends the loop.
    """

    def __init__(self, comparison: Comparison, step: Step, bench: Bench) -> None:
        self.client: redis.Redis = comparison.rq.inspector
        self.bench = bench
        self.kept = comparison.rq.server.client(db=BEFORE_JOB_DATABASE)
        self.step = step
        self.failed: dict[str, type[Exception]] = {}
        self.denied: list[str] = []
        self.no_such_job: list[str] = []
        self.already_canceled = 0
        self.elsewhere = 0

    def run(self, registry: Any, job_ids: Sequence[str]) -> None:
        for job_id in job_ids:
            if self._is_elsewhere(registry, job_id):
                self.elsewhere += 1
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
                    self._raise_where_ours_may_not_look(job_id)
                    self.no_such_job.append(job_id)
                    continue
                if 'already canceled' in str(error):
                    self.already_canceled += 1
                    continue
                is_of_id = isinstance(error, ValueError) and not is_id(job_id)
                if is_of_id or not self._stays_half_done(job_id, error):
                    self._copy(self.kept, self.client, RQ_DATABASE)
                if _is_denied(error):
                    self.denied.append(job_id)
                    raise
                self.failed[job_id] = type(error)
        self.kept.close()

    def _raise_where_ours_may_not_look(self, job_id: str) -> None:
        """Raise what ours does for an id that RQ refuses, if the user has no rights to the job's key.

        RQ refuses the id before it looks at the key, and has taken out the entry by then.
        """
        if self.bench.setup.client_kind.rights == RECORDED:
            return
        try:
            with self.bench.using_client():
                self.bench.client.exists(rq.job.Job.key_for(rq.job.parse_job_id(job_id)))
        except redis.exceptions.NoPermissionError:
            self._copy(self.kept, self.client, RQ_DATABASE)
            raise

    def _stays_half_done(self, job_id: str, error: Exception) -> bool:
        """Tell whether our code leaves a job half done as RQ does."""
        setup = self.bench.setup
        if 'user_script' in str(error) and self._was_requeued(job_id):
            # Nothing undoes RQ's transaction before its script for a rate limit.
            return True
        if setup.client_kind.rights == RECORDED:
            # Without the right to a transaction, our code loads the job before it changes anything.
            return setup.connection != 'decode_responses' and self._is_fetched(self.kept, job_id)
        if setup.client_kind.rights is not None:
            return self._has_failed_in_script(job_id, error)
        if self._was_canceled(job_id):
            # Of a job to cancel, our code checks the types of all keys first.
            return False
        return setup.client_kind.is_changing or setup.connection == 'single'

    def _was_requeued(self, job_id: str) -> bool:
        """Tell whether RQ has changed the status of the job for its requeue before it raised its error."""
        key = rq.job.Job.key_for(rq.job.parse_job_id(job_id))
        return self.client.type(key) == b'hash' and self.client.hget(key, 'status') in (b'rate_limited', b'queued')

    def _was_canceled(self, job_id: str) -> bool:
        """Tell whether RQ has canceled the job before it raised its error."""
        key = rq.job.Job.key_for(rq.job.parse_job_id(job_id))
        # A client may put the prefix before this key or not.
        for command in (('HGET', key, 'status'), self.bench.setup.client_kind.command('HGET', key, 'status')):
            with contextlib.suppress(redis.ResponseError):
                before, after = (client.execute_command(*command) for client in (self.kept, self.client))
                if after == b'canceled' != before:
                    return True
        return False

    def _is_fetched(self, client: Any, job_id: str) -> bool:
        try:
            rq.job.Job.fetch(job_id, client, self.bench.setup.serializer).get_status()
        except Exception:
            return False
        return True

    def _has_failed_in_script(self, job_id: str, error: Exception) -> bool:
        """Tell whether RQ has run its own script for a rate limit, which is not undone by a later error.

        If the job is deleted by then, nothing else is left to do. If it is canceled, what the user has no right to is
        left: of a key of another type, our code knows before it changes the job.
        """
        key = rq.job.Job.key_for(rq.job.parse_job_id(job_id))
        is_deleted = bool(self.kept.exists(key) and not self.client.exists(key))
        return is_deleted or 'user_script' in str(error) or (_is_denied(error) and self._was_canceled(job_id))

    def _is_elsewhere(self, registry: Any, job_id: str) -> bool:
        """Tell whether the job is not in the registry; False if its class has its own job ids."""
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
    """Compare RQ's loop over the registry's jobs (or over those of `ids` that are in it) with our call.

    Return our result, or the exception that both raised before the first job.
    """
    __tracebackhide__ = True
    for _ in range(TRIES):
        second = math.floor(time.time())
        lines, ours = _play(comparison, kind, step, call, world, setup or Setup(), ids)
        if not lines:
            return ours
        if math.floor(time.time()) == second:
            raise Different('\n  '.join([f'{kind} on {world!r}, {setup!r}, {ids!r}:', *lines]))
    raise RuntimeError('no example ran without a change of the second on the clock')


def _play(
    comparison: Comparison, kind: str, step: Step, call: Call, world: World, setup: Setup, ids: Sequence[str] | None
) -> tuple[list[str], Any]:
    now = math.floor(time.time())
    comparison.prepare(world, setup, now)
    client_kind = setup.client_kind
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
    # RQ sends no HGETALL if it refuses the ids of all jobs.
    for_us.begin_call(besides=['HGETALL'])
    try:
        with for_us.using_client():
            result: Any = call(ours, ids if ids is not None else [])
    except Exception as raised:
        result = raised
    left, left_by_ours = dump(comparison.rq.inspector), dump(comparison.ours.inspector)
    for job_id in (*loop.failed, *loop.denied):
        # RQ removes expired executions when it reads them, even if it raises an error afterwards.
        for database in (left, left_by_ours):
            key = ExecutionRegistry.key_template.format(rq.job.parse_job_id(job_id)).encode()
            database.pop(client_kind.prefix + key, None)
    lines = differences(left, left_by_ours)
    if isinstance(error, redis.exceptions.NoPermissionError) and client_kind.rights in MAY_RUN_SCRIPTS_ONLY_IN_BULK:
        return [], result
    if error is not None and _is_denied(error) and not lines and getattr(result, 'done', 1) == 0 and result.failed:
        # Ours has looked at the job before it changed anything, and found something else wrong with it.
        return [], result
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
    # Without the right to ZSCORE, our code cannot see that a job left the registry with another entry of it.
    unseen = loop.elsewhere if loop.bench.setup.client_kind.rights == RECORDED else 0
    if not 0 <= result.skipped['already canceled'] - loop.already_canceled <= unseen:
        lines.append(f'RQ found {loop.already_canceled} jobs canceled, ours skipped {result.skipped}')
    return lines
