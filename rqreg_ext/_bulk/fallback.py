"""One job with RQ's own methods, for what a script cannot decide.

RQ's remove() and requeue() send several commands, so a process that is killed in between leaves a job half done. If the
installed RQ is a known release, its methods write into one transaction here; otherwise they are called as they are.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from rq import Queue
from rq import job as rq_job
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job, parse_job_id
from rq.timeouts import BaseTimeoutException

from .._fastpath import cluster
from .._fastpath.clients.support import is_cluster, sends_unchanged
from .._fastpath.exchange import INTEGER, VALUE, Command, exchange, without_errors
from .._fastpath.locations import (
    CANCELED,
    REGISTRY_KIND_OF_STATUS,
    executions_key,
    registry_kind_of,
)
from .._fastpath.server_errors import CommandDenied, concerns_whole_server, is_denied, is_wrong_type, raising_denied
from .._query.listing import parser_of
from .._query.membership import Members


class NotInRegistry(Exception):
    """The job is not in the registry, or no longer."""


class AlreadyCanceled(Exception):
    """The job is already canceled."""


def _refuse_ids_as_rq_does(step: Callable[..., None]) -> Callable[..., None]:
    """Decorate a step so that an id that cannot be encoded raises RQ's ValueError, as RQ makes a Job of it first."""

    @functools.wraps(step)
    def checked(*arguments: Any) -> None:
        try:
            step(*arguments)
        except UnicodeEncodeError as error:
            raise id_error_of(arguments[-1]) or error from None

    return checked


def _on_one_server(step: Callable[..., None]) -> Callable[..., None]:
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


# ---- With the registry's own method


def remove(registry: Any, members: Members, job_id: str, delete_job: bool = True) -> None:
    """Call the registry's own remove()."""
    check_is_in(registry, members, job_id)
    if delete_job:
        try:
            _check_id(registry, Job, job_id)
        except NoSuchJobError:
            # RQ's remove() removes the entry before it raises an error for the id.
            with contextlib.suppress(NoSuchJobError, ValueError):
                registry.remove(job_id, delete_job=True)
            raise
    registry.remove(job_id, delete_job=delete_job)


@_refuse_ids_as_rq_does
def requeue(registry: Any, members: Members, at_front: bool, job_id: str) -> None:
    """Call the registry's own requeue()."""
    check_is_in(registry, members, job_id)
    _requeue_in_steps(registry.requeue, registry, members, at_front, job_id)


def _requeue_in_steps(method: Any, registry: Any, members: Members, at_front: bool, job_id: str) -> None:
    _check_id(registry, registry.job_class, job_id)
    try:
        with _not_in_registry():
            method(job_id, at_front=at_front)
    except NotInRegistry:
        if parser_of(registry) is None and parse_job_id(job_id) != job_id and _is_listed(members, job_id):
            raise _not_its_id(registry, job_id, parse_job_id(job_id)) from None
        raise


def _check_id(registry: Any, job_class: Any, job_id: str) -> None:
    """Raise the error for an id that RQ refuses, before RQ's method has changed anything.

    Whether the job can be loaded is checked by RQ's method itself.
    """
    if parser_of(registry) is None and not is_taken_by_rq(job_id):
        _check_is_not_cut(registry, job_class, job_id)
        id_error = id_error_of(parse_job_id(job_id))
        # RQ does not refuse the empty id.
        if id_error is not None and parse_job_id(job_id):
            raise id_error if _exists(job_class, registry, parse_job_id(job_id)) else _no_such_job(job_class, job_id)


@contextlib.contextmanager
def _not_in_registry() -> Iterator[None]:
    try:
        yield
    except InvalidJobOperation as error:
        # RQ raises it without a message if the job is not in the registry.
        if error.args:
            raise
        raise NotInRegistry from None


def check_is_in(registry: Any, members: Members, job_id: str) -> None:
    """Raise NotInRegistry if the job is not in the registry. It does not check registries with their own job ids."""
    # Only such a registry's parse_job_id() knows which job an entry is for.
    if parser_of(registry) is None and members.contain([job_id]) != [True]:
        raise NotInRegistry


# ---- In a transaction

# Writes the changes of a job into a transaction; returns a function to call after it, or None.
Write = Callable[[Any, Any, Any], Callable[[], Any] | None]


