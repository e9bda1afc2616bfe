"""Jobs for RQ's real worker, which look at registries that the worker had before it forked."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from rq import get_current_job
from rq.job import Job

from rqreg_ext import Queue
from rqreg_ext.registry import BaseRegistry

if TYPE_CHECKING:
    import redis

INHERITED: dict[str, BaseRegistry] = {}
"""Set in the worker process: its children have a copy from the fork."""

GO = 'host-tests:go'
SEEN = 'host-tests:seen'
PATIENCE = 60


def look() -> dict[str, Any]:
    """Wait until the parent reads at the same time, and return what the child reads."""
    job = get_current_job()
    assert job is not None
    started, finished, failed = (INHERITED[name] for name in ('started', 'finished', 'failed'))
    own_queue = Queue(job.origin, connection=job.connection)
    seen = {
        'pid': os.getpid(),
        'started by inherited': job in started,
        'started ids': started.get_job_ids(),
        'started by own': job.id in own_queue.started_job_registry,
        'finished': finished.count,
        'failed': failed.get_job_ids(),
    }
    assert job.connection.blpop([GO], timeout=PATIENCE) is not None
    seen['finished again'] = finished.count
    seen['itself not finished'] = job not in finished
    return seen


def fail() -> None:
    """Fail, after reading with the parent."""
    assert INHERITED['started'].count == 1
    raise RuntimeError('as it should')


def clean_up() -> int:
    """Delete the failed jobs, as a maintenance job does."""
    failed = INHERITED['failed']
    for job_id in failed.get_job_ids():
        failed.remove(job_id, delete_job=True)
    return failed.count


def seen_of(job: Job) -> dict[str, Any]:
    """Return what our registries read of the queue of a running job."""
    queue = Queue(job.origin, connection=job.connection)
    return {
        'started': job in queue.started_job_registry,
        'started ids': queue.started_job_registry.get_job_ids(),
        'executions': len(queue.started_job_registry.get_job_and_execution_ids()),
        'finished': queue.finished_job_registry.get_job_ids(),
        'failed': queue.failed_job_registry.get_job_ids(),
    }


def look_alone() -> dict[str, Any]:
    """Read without waiting for the parent."""
    job = get_current_job()
    assert job is not None
    return seen_of(job)


def fail_alone() -> None:
    """Fail, after reading."""
    look_alone()
    raise RuntimeError('as it should')


def after_success(job: Job, connection: redis.Redis, result: Any) -> None:
    """Record what the callback reads; RQ calls it in the process of the job."""
    connection.rpush(SEEN, json.dumps(['success', seen_of(job)]))


def after_failure(job: Job, connection: redis.Redis, *error: Any) -> None:
    """Record what the callback reads; RQ calls it in the process of the job."""
    connection.rpush(SEEN, json.dumps(['failure', seen_of(job)]))
