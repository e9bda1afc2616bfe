"""Where rqreg_ext is meant to differ from RQ. There is one such place."""

from __future__ import annotations

from rq.executions import ExecutionRegistry

from .arguments import TheJob
from .comparison import Call
from .database import Dump, differences
from .observe import Outcome


def running_job_needs_no_scan(kind: str, call: Call, rq: Outcome, ours: Outcome, before: Dump) -> bool:
    """Allow `job in started_registry` to be true without looking at the other entries.

    RQ parses every entry of the started registry before it compares, so a malformed entry of another job makes it
    warn or raise. Ours asks the job's index of executions first: a job that is running is found there, and entries of
    other jobs are never read. A job that is not found there takes the scan, with RQ's warnings and errors.
    """
    if kind != 'StartedJobRegistry' or call.name not in ('in', 'not in') or not call.args:
        return False
    item = call.args[0]
    job_id = item.id if isinstance(item, TheJob) else item
    if not isinstance(job_id, str) or not _is_running(job_id.encode(errors='replace'), before):
        return False
    different = {name for name in rq.compared if rq.compared[name] != ours.compared[name]}
    return (
        different <= {'result', 'exception', 'warnings'}
        and differences(rq.database, ours.database) == []
        and bool(rq.warnings or isinstance(rq.error, ValueError))
        and ours.error is None
        and ours.warnings == []
        and ours.value is (call.name == 'in')
    )


def _is_running(job_id: bytes, database: Dump) -> bool:
    """Return whether an execution of the job's index is in a sorted set, which can only be the started registry."""
    index = database.get(ExecutionRegistry.key_template.format(job_id.decode()).encode())
    if index is None or index.kind != 'zset':
        return False
    entries = {job_id + b':' + execution for execution, _score in index.content}
    return any(entry in entries for key in database.values() if key.kind == 'zset' for entry, _score in key.content)
