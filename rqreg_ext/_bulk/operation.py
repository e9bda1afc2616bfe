"""An operation on many jobs, one chunk after the other: with a script if it may replace RQ, else with RQ's methods."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from rq.exceptions import NoSuchJobError

from .._fastpath.dispatch import BulkDecision
from .._fastpath.exchange import INTEGER, ClientRefusedError, exchange
from .._fastpath.server_errors import concerns_one_job, is_wrong_type
from .._query.arguments import chunk_size_of
from .._query.chunks import chunks_of
from .._query.filters import NO_SUCH_JOB
from .allowance import Allowance
from .call import BulkCall
from .chunk_sizer import FIRST_CHUNK
from .fallback.presence import AlreadyCanceledError, NotInRegistryError
from .long_queues import SEARCH_IS_VALID, LongQueueSearch
from .options import Options
from .replicas import ReplicaWait
from .result import ALREADY_CANCELED, BulkResult
from .script_runs import JobCode, ScriptRefusedError, ScriptRuns, count_leading_plain
from .scripts import Script

# How many ids of the registry are read and filtered at a time (a portion). A long queue is read once for each portion,
# so portions grow with the queue: a quarter of its length, up to a limit.
_PORTION_SIZE, _LARGEST_PORTION, _QUEUE_PER_PORTION = 1000, 100_000, 4

# With `rate`, the filters are applied to a job again after this number of seconds.
_FILTERS_ARE_VALID = 1.0

# Returns the ids to process, and their number, or None if it is unknown.
Find = Callable[[], 'tuple[Iterable[str], int | None]']
# Returns those of the ids that match the filters.
Select = Callable[[Sequence[str]], Sequence[str]]


class JobSteps(NamedTuple):
    """The functions that process one job without a script.

    They raise NotInRegistryError, NoSuchJobError, AlreadyCanceledError, or the error of RQ.

    Attributes:
        by_method: Calls RQ's method as it is.
        in_transaction: Does the same in one transaction, for an RQ whose methods we know; None if there is no such
            function.
    """

    by_method: Callable[[str], object]
    in_transaction: Callable[[str], object] | None = None


class ChunkProcessor:
    """Which code processes the current chunk, as it was last decided.

    Attributes:
        script: The script that processes the chunk; None if RQ's methods do.
        step: The function that processes one job without a script.
    """

    def __init__(self, decision: BulkDecision, steps: JobSteps, script: Script | None) -> None:
        self._decision = decision
        self._steps = steps
        self._usual_script = script
        self.script: Script | None = None
        self.step = steps.by_method

    def decide(self) -> bool:
        """Decide which code processes the next chunk; return whether our code may replace RQ's."""
        may_replace = self._decision.holds()
        script = self._usual_script
        self.script = script if may_replace and script is not None and script.may_run() else None
        self.step = (may_replace and self._steps.in_transaction) or self._steps.by_method
        return may_replace

    def give_up_script(self, reason: ClientRefusedError | ScriptRefusedError) -> None:
        """Decide without the script from now on: it is not tried again."""
        if isinstance(reason, ClientRefusedError):
            # The client has begun to change commands.
            self._decision.forget_client()
        self._usual_script = None
        self.decide()


class ChunkOutcome(NamedTuple):
    """What has become of a chunk of jobs that was given to a script.

    Attributes:
        processed: How many of the jobs are done with, which are the first ones.
        not_searched: The ids of those of them that may be in another long queue. They are left as they are.
    """

    processed: int
    not_searched: list[str]


