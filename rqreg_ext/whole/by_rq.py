"""One job by RQ's own methods: what no script must guess about.

RQ's remove() and requeue() are several commands, and a process that ends in between leaves a job half done. Where RQ
is one that we know, its methods are given one transaction for all they write; where it is not, they are called as they
are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rq import Queue
from rq import job as rq_job
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job, parse_job_id
from rq.timeouts import BaseTimeoutException

from .._exchange import INTEGER, VALUE, Command, exchange, without_errors
from .._rights import is_denied
from .._server_errors import is_of_whole_server
from .job_fields import is_of_wrong_type
from .membership import Members
from .reading import parser_of
from .truth.places import CANCELED, PLACE_OF_STATUS, STARTED, Place, executions_key, place_of


class NotInRegistry(Exception):
    """The job is not in the registry, or not any more."""


class AlreadyCanceled(Exception):
    """The job is canceled."""


# ---- To the letter


def remove(registry: Any, members: Members, job_id: str, delete_job: bool = True) -> None:
    """Call the registry's own remove()."""
    check_is_in(registry, members, job_id)
    if delete_job:
        try:
            _check_id(registry, Job, job_id)
        except NoSuchJobError:
            # RQ's remove() takes out the entry before it says what it has to say of the id.
            with contextlib.suppress(NoSuchJobError, ValueError):
                registry.remove(job_id, delete_job=True)
            raise
    registry.remove(job_id, delete_job=delete_job)


def requeue(registry: Any, members: Members, at_front: bool, job_id: str) -> None:
    """Call the registry's own requeue()."""
    check_is_in(registry, members, job_id)
    _check_id(registry, registry.job_class, job_id)
    try:
        with _not_in_registry():
            registry.requeue(job_id, at_front=at_front)
    except NotInRegistry:
        if parser_of(registry) is None and parse_job_id(job_id) != job_id and members.contain([job_id]) == [True]:
            raise _not_its_id(registry, job_id, parse_job_id(job_id)) from None
        raise


def _check_id(registry: Any, job_class: Any, job_id: str) -> None:
    """Raise what there is to say of an id that RQ refuses, before RQ's own method has changed anything."""
    if parser_of(registry) is None and not is_taken_by_rq(job_id):
        _fetch(job_class, registry, job_id)


@contextlib.contextmanager
def _not_in_registry() -> Iterator[None]:
    try:
        yield
    except InvalidJobOperation as error:
        # What RQ says, without a word, of a job that is not in the registry.
        if error.args:
            raise
        raise NotInRegistry from None


def check_is_in(registry: Any, members: Members, job_id: str) -> None:
    """See whether the job is in the registry, as far as that can be told from outside."""
    # Only the registry itself knows what its entries are, if they are not job ids.
    if parser_of(registry) is None and members.contain([job_id]) != [True]:
        raise NotInRegistry


# ---- In a transaction

# What writes into the transaction whatever is done to a job, and returns what is to be done after it, if anything.
Write = Callable[[Any, Any, Any], Callable[[], Any] | None]


def delete_whole(registry: Any, job_id: str) -> None:
    """Do what RQ's remove(job_id, delete_job=True) does, wholly or not at all.

    In steps, as RQ does it, where the user may do no more.
    """
    try:
        _in_transaction(registry, job_id, _write_deletion, removes_stale_entry=True)
    except _Denied:
        _delete_in_steps(registry, job_id)


def requeue_whole(registry: Any, at_front: bool, job_id: str) -> None:
    """Do what RQ's requeue() does, wholly or not at all; in steps, as RQ does it, where the user may do no more."""

    def write(registry: Any, job: Any, pipeline: Any) -> None:
        _write_requeue(registry, job, pipeline, at_front)

    try:
        _in_transaction(registry, job_id, write, removes_stale_entry=False)
    except _Denied:
        with _not_in_registry():
            registry._rq_class.requeue(registry, job_id, at_front=at_front)


class _Denied(Exception):
    """The user may not look at the job in a transaction, which RQ does not do."""


@contextlib.contextmanager
def _looking() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if is_denied(error):
            raise _Denied from error
        raise


def _delete_in_steps(registry: Any, job_id: str) -> None:
    """Do it by the commands of RQ's remove(job_id, delete_job=True), but look first, and spare a job that is gone."""
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


def cancel_whole(registry: Any, members: Members, ties: Mapping[str, bool], job_id: str) -> None:
    """Cancel a job of the registry by its cancel(), which is a transaction, given these arguments."""
    job = look_for_cancel(registry, members, job_id)
    with _unless_gone(registry, job_id):
        _check_registries(job, CANCELED)
        job.cancel(**ties)


