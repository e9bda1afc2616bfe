"""One job with what RQ's methods write, in one transaction."""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job, parse_job_id

from ..._fastpath import cluster
from ..._fastpath.clients.support import is_cluster, sends_unchanged
from ..._fastpath.server_errors import CommandDeniedError, raising_denied
from ..._query.membership import Members
from .by_method import requeue_in_steps
from .job_ids import fetch, refuse_ids_as_rq_does
from .presence import NotInRegistryError, check_is_in, check_is_listed, job_to_cancel, not_its_id, unless_gone
from .written_keys import check_canceled_keys, check_written_keys

# Writes the changes of a job into a transaction; returns a function to call after it, or None.
Write = Callable[[Any, Any, Any], Callable[[], Any] | None]


def on_one_server(step: Callable[..., None]) -> Callable[..., None]:
    """Decorate a step that needs WATCH, which pipeline() of a cluster's client, as RQ calls it, does not support.

    Where all of RQ's keys share a slot, the step gets a copy of the registry on the plain client of their node.
    """

    @functools.wraps(step)
    def called(registry: Any, members: Members, *arguments: Any) -> None:
        client = registry.connection
        if not is_cluster(client) or not sends_unchanged(client, registry.key):
            step(registry, members, *arguments)
            return
        for attempt in itertools.count(1):
            on_node = copy.copy(registry)
            on_node.connection = cluster.node_of_key(client, registry.key) or client
            try:
                step(on_node, Members(on_node), *arguments)
            except Exception as error:
                # A transaction that was redirected did nothing, so it may be repeated.
                if not cluster.follow(client, error, attempt):
                    raise
            else:
                return

    return called


@on_one_server
def delete(registry: Any, members: Members, job_id: str) -> None:
    """Do what RQ's remove(job_id, delete_job=True) does, in one transaction.

    If the user has no right to the commands of the transaction, the commands of RQ's remove() are sent one by one.
    """
    try:
        run_transaction(registry, job_id, _write_deletion, is_deletion=True)
    except CommandDeniedError:
        check_is_listed(members, job_id)
        _delete_in_steps(registry, job_id)
    except UnicodeEncodeError:
        # The id cannot be encoded: raise the error that RQ's ZREM raises.
        check_is_in(registry, members, job_id)
        raise


def _delete_in_steps(registry: Any, job_id: str) -> None:
    """Send the commands of RQ's remove(job_id, delete_job=True), but load the job before removing its entry.

    So a job that cannot be loaded keeps its entry, and a job that is not in the registry is not deleted.
    """
    try:
        job = fetch(Job, registry, job_id)
        job.get_status()
    except NoSuchJobError:
        if not registry.connection.zrem(registry.key, job_id):
            raise NotInRegistryError from None
        raise
    if not registry.connection.zrem(registry.key, job_id):
        raise NotInRegistryError
    job.delete()


def _write_deletion(registry: Any, job: Any, pipeline: Any) -> Callable[[], Any] | None:
    has_rate_limit = getattr(job, 'has_rate_limit', False)
    # Raises an error if the job has no status, as RQ does before it changes anything.
    job.get_status()
    try:
        job.delete(pipeline=pipeline)
    except Exception:
        # RQ's commands until then would have failed before.
        check_written_keys(job, pipeline)
        raise
    check_written_keys(job, pipeline)
    return (lambda: leave_rate_limit(job)) if has_rate_limit else None


def leave_rate_limit(job: Any) -> None:
    """Let the next job of a rate limit run: Job.delete() leaves that out if it gets a pipeline."""
    if getattr(job, 'has_rate_limit', False):
        from rq.rate_limit import RateLimitRegistry

        RateLimitRegistry.from_job(job).cancel(job.id)