class BulkOperation:
    """One call that changes many jobs of a registry.

    Args:
        registry: The registry of the jobs.
        options: The arguments that all operations have.
        decision: Tells before each chunk whether our code may replace RQ's.
        steps: The functions that process one job.
        script: The script that processes a chunk of jobs; None if every job needs RQ's own code.
    """

    def __init__(
        self, registry: Any, options: Options, decision: BulkDecision, steps: JobSteps, script: Script | None = None
    ) -> None:
        self._call = BulkCall(options.progress, options.dry_run)
        self.result = self._call.result
        self._registry = registry
        self._connection = registry.connection
        self._processor = ChunkProcessor(decision, steps, script)
        self._chunk_size = None if options.chunk_size is None else chunk_size_of(options.chunk_size)
        self._replica_wait = ReplicaWait(registry.connection, options.wait_replicas, self.result.dry_run)
        # Whether enough replicas have what the current chunk has changed so far.
        self._is_acknowledged = True
        self._runs = ScriptRuns(registry, self.result.dry_run, self._chunk_size, self._replica_wait)
        self._search = LongQueueSearch(registry)
        self._allowance = Allowance(self.result, options.limit, options.rate)
        self._processed = 0
        self._has_filters = False
        self._portion: list[str] = []

    def run(self, find: Find, select: Select | None = None) -> BulkResult:
        """Find the ids, and process those of them that `select` returns. Any exception gets the result until then."""
        self._has_filters = select is not None
        with self._call:
            try:
                self._replica_wait.check()
                job_ids, self._call.total = find()
                ids = iter(job_ids)
                while portion := list(islice(ids, self._portion_size())):
                    if not self._do_portion(portion, select):
                        self._call.leave_rest()
                        break
            finally:
                self._allowance.note_changes()
        return self.result

    # ---- Portions

    def _portion_size(self) -> int:
        self._processor.decide()
        script, pace, left = self._processor.script, self._allowance.pace, self._allowance.left
        if script is not None and script.removes_from_queues and not self.result.dry_run:
            self._search.measure()
        size, seconds = _PORTION_SIZE, _FILTERS_ARE_VALID
        if self._search.is_long:
            size = max(size, min(self._search.length // _QUEUE_PER_PORTION, _LARGEST_PORTION))
            seconds = SEARCH_IS_VALID
        if left is not None:
            size = min(size, max(_PORTION_SIZE, left))
        if pace is not None:
            # Ids that are given may come from find(): they are read when it is nearly their turn.
            soon = max(1, int(pace.rate * seconds))
            size = min(size, max(_PORTION_SIZE, soon) if self._has_filters else soon)
        return size

    def _do_portion(self, portion: Sequence[str], select: Select | None) -> bool:
        """Process the selected jobs of a portion; return whether to go on."""
        before = self._processed
        selected = portion if select is None else select(portion)
        selected_at = time.monotonic()
        unique = list(dict.fromkeys(selected))
        # The second time that an id is given, its job has left the registry already.
        self.result.missing += len(selected) - len(unique)
        self._call.looked_at = before + len(portion) - len(unique)
        self._portion = unique
        self._search.begin(unique)
        start = 0
        while start < len(unique):
            size = self._allowance.wait(len(unique) - start)
            if not size:
                return False
            allowed = unique[start : start + size]
            is_paced = self._allowance.pace is not None
            if is_paced and select is not None and time.monotonic() > selected_at + _FILTERS_ARE_VALID:
                allowed = list(select(allowed))
            for processed in self._do_jobs(allowed) if allowed else ():
                self._processed = before + min(start + processed, len(portion))
                self._call.looked_at = before + len(portion) - len(unique) + start + processed
                self._note_replicas()
                # After the last chunk, the whole portion is reported.
                if start + processed < len(unique) and not self._report_progress():
                    return False
            start += size
        self._processed = self._call.looked_at = before + len(portion)
        return self._report_progress() and not self._allowance.is_used_up

    def _note_replicas(self) -> None:
        """Count the chunk that was just done, unless enough replicas have it."""
        self.result.unacknowledged += not self._is_acknowledged
        self._is_acknowledged = True

    def _report_progress(self) -> bool:
        """Call progress(); return whether to go on."""
        return self._call.report(self._processed, self._call.total)

    def _do_jobs(self, job_ids: list[str]) -> Iterator[int]:
        """Process the jobs, one chunk after the other; yield how many are processed so far."""
        self._processor.decide()
        if self._processor.script is None:
            yield from self._do_all_by_rq(job_ids)
            return
        search = self._search
        queue_key, queue_ends = '', {}
        if search.is_long:
            queue_key = search.own_key
            found = search.in_own_queue(job_ids, is_paced=self._allowance.pace is not None)
            if found is None:
                yield from self._do_all_by_rq(job_ids)
                return
            queue_ends = found
        # Jobs that were created for another queue, which is long: that queue must be read before the script does them.
        not_searched: list[str] = []
        done = 0
        for chunk in self._do_by_script(job_ids, queue_key, queue_ends):
            not_searched += chunk.not_searched
            done += chunk.processed - len(chunk.not_searched)
            yield done
        for name, ids in search.by_origin(not_searched).items():
            queue_key = search.key_of(name)
            found = search.in_queue(queue_key, ids)
            still_not_searched = ids if found is None else []
            for chunk in () if found is None else self._do_by_script(ids, queue_key, found):
                still_not_searched += chunk.not_searched
                done += chunk.processed - len(chunk.not_searched)
                yield done
            # The user may not read the queue, or the job's origin has changed since it was read.
            for processed in self._do_all_by_rq(still_not_searched):
                yield done + processed
            done += len(still_not_searched)

    # ---- With a script

    def _do_by_script(self, job_ids: list[str], queue_key: str, queue_ends: dict[str, str]) -> Iterator[ChunkOutcome]:
        """Process the jobs, and yield the outcome of each chunk.

        Args:
            job_ids: The ids.
            queue_key: The key of a long queue that was searched for the jobs, or ''.
            queue_ends: The jobs that are in that queue, each with the end that it is nearer to.
        """
        processed = 0
        while processed < len(job_ids):
            chunk = job_ids[processed : processed + self._runs.sizer.size]
            self._processor.decide()
            script = self._processor.script
            count = 0 if script is None else count_leading_plain(chunk)
            if script is None or not count:
                self._do_one_by_rq(chunk[0])
                outcome = ChunkOutcome(1, [])
            else:
                outcome = self._run_script(script, chunk[:count], queue_key, queue_ends)
            processed += outcome.processed
            yield outcome

    def _run_script(self, script: Script, chunk: list[str], queue_key: str, queue_ends: dict[str, str]) -> ChunkOutcome:
        """Run the script once, and RQ's methods on the jobs that it leaves to them."""
        try:
            answer = self._runs.run(script, chunk, self._marked(chunk, queue_ends), queue_key)
        except (ClientRefusedError, ScriptRefusedError) as reason:
            self._processor.give_up_script(reason)
            for job_id in chunk:
                self._do_one_by_rq(job_id)
            return ChunkOutcome(len(chunk), [])
        self._is_acknowledged &= self._replica_wait.is_acknowledged
        processed, notes = self._runs.add_missing_facts(script, chunk, answer)
        self.result.done += processed - len(notes)
        not_searched = []
        for index, code in notes:
            if code == JobCode.QUEUE_UNKNOWN:
                not_searched.append(chunk[index])
            else:
                self._settle(chunk[index], code)
        return ChunkOutcome(processed, not_searched)

    def _marked(self, chunk: list[str], queue_ends: dict[str, str]) -> list[str]:
        """Return the ids with what the script is told of each job."""
        marks = queue_ends or self._runs.compressed
        return [marks.get(job_id, '') + job_id for job_id in chunk] if marks else chunk

    def _settle(self, job_id: str, code: int) -> None:
        may_be_done = self._runs.was_resent and not self.result.dry_run
        if may_be_done and code in (JobCode.NOT_IN_REGISTRY, JobCode.ALREADY_CANCELED):
            self.result.unconfirmed += 1
        elif code == JobCode.NOT_IN_REGISTRY:
            self.result.missing += 1
        elif code == JobCode.NO_SUCH_JOB:
            self.result.skipped[NO_SUCH_JOB] += 1
        elif code == JobCode.ALREADY_CANCELED:
            self.result.skipped[ALREADY_CANCELED] += 1
        else:
            self._do_one_by_rq(job_id)

    # ---- With RQ's methods

    def _do_all_by_rq(self, job_ids: list[str]) -> Iterator[int]:
        size = self._chunk_size or FIRST_CHUNK
        processed = 0
        for chunk in chunks_of(job_ids, size):
            self._processor.decide()
            for job_id in chunk:
                self._do_one_by_rq(job_id)
            processed += len(chunk)
            yield processed

    def _do_one_by_rq(self, job_id: str) -> None:
        try:
            self._processor.step(job_id)
        except NotInRegistryError:
            self.result.missing += 1
        except NoSuchJobError:
            self.result.skipped[NO_SUCH_JOB] += 1
        except AlreadyCanceledError:
            self.result.skipped[ALREADY_CANCELED] += 1
        except Exception as error:
            if not concerns_one_job(error) or _concerns_registry(self._registry, error):
                raise
            self.result.failed.append((job_id, error))
        else:
            self.result.done += 1
            self.result.by_rq += 1
            # Its commands went over other connections.
            self._is_acknowledged &= not self._replica_wait


def _concerns_registry(registry: Any, error: Exception) -> bool:
    """Tell whether an error concerns the registry: its key is of another type, so all of its jobs would fail."""
    if not is_wrong_type(error):
        return False
    (count,) = exchange(registry.connection, [(INTEGER, getattr(registry, 'count_command', 'ZCARD'), registry.key)])
    return is_wrong_type(count)
