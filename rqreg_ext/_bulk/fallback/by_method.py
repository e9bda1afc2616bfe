"""One job with the registry's own methods, as they are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job, parse_job_id

from ..._query.listing import parser_of
from ..._query.membership import Members
from .job_ids import check_id, refuse_ids_as_rq_does
from .presence import NotInRegistryError, check_is_in, is_listed, not_its_id


def remove(registry: Any, members: Members, job_id: str, delete_job: bool = True) -> None:
    """Call the registry's own remove()."""
    check_is_in(registry, members, job_id)
    if delete_job:
        try:
            check_id(registry, Job, job_id)
        except NoSuchJobError:
            # RQ's remove() removes the entry before it raises an error for the id.
            with contextlib.suppress(NoSuchJobError, ValueError):
                registry.remove(job_id, delete_job=True)
            raise
    registry.remove(job_id, delete_job=delete_job)


@refuse_ids_as_rq_does
def requeue(registry: Any, members: Members, at_front: bool, job_id: str) -> None:
    """Call the registry's own requeue()."""
    check_is_in(registry, members, job_id)
    requeue_in_steps(registry.requeue, registry, members, at_front, job_id)


def requeue_in_steps(method: Any, registry: Any, members: Members, at_front: bool, job_id: str) -> None:
    check_id(registry, registry.job_class, job_id)
    try:
        with raising_not_in_registry():
            method(job_id, at_front=at_front)
    except NotInRegistryError:
        if parser_of(registry) is None and parse_job_id(job_id) != job_id and is_listed(members, job_id):
            raise not_its_id(registry, job_id, parse_job_id(job_id)) from None
        raise


@contextlib.contextmanager
def raising_not_in_registry() -> Iterator[None]:
    try:
        yield
    except InvalidJobOperation as error:
        # RQ raises it without a message if the job is not in the registry.
        if error.args:
            raise
        raise NotInRegistryError from None
