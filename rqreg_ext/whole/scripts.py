"""Which script stands for a loop of RQ's calls, and the one place that decides whether it may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .. import _core, _installed_rq

# How many entries of a queue a script may go through for each job: about what the rest of the job costs.
SHORT_QUEUE = 128


class Script(NamedTuple):
    """A script of src/ over many_jobs.inc.lua."""

    name: str
    # What it is given beside what all of them are, made for each chunk.
    make_arguments: Callable[[], tuple[Any, ...]]
    # Whether it takes jobs out of their queues.
    empties_queues: bool

    def arguments(
        self, registry: Any, microseconds: int, dry_run: bool, known_queue: str = ''
    ) -> tuple[str | bytes | int | float, ...]:
        """Return all that it is given before the ids."""
        return (
            microseconds,
            'dry' if dry_run else '',
            registry.name,
            known_queue,
            SHORT_QUEUE,
            *_installed_rq.many_jobs_arguments,
            *self.make_arguments(),
        )


def knows_what_rq_does(registry: Any, guards: Any, method: str | None) -> bool:
    """Tell whether RQ does with this registry's jobs what we know of it.

    It is a release that we know, nobody replaced what `guards` names, the registry's method is ours and with it RQ's,
    and its entries are job ids, all on one server.
    """
    return (
        _installed_rq.is_known
        and all(vars(owner).get(name) is value for owner, name, value in guards)
        and (method is None or is_ours(registry, method))
        and registry.parse_job_id is _installed_rq.parse_job_id
        and type(registry.key) is str
        and type(registry.name) is str
        and not _is_cluster(registry.connection)
    )


def reads_jobs(connection: Any) -> bool:
    """Tell whether RQ can read jobs by this client: not by one that decodes responses, which their data is none for."""
    return not connection.get_encoder().decode_responses


def is_ours(registry: Any, method: str) -> bool:
    """Tell whether a method of the registry is that of our head: nobody's subclass or patch has its own."""
    own = getattr(_core.BaseRegistry, method).__get__(registry)
    return bool(getattr(registry, method) == own)


def _is_cluster(connection: Any) -> bool:
    """Tell whether the client keeps keys on several servers, where RQ's keys are none of ours to name in a script."""
    return hasattr(connection, 'get_node_from_key')


DELETE = Script('delete_many', lambda: _installed_rq.delete_many_arguments, empties_queues=True)
