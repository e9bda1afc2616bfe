"""Which ids of jobs RQ refuses, and loading a job by an id."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from rq import job as rq_job
from rq.exceptions import NoSuchJobError
from rq.job import Job, parse_job_id

from ..._fastpath.exchange import INTEGER, VALUE, exchange, without_errors
from ..._fastpath.server_errors import is_denied
from ..._query.listing import parser_of


def is_accepted_by_rq(job_id: str) -> bool:
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


def _error_of_key(registry: Any, job_id: str) -> UnicodeEncodeError | None:
    """Return the error of the job's key, which RQ before 2.7 sends first; None if the key can be encoded."""
    try:
        f'{registry.job_class.redis_job_namespace_prefix}{job_id}'.encode()
    except UnicodeEncodeError as error:
        return error
    return None


def refuse_ids_as_rq_does(step: Callable[..., None]) -> Callable[..., None]:
    """Decorate a step so that an id that cannot be encoded raises RQ's ValueError, as RQ makes a Job of it first."""

    @functools.wraps(step)
    def checked(*arguments: Any) -> None:
        try:
            step(*arguments)
        except UnicodeEncodeError as error:
            raise id_error_of(arguments[-1]) or _error_of_key(arguments[0], arguments[-1]) or error from None

    return checked


def check_id(registry: Any, job_class: Any, job_id: str) -> None:
    """Raise the error for an id that RQ refuses, before RQ's method has changed anything.

    Whether the job can be loaded is checked by RQ's method itself.
    """
    if parser_of(registry) is None and not is_accepted_by_rq(job_id):
        _check_is_not_cut(registry, job_class, job_id)
        id_error = id_error_of(parse_job_id(job_id))
        # RQ does not refuse the empty id.
        if id_error is not None and parse_job_id(job_id):
            raise id_error if _exists(job_class, registry, parse_job_id(job_id)) else _no_such_job(job_class, job_id)


def fetch(job_class: Any, registry: Any, job_id: str) -> Any:
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