def look_for_cancel(registry: Any, members: Members, job_id: str) -> Any:
    """Return the job, if it is in the registry and not canceled."""
    is_in = _is_in(registry, job_id)
    if is_in is None and parser_of(registry) is None:
        is_in = _is_listed(members, job_id)
    if is_in is False:
        raise NotInRegistry
    job = _fetch(registry.job_class, registry, job_id)
    if job.is_canceled:
        raise AlreadyCanceled
    if is_in is None and not _belongs_in(registry, job):
        raise NotInRegistry
    return job


def _is_in(registry: Any, job_id: str) -> bool | None:
    """Tell whether the job is in the registry; None where the user may not ask that, which RQ does not."""
    try:
        return job_id in registry
    except Exception as error:
        if is_denied(error) and place_of(registry) is not None:
            return None
        raise


def _is_listed(members: Members, job_id: str) -> bool | None:
    """Tell whether the job is among the entries; None where the user may not read these either."""
    try:
        return members.contain([job_id])[0]
    except Exception as error:
        if is_denied(error):
            return None
        raise


def _belongs_in(registry: Any, job: Any) -> bool:
    """Tell whether the job says of itself that it is in the registry."""
    place = PLACE_OF_STATUS.get(job.get_status(refresh=False))
    return place is not None and place.key(job.origin) == registry.key


def _in_transaction(registry: Any, job_id: str, write: Write, removes_stale_entry: bool) -> None:
    """Raises NotInRegistry, NoSuchJobError, and whatever RQ's methods raise."""
    rest = None
    is_done = False
    while not is_done:
        try:
            rest = _try_transaction(registry, job_id, write, removes_stale_entry)
            is_done = True
        except Exception as error:
            # The job has changed since it was looked at, or the connection was lost while it was. By its name: of
            # whichever package the client is.
            if type(error).__name__ != 'WatchError':
                raise
    if rest is not None:
        rest()


def _try_transaction(registry: Any, job_id: str, write: Write, removes_stale_entry: bool) -> Callable[[], Any] | None:
    """Do it; return what is to be done after it, if anything."""
    job_class = Job if removes_stale_entry else registry.job_class
    with registry.connection.pipeline() as pipeline:
        with _looking():
            pipeline.watch(job_class.key_for(parse_job_id(job_id)))
            score = pipeline.zscore(registry.key, job_id)
        if score is None:
            raise NotInRegistry
        try:
            job = _fetch(job_class, registry, job_id)
        except NoSuchJobError:
            if removes_stale_entry:
                # As remove() does before it raises.
                pipeline.multi()
                pipeline.zrem(registry.key, job_id)
                pipeline.execute()
            raise
        entry = job_id if removes_stale_entry else _entry_to_requeue(registry, job, job_id)
        pipeline.multi()
        pipeline.zrem(registry.key, entry)
        with _unless_gone(registry, entry):
            rest = write(registry, job, pipeline)
        pipeline.execute()
    return rest


@contextlib.contextmanager
def _unless_gone(registry: Any, job_id: str) -> Iterator[None]:
    """Have what fails for a job that somebody else has done in this moment raise NotInRegistry."""
    try:
        yield
    except Exception as error:
        if is_of_the_job(error) and _is_in(registry, job_id) is False:
            raise NotInRegistry from error
        raise


def _entry_to_requeue(registry: Any, job: Any, job_id: str) -> str:
    """Return what RQ's requeue() takes out: the id that the job has, which may be another than the entry found."""
    if job.id != job_id and registry.connection.zscore(registry.key, job.id) is None:
        raise _not_its_id(registry, job_id, job.id)
    return str(job.id)


def _not_its_id(registry: Any, entry: str, job_id: str) -> InvalidJobOperation:
    return InvalidJobOperation(f'{entry!r} is not the id of its job, {job_id!r}, which is not in {registry.key!r}')


def look(registry: Any, members: Members, job_class: Any, job_id: str) -> None:
    """See whether RQ finds the job, and can read it."""
    check_is_in(registry, members, job_id)
    _fetch(job_class, registry, job_id)


def _fetch(job_class: Any, registry: Any, job_id: str) -> Any:
    """Return the job. Raises ValueError for a job with an id that RQ refuses, NoSuchJobError for one that is gone."""
    if parse_job_id(job_id) != job_id and _exists(job_class, registry, job_id):
        raise refusal_of(job_id) or ValueError(f'RQ takes {job_id!r} for the id of job {parse_job_id(job_id)!r}')
    try:
        return job_class.fetch(job_id, connection=registry.connection, serializer=registry.serializer)
    except ValueError:
        job_id = parse_job_id(job_id)
        if refusal_of(job_id) is not None and not _exists(job_class, registry, job_id):
            raise NoSuchJobError(f'No such job: {job_class.key_for(job_id)}') from None
        raise