@refuse_ids_as_rq_does
@on_one_server
def requeue(registry: Any, members: Members, at_front: bool, job_id: str) -> None:
    """Do what RQ's requeue() does, in one transaction.

    If the user has no right to the commands of the transaction, RQ's requeue() is called as it is.
    """

    def write(registry: Any, job: Any, pipeline: Any) -> None:
        write_requeue(registry, job, pipeline, at_front)

    try:
        run_transaction(registry, job_id, write, is_deletion=False)
    except CommandDeniedError:
        check_is_listed(members, job_id)
        requeue_in_steps(partial(registry._rq_class.requeue, registry), registry, members, at_front, job_id)


def write_requeue(registry: Any, job: Any, pipeline: Any, at_front: bool) -> None:
    """Write what RQ's requeue() does after its ZREM."""
    queue = Queue(
        job.origin, connection=registry.connection, job_class=registry.job_class, serializer=registry.serializer
    )
    job.started_at = None
    job.ended_at = None
    job._exc_info = ''
    if getattr(job, 'has_rate_limit', False):
        job.enqueue_at_front = at_front
        queue._enqueue_rate_limited_job(job, pipeline=pipeline)
    else:
        queue._enqueue_job(job, pipeline=pipeline, at_front=at_front)
    check_written_keys(job, pipeline, reads_executions=False)


@refuse_ids_as_rq_does
@on_one_server
def cancel(registry: Any, members: Members, options: Mapping[str, bool], job_id: str) -> None:
    """Cancel a job of the registry with Job.cancel(**options), which is one transaction."""
    job = job_to_cancel(registry, members, job_id)
    with unless_gone(registry, job_id):
        check_canceled_keys(job, options['remove_from_dependencies'])
        job.cancel(**options)


def run_transaction(registry: Any, job_id: str, write: Write, is_deletion: bool) -> None:
    """Run the transaction, again if the job was changed between WATCH and EXEC.

    is_deletion: whether `write` deletes the job. As in RQ's remove(), it is then RQ's own Job, and the entry is the id
    as given.

    Raises NotInRegistryError, NoSuchJobError, and the errors of RQ's methods.
    """
    do_afterwards = None
    is_done = False
    while not is_done:
        try:
            do_afterwards = _try_transaction(registry, job_id, write, is_deletion)
            is_done = True
        except Exception as error:
            # The watched job was changed, or the connection was lost. Compared by name, as redis-py, valkey-py and
            # fakeredis each have their own class.
            if type(error).__name__ != 'WatchError':
                raise
    if do_afterwards is not None:
        do_afterwards()


def _try_transaction(registry: Any, job_id: str, write: Write, is_deletion: bool) -> Callable[[], Any] | None:
    """Run the transaction once; return a function to call after it, or None."""
    job_class = Job if is_deletion else registry.job_class
    with registry.connection.pipeline() as pipeline:
        # RQ's methods send neither of these commands: the user may have no right to them.
        with raising_denied():
            pipeline.watch(job_class.key_for(parse_job_id(job_id)))
            score = pipeline.zscore(registry.key, job_id)
        if score is None:
            raise NotInRegistryError
        try:
            job = fetch(job_class, registry, job_id)
        except NoSuchJobError:
            if is_deletion:
                # RQ's remove() does so before it raises.
                pipeline.multi()
                pipeline.zrem(registry.key, job_id)
                pipeline.execute()
            raise
        entry = job_id if is_deletion else _entry_to_requeue(registry, job, job_id)
        pipeline.multi()
        pipeline.zrem(registry.key, entry)
        with unless_gone(registry, entry):
            do_afterwards = write(registry, job, pipeline)
        pipeline.execute()
    return do_afterwards


def _entry_to_requeue(registry: Any, job: Any, job_id: str) -> str:
    """Return the entry that RQ's requeue() removes: the id of the loaded job, which can differ from the id given."""
    if job.id != job_id and registry.connection.zscore(registry.key, job.id) is None:
        raise not_its_id(registry, job_id, job.id)
    return str(job.id)
