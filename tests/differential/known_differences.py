"""Where rqreg_ext is meant to differ from RQ. There are four such places."""

from __future__ import annotations

import re
from typing import Any

import redis
from rq.executions import ExecutionRegistry

from .arguments import TheJob
from .client_kinds import WRAPPED
from .comparison import Allowance, Call, Setup
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


# Users without what RQ's remove(delete_job=True) sends, and the script that deletes a plain job does not.
MAY_RUN_SCRIPTS_ONLY = ('no HGETALL', 'no cleanup')


def script_needs_fewer_rights(kind: str, call: Call, rq: Outcome, ours: Outcome, before: Dump) -> bool:
    """Allow `remove(delete_job=True)` to succeed where RQ is refused half way: by a script that needs fewer rights."""
    return (
        call.name.endswith('remove')
        and isinstance(rq.error, redis.exceptions.NoPermissionError)
        and ours.error is None
        and ours.value in (0, 1)
    )


def wrapper_that_raises_is_called_twice(kind: str, call: Call, rq: Outcome, ours: Outcome, before: Dump) -> bool:
    """Allow a wrapper that raises before it has passed on a command to hear the call once more, by RQ's method."""
    different = {name for name in rq.compared if rq.compared[name] != ours.compared[name]}
    records = rq.compared['log records']
    return (
        rq.error is not None and different == {'log records'} and ours.compared['log records'] == [*records, *records]
    )


# What the wrappers of this suite's clients note of the commands that they are given.
_NOTED = re.compile('(execute_command|pipeline) (of the class )?called with ')


def wrapper_is_given_script(kind: str, call: Call, rq: Outcome, ours: Outcome, before: Dump) -> bool:
    """Allow a wrapper to be given a script, and before it commands that are not sent, in place of RQ's commands."""
    different = {name for name in rq.compared if rq.compared[name] != ours.compared[name]}
    return (
        call.name.rpartition('.')[2] in ('remove', 'requeue')
        and different <= {'commands observed', 'log records'}
        and differences(rq.database, ours.database) == []
        and _without_notes(rq) == _without_notes(ours)
    )


def _without_notes(outcome: Outcome) -> list[Any]:
    return [record for record in outcome.compared['log records'] if not _NOTED.match(record[-1])]


def known_differences(setup: Setup) -> Allowance:
    """Return what is allowed by a client of this set-up."""
    allowed = [running_job_needs_no_scan]
    if setup.client == 'execute_command raises in the class':
        allowed.append(wrapper_that_raises_is_called_twice)
    if setup.client_kind.rights in MAY_RUN_SCRIPTS_ONLY:
        allowed.append(script_needs_fewer_rights)
    if setup.client_kind.is_observed or setup.client in WRAPPED:
        allowed.append(wrapper_is_given_script)
    return lambda *call: any(allows(*call) for allows in allowed)


def _is_running(job_id: bytes, database: Dump) -> bool:
    """Return whether an execution of the job's index is in a sorted set, which can only be the started registry."""
    index = database.get(ExecutionRegistry.key_template.format(job_id.decode()).encode())
    if index is None or index.kind != 'zset':
        return False
    entries = {job_id + b':' + execution for execution, _score in index.content}
    return any(entry in entries for key in database.values() if key.kind == 'zset' for entry, _score in key.content)