def _exists(job_class: Any, registry: Any, job_id: str) -> bool:
    key = job_class.key_for(job_id)
    (found,) = exchange(registry.connection, [(INTEGER, 'EXISTS', key)])
    if is_denied(found):
        # RQ reads the whole hash.
        (found,) = exchange(registry.connection, [(VALUE, 'HGETALL', key)])
    return bool(without_errors([found])[0])


def is_taken_by_rq(job_id: str) -> bool:
    """Tell whether RQ finds the job of this id.

    RQ from 2.7 on refuses ids of other characters than letters, digits, - and _. Every RQ takes an id with a colon for
    an entry of a started registry, and its beginning for the id.
    """
    return parse_job_id(job_id) == job_id and refusal_of(job_id) is None


def refusal_of(job_id: str) -> ValueError | None:
    """Return what RQ says of an id that it refuses."""
    # RQ before 2.7 takes any text for an id.
    validate = getattr(rq_job, 'validate_job_id', None)
    if validate is not None:
        try:
            validate(job_id)
        except ValueError as error:
            return error
    return None


def _check_registries(job: Any, *places: Place) -> None:
    """Raise the server's error for a key of RQ's that has another type before a transaction fails half way at it."""
    touched = {PLACE_OF_STATUS.get(job.get_status(refresh=False)), *places}
    keys = [place.key(job.origin) for place in touched if place is not None]
    if getattr(job, 'has_rate_limit', False):
        keys.append(executions_key(job.id))
    _look_at(job.connection, [(INTEGER, 'ZCARD', key) for key in keys])


def _look_at(connection: Any, commands: Sequence[Command]) -> None:
    """Raise the server's error to a command; what the user may not ask, RQ does not ask either."""
    without_errors([reply for reply in exchange(connection, commands) if not is_denied(reply)])


def _write_deletion(registry: Any, job: Any, pipeline: Any) -> Callable[[], Any] | None:
    has_rate_limit = getattr(job, 'has_rate_limit', False)
    # Raises where there is none, as RQ does first of all.
    job.get_status()
    # RQ leaves the executions of a job with a rate limit alone.
    _check_registries(job, *[STARTED] * (not has_rate_limit and _has_executions(job)))
    job.delete(pipeline=pipeline)
    if not has_rate_limit:
        return None
    from rq.rate_limit import RateLimitRegistry

    # What delete() leaves out where it is given a pipeline: the next job's turn.
    return lambda: RateLimitRegistry.from_job(job).cancel(job.id)


def _has_executions(job: Any) -> bool:
    """Tell whether RQ finds executions; it drops those that have expired as soon as it looks."""
    try:
        return bool(job.get_executions())
    except Exception as error:
        if not is_of_the_job(error):
            raise
        # One is lost, say. RQ's delete() says so in its turn.
        return False


def _write_requeue(registry: Any, job: Any, pipeline: Any, at_front: bool) -> None:
    """As RQ's requeue() does behind its ZREM."""
    queue = Queue(
        job.origin, connection=registry.connection, job_class=registry.job_class, serializer=registry.serializer
    )
    # Of another type it fails when the job's entry is gone; see _check_registries().
    _look_at(registry.connection, [(INTEGER, 'LLEN', queue.key)])
    job.started_at = None
    job.ended_at = None
    job._exc_info = ''
    if getattr(job, 'has_rate_limit', False):
        job.enqueue_at_front = at_front
        queue._enqueue_rate_limited_job(job, pipeline=pipeline)
    else:
        queue._enqueue_job(job, pipeline=pipeline, at_front=at_front)


# ---- What is the job's own failure


def is_of_the_job(error: Exception) -> bool:
    """Tell whether RQ's error is about this one job.

    Not about the connection, nor what the server refuses to all, nor the end of the time that the caller, a job, has.
    """
    bases = {base.__name__ for base in type(error).__mro__}
    if 'RedisError' not in bases:
        return not isinstance(error, (NotImplementedError, BaseTimeoutException))
    return type(error).__name__ in ('ResponseError', 'DataError') and not is_of_whole_server(error)


def is_of_the_registry(registry: Any, error: Exception) -> bool:
    """Tell whether it is the registry's own key that is of another type, and so whichever job is asked about."""
    if not is_of_wrong_type(error):
        return False
    (count,) = exchange(registry.connection, [(INTEGER, 'ZCARD', registry.key)])
    return is_of_wrong_type(count)