@_on_one_server
def delete_in_transaction(registry: Any, members: Members, job_id: str) -> None:
    """Do what RQ's remove(job_id, delete_job=True) does, in one transaction.

    If the user has no right to the commands of the transaction, the commands of RQ's remove() are sent one by one.
    """
    try:
        _in_transaction(registry, job_id, _write_deletion, is_deletion=True)
    except CommandDenied:
        _check_is_listed(members, job_id)
        _delete_in_steps(registry, job_id)
    except UnicodeEncodeError:
        # The id cannot be encoded: raise the error that RQ's ZREM raises.
        check_is_in(registry, members, job_id)
        raise


@_refuse_ids_as_rq_does
@_on_one_server
def requeue_in_transaction(registry: Any, members: Members, at_front: bool, job_id: str) -> None:
    """Do what RQ's requeue() does, in one transaction.

    If the user has no right to the commands of the transaction, RQ's requeue() is called as it is.
    """

    def write(registry: Any, job: Any, pipeline: Any) -> None:
        _write_requeue(registry, job, pipeline, at_front)

    try:
        _in_transaction(registry, job_id, write, is_deletion=False)
    except CommandDenied:
        _check_is_listed(members, job_id)
        _requeue_in_steps(partial(registry._rq_class.requeue, registry), registry, members, at_front, job_id)


def _delete_in_steps(registry: Any, job_id: str) -> None:
    """Send the commands of RQ's remove(job_id, delete_job=True), but load the job before removing its entry.

    So a job that cannot be loaded keeps its entry, and a job that is not in the registry is not deleted.
    """
    try:
        job = _fetch(Job, registry, job_id)
        job.get_status()
    except NoSuchJobError:
        if not registry.connection.zrem(registry.key, job_id):
            raise NotInRegistry from None
        raise
    if not registry.connection.zrem(registry.key, job_id):
        raise NotInRegistry
    job.delete()


@_refuse_ids_as_rq_does
@_on_one_server
def cancel_in_transaction(registry: Any, members: Members, options: Mapping[str, bool], job_id: str) -> None:
    """Cancel a job of the registry with Job.cancel(**options), which is one transaction."""
    job = job_to_cancel(registry, members, job_id)
    with _unless_gone(registry, job_id):
        _check_canceled_keys(job, options['remove_from_dependencies'])
        job.cancel(**options)


def job_to_cancel(registry: Any, members: Members, job_id: str) -> Any:
    """Return the job. Raises NotInRegistry and AlreadyCanceled."""
    is_in = _is_in(registry, job_id)
    if is_in is None and parser_of(registry) is None:
        is_in = _is_listed(members, job_id)
    if is_in is None and registry_kind_of(registry) is None:
        # A job's status does not tell whether it is in such a registry: raise the server's error.
        is_in = job_id in registry
    if is_in is False:
        raise NotInRegistry
    job = _fetch(registry.job_class, registry, job_id)
    if job.is_canceled:
        raise AlreadyCanceled
    if is_in is None and not _belongs_in(registry, job):
        raise NotInRegistry
    return job


def _is_in(registry: Any, job_id: str) -> bool | None:
    """Tell whether the job is in the registry; None if the user has no right to ask, as RQ's methods do not."""
    try:
        return job_id in registry
    except Exception as error:
        if is_denied(error):
            return None
        raise


def _is_listed(members: Members, job_id: str) -> bool | None:
    """Tell whether the job is among the entries; None if the user has no right to read them."""
    try:
        return members.contain([job_id])[0]
    except Exception as error:
        if is_denied(error):
            return None
        raise


def _check_is_listed(members: Members, job_id: str) -> None:
    """Raise NotInRegistry if the job is not among the entries, and the user has the right to see that.

    Otherwise, loading a job that is not in the registry could fail, and would be reported as an error of that job.
    """
    if _is_listed(members, job_id) is False:
        raise NotInRegistry


def _belongs_in(registry: Any, job: Any) -> bool:
    """Tell whether the job is in the registry according to its status and origin."""
    registry_kind = REGISTRY_KIND_OF_STATUS.get(job.get_status(refresh=False))
    return registry_kind is not None and registry_kind.key(job.origin) == registry.key


