"""Scripts are used only if every function that RQ would call instead is unpatched."""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

import pytest
import rq.job
import rq.queue
import rq.registry
import rq.utils

from rqreg_ext._fastpath import guards
from rqreg_ext._fastpath.originals import function_of

OWNERS: dict[str, Any] = {
    'rq.job': rq.job,
    'rq.queue': rq.queue,
    'rq.utils': rq.utils,
    'rq.job.Job': rq.job.Job,
    'rq.queue.Queue': rq.queue.Queue,
}
# What RQ's methods call for jobs that the scripts leave to RQ, for other arguments than ours, or without an effect.
ELSEWHERE = {
    # The log; a job with rate limits, webhooks or a group; dependents; a queue that runs its jobs itself.
    'rq.queue.blue',
    'rq.queue.green',
    'rq.queue.Queue._enqueue_rate_limited_job',
    'rq.queue.Queue._enqueue_sync_job',
    'rq.queue.Queue.run_sync',
    'rq.queue.Queue.deferred_job_registry',
    'rq.queue.Queue.enqueue_dependents',
    'rq.queue.Queue.enqueue_ready_jobs_by_queue',
    'rq.queue.Queue.move_dependents_to_ready',
    'rq.queue.import_attribute',
    'rq.queue.save_unique_job',
    'rq.job.Job.delete_dependents',
    'rq.job.Job.fetch_dependencies',
    'rq.job.Job.get_executions',
    'rq.job.Job.is_ready_to_enqueue',
    # Of a job whose data is given piece by piece, and what it is called with.
    'rq.job.Job._deserialize_data',
    'rq.job.Job.args',
    'rq.job.Job.func_name',
    'rq.job.Job.instance',
    'rq.job.Job.kwargs',
    # Not of a queue: a pipeline's, a group's or a job's.
    'rq.queue.Queue.delete',
    'rq.queue.Queue.failed_job_registry',
    # We call it ourselves.
    'rq.queue.now',
    # In RQ before 2.7: another name of the id.
    'rq.job.Job.get_id',
    # In RQ before 2.5: a queue's method has this name, too.
    'rq.job.Job.get_redis_server_version',
}
ELSEWHERE_IN = {
    'delete': {
        # The names of a rate limit's method, and of a module.
        'rq.job.Job.cancel',
        'rq.job.Job.results',
    },
    'requeue': {
        # For get_status() without refresh=False, and a job that expires at once.
        'rq.job.Job._fetch_status',
        'rq.job.Job.delete',
        # The names of methods of a registry, and of a pipeline.
        'rq.queue.Queue.remove',
    },
    'cancel': {
        # Where dependents are to be enqueued; of a rate limit.
        'rq.job.Job.dependents_key',
        'rq.job.Job.delete',
    },
}
ROOTS = {
    'delete': ('rq.job.Job.fetch', 'rq.job.Job.delete'),
    'requeue': ('rq.job.Job.fetch', 'rq.queue.Queue.__init__', 'rq.queue.Queue._enqueue_job'),
    'cancel': ('rq.job.Job.fetch', 'rq.job.Job.cancel'),
}
REQUIRED = {
    'delete': guards._USED_BY_DELETE,
    'requeue': guards._USED_BY_REQUEUE,
    'cancel': guards._USED_BY_CANCEL,
}


def names_in(code: CodeType) -> set[str]:
    """Return the names of globals and attributes in a code, and in the functions inside it."""
    inside = [names_in(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*inside)


def function(dotted: str) -> FunctionType | None:
    """Return the function of RQ by that name, if there is one."""
    owner, _, name = dotted.rpartition('.')
    found = function_of(vars(OWNERS[owner]).get(name))
    return found if found is not None and found.__globals__['__name__'].startswith('rq.') else None


def called_by(dotted: str) -> Iterator[str]:
    """Yield what a function of RQ may call: functions of its module, and methods of Job and Queue by their name."""
    found = function(dotted)
    assert found is not None
    module = found.__globals__['__name__']
    for name in sorted(names_in(found.__code__)):
        for owner in {'rq.job.Job', 'rq.queue.Queue', module} & OWNERS.keys():
            if function(f'{owner}.{name}') is not None:
                yield f'{owner}.{name}'


@pytest.mark.parametrize('call', ROOTS)
def test_every_function_that_rq_calls_is_required(call: str) -> None:
    required = set(REQUIRED[call])
    seen: set[str] = set()
    to_do = list(ROOTS[call])
    while to_do:
        dotted = to_do.pop()
        if dotted in seen or dotted.rpartition('.')[0] not in OWNERS or function(dotted) is None:
            continue
        seen.add(dotted)
        if dotted in required:
            to_do += called_by(dotted)
    assert seen - required - ELSEWHERE - ELSEWHERE_IN[call] == set()
    assert len(seen & required) > 15


@pytest.mark.parametrize('call', ['delete', 'requeue', 'cancel', 'clean', 'clock', 'texts', 'serializer'])
def test_unpatched_rq_meets_requirements(call: str) -> None:
    guard = getattr(guards, f'{call}_guard')
    assert all(guard.holds() for _ in range(3))
