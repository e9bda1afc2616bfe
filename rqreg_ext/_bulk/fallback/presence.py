"""Whether a job is in its registry: the checks before RQ's methods are called, and what they raise."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from rq.exceptions import InvalidJobOperation

from ..._fastpath.rq_keys import REGISTRY_KIND_OF_STATUS, registry_kind_of
from ..._fastpath.server_errors import concerns_one_job, is_denied
from ..._query.listing import parser_of
from ..._query.membership import Members
from .job_ids import fetch


class NotInRegistryError(Exception):
    """The job is not in the registry, or no longer."""


class AlreadyCanceledError(Exception):
    """The job is already canceled."""


def check_is_in(registry: Any, members: Members, job_id: str) -> None:
    """Raise NotInRegistryError if the job is not in the registry. Registries with ids of their own are not checked."""
    # Only such a registry's parse_job_id() knows which job an entry is for.
    if parser_of(registry) is None and members.contain([job_id]) != [True]:
        raise NotInRegistryError


def check_is_readable(registry: Any, members: Members, job_class: Any, job_id: str) -> None:
    """Raise an error if the job is not in the registry, or RQ cannot load it."""
    check_is_in(registry, members, job_id)
    fetch(job_class, registry, job_id)


def job_to_cancel(registry: Any, members: Members, job_id: str) -> Any:
    """Return the job. Raises NotInRegistryError and AlreadyCanceledError."""
    is_there = is_in(registry, job_id)
    if is_there is None and parser_of(registry) is None:
        is_there = is_listed(members, job_id)
    if is_there is None and registry_kind_of(registry) is None:
        # A job's status does not tell whether it is in such a registry: raise the server's error.
        is_there = job_id in registry
    if is_there is False:
        raise NotInRegistryError
    job = fetch(registry.job_class, registry, job_id)
    if job.is_canceled:
        raise AlreadyCanceledError
    if is_there is None and not _belongs_in(registry, job):
        raise NotInRegistryError
    return job


def _belongs_in(registry: Any, job: Any) -> bool:
    """Tell whether the job is in the registry according to its status and origin."""
    registry_kind = REGISTRY_KIND_OF_STATUS.get(job.get_status(refresh=False))
    return registry_kind is not None and registry_kind.key(job.origin) == registry.key


def is_in(registry: Any, job_id: str) -> bool | None:
    """Tell whether the job is in the registry; None if the user has no right to ask, as RQ's methods do not."""
    try:
        return job_id in registry
    except Exception as error:
        if is_denied(error):
            return None
        raise


def is_listed(members: Members, job_id: str) -> bool | None:
    """Tell whether the job is among the entries; None if the user has no right to read them."""
    try:
        return members.contain([job_id])[0]
    except Exception as error:
        if is_denied(error):
            return None
        raise


def check_is_listed(members: Members, job_id: str) -> None:
    """Raise NotInRegistryError if the job is not among the entries, and the user has the right to see that.

    Otherwise, loading a job that is not in the registry could fail, and would be reported as an error of that job.
    """
    if is_listed(members, job_id) is False:
        raise NotInRegistryError


@contextlib.contextmanager
def unless_gone(registry: Any, job_id: str) -> Iterator[None]:
    """Turn an error of the job into NotInRegistryError if another client has just removed it from the registry."""
    try:
        yield
    except Exception as error:
        if concerns_one_job(error) and is_in(registry, job_id) is False:
            raise NotInRegistryError from error
        raise


def not_its_id(registry: Any, entry: str, job_id: str) -> InvalidJobOperation:
    return InvalidJobOperation(f'{entry!r} is not the id of its job, {job_id!r}, which is not in {registry.key!r}')