def _in_transaction(registry: Any, job_id: str, write: Write, is_deletion: bool) -> None:
    """Run the transaction, again if the job was changed between WATCH and EXEC.

    is_deletion: whether `write` deletes the job. As in RQ's remove(), it is then RQ's own Job, and the entry is the id
    as given.

    Raises NotInRegistry, NoSuchJobError, and the errors of RQ's methods.
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
            raise NotInRegistry
        try:
            job = _fetch(job_class, registry, job_id)
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
        with _unless_gone(registry, entry):
            do_afterwards = write(registry, job, pipeline)
        pipeline.execute()
    return do_afterwards


@contextlib.contextmanager
def _unless_gone(registry: Any, job_id: str) -> Iterator[None]:
    """Turn an error of the job into NotInRegistry if another client has just removed it from the registry."""
    try:
        yield
    except Exception as error:
        if concerns_job(error) and _is_in(registry, job_id) is False:
            raise NotInRegistry from error
        raise


def _entry_to_requeue(registry: Any, job: Any, job_id: str) -> str:
    """Return the entry that RQ's requeue() removes: the id of the loaded job, which can differ from the id given."""
    if job.id != job_id and registry.connection.zscore(registry.key, job.id) is None:
        raise _not_its_id(registry, job_id, job.id)
    return str(job.id)


def _not_its_id(registry: Any, entry: str, job_id: str) -> InvalidJobOperation:
    return InvalidJobOperation(f'{entry!r} is not the id of its job, {job_id!r}, which is not in {registry.key!r}')


def check_is_readable(registry: Any, members: Members, job_class: Any, job_id: str) -> None:
    """Raise an error if the job is not in the registry, or RQ cannot load it."""
    check_is_in(registry, members, job_id)
    _fetch(job_class, registry, job_id)


def _fetch(job_class: Any, registry: Any, job_id: str) -> Any:
    """Load the job. Raises ValueError if RQ refuses the id of an existing job, NoSuchJobError if there is no job."""
    _check_is_not_cut(registry, job_class, job_id)
    try:
        return job_class.fetch(job_id, connection=registry.connection, serializer=registry.serializer)
    except ValueError:
        if id_error_of(parse_job_id(job_id)) is None or _exists(job_class, registry, parse_job_id(job_id)):
            raise
        raise _no_such_job(job_class, job_id) from None


def _check_is_not_cut(registry: Any, job_class: Any, job_id: str) -> None:
    """Raise ValueError if a job has this id, but RQ cuts the id off at a colon and would load another job."""
    if parse_job_id(job_id) != job_id and _exists(job_class, registry, job_id):
        raise id_error_of(job_id) or ValueError(f'RQ takes {job_id!r} for the id of job {parse_job_id(job_id)!r}')


def _no_such_job(job_class: Any, job_id: str) -> NoSuchJobError:
    return NoSuchJobError(f'No such job: {job_class.key_for(parse_job_id(job_id))}')


def _exists(job_class: Any, registry: Any, job_id: str) -> bool:
    key = job_class.key_for(job_id)
    (found,) = exchange(registry.connection, [(INTEGER, 'EXISTS', key)])
    if is_denied(found):
        # RQ reads the hash, so its user has the right to HGETALL.
        (found,) = exchange(registry.connection, [(VALUE, 'HGETALL', key)])
    return bool(without_errors([found])[0])


def is_taken_by_rq(job_id: str) -> bool:
    """Tell whether RQ accepts this id of a job.

    RQ from 2.7 on refuses ids with other characters than letters, digits, - and _. Every RQ takes an id with a colon
    for an entry of a started registry (`job id:execution id`), and uses only what comes before the colon.
    """
    return parse_job_id(job_id) == job_id and id_error_of(job_id) is None


def id_error_of(job_id: str) -> ValueError | None:
    """Return RQ's error for an id that it refuses; None if it accepts the id."""
    # RQ before 2.7 accepts any text.
    validate = getattr(rq_job, 'validate_job_id', None)
    if validate is not None:
        try:
            validate(job_id)
        except ValueError:
            return _id_error_by_job(job_id)
    return None


def _id_error_by_job(job_id: str) -> ValueError | None:
    """Return the error that Job() raises for an id. It does not validate the empty id."""
    try:
        # The constructor only stores the connection.
        Job(job_id, connection=object())  # type: ignore[arg-type]
    except ValueError as error:
        return error
    return None


# For each command that RQ writes into a transaction and that expects a key of a certain type, a read that does too.
_READS = {
    'HSET': 'HLEN',
    'LPUSH': 'LLEN',
    'LREM': 'LLEN',
    'RPUSH': 'LLEN',
    'SADD': 'SCARD',
    'SREM': 'SCARD',
    'ZADD': 'ZCARD',
    'ZREM': 'ZCARD',
}


def _check_written_keys(job: Any, pipeline: Any, reads_executions: bool = True) -> None:
    """Raise the server's error if a key that the transaction writes has another type.

    It must be raised before the transaction: an error within does not undo the commands before it.
    """
    reads: list[tuple[str, ...]] = [
        (_READS[words[0]], words[1]) for words, _ in pipeline.command_stack if words[0] in _READS
    ]
    _check_reads(job.connection, reads + _reads_of_rate_limit(job, reads_executions))


def _check_canceled_keys(job: Any, remove_from_dependencies: bool) -> None:
    """Raise the server's error if a key that Job.cancel() writes in its own transaction has another type."""
    queue = Queue(job.origin, connection=job.connection)
    changed = dict.fromkeys((REGISTRY_KIND_OF_STATUS.get(job.get_status(refresh=False)), CANCELED))
    reads: list[tuple[str, ...]] = [('LLEN', queue.key)]
    reads += [('ZCARD', registry_kind.key(job.origin)) for registry_kind in changed if registry_kind is not None]
    if remove_from_dependencies:
        # By a command that RQ sends too: a client that is used by its methods sends no other.
        reads += [('SISMEMBER', job.dependents_key_for(job_id), ' ') for job_id in job._dependency_ids]
    _check_reads(job.connection, reads + _reads_of_rate_limit(job, reads_executions=True))


def _reads_of_rate_limit(job: Any, reads_executions: bool) -> list[tuple[str, ...]]:
    """Return reads of the keys that RQ uses for a job's rate limit; a requeue does not read its executions."""
    if not getattr(job, 'has_rate_limit', False):
        return []
    from rq.rate_limit import RateLimitRegistry

    limit = RateLimitRegistry.from_job(job)
    used = [limit.allowed_key, limit.rate_limited_key, *[executions_key(job.id)] * reads_executions]
    # RQ reads how many slots there are after it has changed the job.
    concurrency = ('HGET', limit.config_key, 'concurrency')
    return [*(('ZCARD', key) for key in used), concurrency, ('LLEN', Queue(job.origin, connection=job.connection).key)]


def _check_reads(connection: Any, reads: Iterable[tuple[str, ...]]) -> None:
    """Raise the server's error to one of these reads. A missing right is no error, as RQ does not send them."""
    commands: list[Command] = [(VALUE if read[0] == 'HGET' else INTEGER, *read) for read in dict.fromkeys(reads)]
    without_errors([reply for reply in exchange(connection, commands) if not is_denied(reply)])


def _write_deletion(registry: Any, job: Any, pipeline: Any) -> Callable[[], Any] | None:
    has_rate_limit = getattr(job, 'has_rate_limit', False)
    # Raises an error if the job has no status, as RQ does before it changes anything.
    job.get_status()
    try:
        job.delete(pipeline=pipeline)
    except Exception:
        # RQ's commands until then would have failed before.
        _check_written_keys(job, pipeline)
        raise
    _check_written_keys(job, pipeline)
    return (lambda: leave_rate_limit(job)) if has_rate_limit else None


def leave_rate_limit(job: Any) -> None:
    """Let the next job of a rate limit run: Job.delete() leaves that out if it gets a pipeline."""
    if getattr(job, 'has_rate_limit', False):
        from rq.rate_limit import RateLimitRegistry

        RateLimitRegistry.from_job(job).cancel(job.id)


def _write_requeue(registry: Any, job: Any, pipeline: Any, at_front: bool) -> None:
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
    _check_written_keys(job, pipeline, reads_executions=False)


# ---- To another queue


def requeue_on(registry: Any, members: Members, to: Any, at_front: bool, job_id: str) -> None:
    """Call the registry's own requeue() with a job whose queue was changed."""
    check_is_in(registry, members, job_id)
    _requeue_on_in_steps(registry, to, at_front, job_id)


def _requeue_on_in_steps(registry: Any, to: Any, at_front: bool, job_id: str) -> None:
    _check_id(registry, registry.job_class, job_id)
    job = _fetch(registry.job_class, registry, job_id)
    job.origin = to.name
    registry.connection.sadd(Queue.redis_queues_keys, to.key)
    with _not_in_registry():
        registry.requeue(job, at_front=at_front)


@_refuse_ids_as_rq_does
@_on_one_server
def requeue_on_in_transaction(registry: Any, members: Members, to: Any, at_front: bool, job_id: str) -> None:
    """Do what RQ's requeue() does with a job whose queue was changed, in one transaction."""

    def write(registry: Any, job: Any, pipeline: Any) -> None:
        job.origin = to.name
        pipeline.sadd(Queue.redis_queues_keys, to.key)
        _write_requeue(registry, job, pipeline, at_front)

    try:
        _in_transaction(registry, job_id, write, is_deletion=False)
    except CommandDenied:
        _check_is_listed(members, job_id)
        _requeue_on_in_steps(registry, to, at_front, job_id)


@_refuse_ids_as_rq_does
def move_entry(registry: Any, members: Members, to: Any, job_id: str) -> None:
    """Move a job to the registry of the same kind of another queue."""
    check_is_in(registry, members, job_id)
    job = _fetch(registry.job_class, registry, job_id)
    with registry.connection.pipeline() as pipeline:
        pipeline.zrem(registry.key, job.id)
        _write_move(registry, job, pipeline, to)
        pipeline.execute()


@_refuse_ids_as_rq_does
@_on_one_server
def move_entry_in_transaction(registry: Any, members: Members, to: Any, job_id: str) -> None:
    """Do what move_entry() does, in a transaction that fails if the job is changed during it."""

    def write(registry: Any, job: Any, pipeline: Any) -> None:
        _write_move(registry, job, pipeline, to)
        _check_written_keys(job, pipeline, reads_executions=False)

    try:
        _in_transaction(registry, job_id, write, is_deletion=False)
    except CommandDenied:
        move_entry(registry, members, to, job_id)


def check_is_movable(registry: Any, members: Members, job_id: str) -> None:
    """Raise an error if the job is not in the registry, RQ cannot load it, or it has another status."""
    check_is_in(registry, members, job_id)
    _check_status(registry, _fetch(registry.job_class, registry, job_id))


def _write_move(registry: Any, job: Any, pipeline: Any, to: Any) -> None:
    _check_status(registry, job)
    score = registry.connection.zscore(registry.key, job.id)
    if score is None:
        raise NotInRegistry
    pipeline.hset(job.key, 'origin', to.name)
    pipeline.zadd(registry.key_template.format(to.name), {job.id: score})
    pipeline.sadd(Queue.redis_queues_keys, to.key)


def _check_status(registry: Any, job: Any) -> None:
    """Raise InvalidJobOperation for a job that only seems to be in the registry: its status is another one."""
    registry_kind = registry_kind_of(registry)
    status = job.get_status(refresh=False)
    if registry_kind is not None and status not in registry_kind.statuses:
        raise InvalidJobOperation(f'its status is {str(getattr(status, "value", status))!r}, so it was not moved')


# ---- Which errors concern one job


def concerns_job(error: Exception) -> bool:
    """Tell whether an error concerns only this job.

    Errors of the connection and of the whole server do not, nor does the timeout of a job that makes this call.
    """
    bases = {base.__name__ for base in type(error).__mro__}
    if 'RedisError' not in bases:
        return not isinstance(error, (NotImplementedError, BaseTimeoutException))
    return type(error).__name__ in ('ResponseError', 'DataError') and not concerns_whole_server(error)


def concerns_registry(registry: Any, error: Exception) -> bool:
    """Tell whether an error concerns the registry: its key is of another type, so all of its jobs would fail."""
    if not is_wrong_type(error):
        return False
    (count,) = exchange(registry.connection, [(INTEGER, getattr(registry, 'count_command', 'ZCARD'), registry.key)])
    return is_wrong_type(count)
