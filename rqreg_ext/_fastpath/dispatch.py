"""Dispatch between fast path and fallback: the questions of Python code, and examine_methods(), which the core asks.

The fast path sends commands or a script in the place of RQ's methods. The fallback calls these methods. The questions
are asked of classes, instances and clients as they are at the time of the call, so that a patch takes effect at once,
and is without effect once it is removed.

    question              asked by                        fallback if
    examine_methods()     the core, for single calls      a method of the class was overridden or patched
    reaches_rq()          batch, get_page, are_in,        the same, or the instance has an attribute of that name
                          bulk operations
    cleanup_of(),         batch, get_page, snapshot       cleanup(), or a method that it calls, is not RQ's own; or RQ
    cleanup_of_registry()                                 is newer than the table in releases.py
    entries_of()          batch, iterators, bulk          parse_job_id(), or a function that it calls, is not RQ's own
                          operations
    reads_entries()       bulk operations: which jobs     get_job_ids() is not RQ's own; the client changes commands
    can_read_jobs()       bulk operations: script         the client decodes responses, so that RQ fails to load jobs
    loads_plain_jobs()    requeue, cancel: script         the same; the registry's job_class overrides what is used
    BulkDecision          bulk operations: each chunk     methods, entries or client as above; RQ is newer than the
                                                          table; a function that the script replaces is not RQ's own
    fetches_as_rq()       get_jobs                        Job.fetch_many() of the job class is not RQ's own; RQ is
                                                          newer than the table
    restores_as_rq()      get_jobs: each job              Job.restore(), or a function that it calls, is not RQ's own
    has_rq_constructor()  get_jobs: each job              never: any other constructor than RQ's own gets the serializer
    reads_results_as_rq() get_jobs: the latest results    Job.latest_result(), or what it calls, is not RQ's own
    share_keys()          batch, all-queue operations     never: ValueError for the client of another database
    require_unchanged()   check(), repair()               never: NotImplementedError, because RQ has no such method

The core decides the rest by itself: for each single call, on the client and its pool (client_check.c); and whether the
scripts of remove() and requeue() may replace RQ's methods (job_script.c, remove.c, requeue.c). Each script hands back
the jobs that only RQ can judge: CONTRIBUTING.md lists the reasons. clients/support.py describes which commands may be
sent by a client that the core does not support. server_errors.py describes when an error of a script leads to the
fallback.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Any

from .. import _core
from . import cluster, guards, releases
from .clients.configuration import decodes
from .clients.kinds import ClientKind
from .clients.support import client_refused, is_cluster, kind_of, sends_directly, sends_unchanged, share_keys
from .guards import texts_guard
from .job_classes import keeps_behavior
from .releases import CLEANUPS, ENTRIES, METHODS, CleanupKind, EntryKind, Method
from .rq_methods import Found, definitions, find

__all__ = [
    'BulkDecision',
    'can_read_jobs',
    'cleanup_of',
    'cleanup_of_registry',
    'entries_of',
    'examine_methods',
    'fetches_as_rq',
    'has_rq_constructor',
    'is_cluster',
    'loads_plain_jobs',
    'reaches_rq',
    'reads_entries',
    'reads_results_as_rq',
    'require_unchanged',
    'restores_as_rq',
    'share_keys',
]

_QUEUE_METHODS = [qualname.rpartition('.')[2] for module, qualname in METHODS if module == 'rq.queue']
_REGISTRY_METHODS = sorted({qualname.rpartition('.')[2] for module, qualname in METHODS if module != 'rq.queue'})


def examine_methods(owner: type) -> tuple[int, int, int, int, tuple[Any, ...]]:
    """Return (overridden, reaching_rq, cleanup, entries, functions) of a type. state.h describes the first four.

    `functions` has (function, code) for each function that the answer depends on.
    """
    # A class with its own __getattribute__() may return anything: every call is left to RQ's methods.
    if owner.__getattribute__ is not object.__getattribute__:  # type: ignore[comparison-overlap]
        return 0, 0, 0, EntryKind.UNKNOWN, ()
    names = _QUEUE_METHODS if issubclass(owner, _core.Queue) else _REGISTRY_METHODS
    defined = [list(definitions(owner, name)) for name in names]
    cleanup, parse_job_id = find(owner, 'cleanup'), find(owner, 'parse_job_id')
    all_found = [*(found for of_name in defined for _, found in of_name), cleanup, parse_job_id]
    return (
        _methods(found for of_name in defined for is_after_core, found in of_name if is_after_core),
        _methods(of_name[0][1] for of_name in defined if of_name),
        CLEANUPS.get(cleanup.origin, 0),  # type: ignore[arg-type]
        ENTRIES.get(parse_job_id.origin, EntryKind.UNKNOWN),  # type: ignore[arg-type]
        tuple({id(found.function): found[1:] for found in all_found if found.function is not None}.values()),
    )


def _methods(found: Iterable[Found]) -> int:
    return reduce(or_, (METHODS.get(one.origin, 0) for one in found), 0)  # type: ignore[arg-type]


# ---- The methods of a registry


def _is_set_on(registry: Any, *names: str) -> bool:
    """Return whether the instance itself has an attribute of one of these names, which hides the method."""
    return not vars(registry).keys().isdisjoint(names)


def reaches_rq(registry: Any, *methods: Method) -> bool:
    """Return whether a call of each of these methods ends in RQ's own, directly or through ours."""
    _, reaching_rq, _, _ = _core.methods_of(type(registry))
    return not _is_set_on(registry, *map(_name_of, methods)) and all(reaching_rq & method for method in methods)


def cleanup_of(registry_class: type) -> CleanupKind | None:
    """Return what the cleanup() of a class does; None if it was overridden or patched."""
    _, reaching_rq, cleanup, entries = _core.methods_of(registry_class)
    # This cleanup() of RQ calls get_expired_job_ids(), which may be overridden.
    if cleanup == CleanupKind.IF_EXPIRED and not (reaching_rq & Method.GET_EXPIRED_JOB_IDS and entries):
        return None
    return CleanupKind(cleanup) if cleanup else None


def cleanup_of_registry(registry: Any) -> CleanupKind | None:
    """Return what the cleanup() of a registry does; None if it was overridden or patched."""
    if _is_set_on(registry, 'cleanup', 'get_expired_job_ids', 'parse_job_id'):
        return None
    return cleanup_of(type(registry))


def entries_of(registry: Any) -> EntryKind:
    """Return the form of a registry's entries, according to its parse_job_id()."""
    if _is_set_on(registry, 'parse_job_id') or not texts_guard.holds():
        return EntryKind.UNKNOWN
    return EntryKind(_core.methods_of(type(registry))[3])


def _name_of(method: Method) -> str:
    return _NAMES[method]


_NAMES = {method: qualname.rpartition('.')[2] for (_, qualname), method in METHODS.items()}


# ---- The client


def require_unchanged(client: Any, call: str, by_script: bool = False) -> None:
    """Raise NotImplementedError, before anything is changed, if the client may change what it sends.

    by_script: whether the call changes keys by scripts. On a cluster these need all keys in one slot.
    """
    if is_cluster(client) and cluster.is_original_client(client):
        if by_script and not sends_unchanged(client):
            raise NotImplementedError(
                f'{call} changes several keys at a time, which a cluster allows only where they share a slot: give '
                'RQ_KEY_PREFIX (RQ 3) a hash tag, like {rq}, in all programs that use RQ'
            )
    elif not sends_unchanged(client):
        raise client_refused(client, call)


def can_read_jobs(client: Any) -> bool:
    """Return whether RQ can load jobs by this client. With decode_responses=True it fails to decode their data."""
    return not decodes(client)


# ---- Jobs of a job class


def _is_method_of_job(job_class: Any, name: str) -> bool:
    return find(job_class, name).origin == ('rq.job', f'Job.{name}')


def fetches_as_rq(job_class: Any) -> bool:
    """Return whether fetch_many() of a job class is RQ's own."""
    return releases.is_known and _is_method_of_job(job_class, 'fetch_many')


def has_rq_constructor(job_class: Any) -> bool:
    """Return whether the constructor of a job class is RQ's own."""
    return _is_method_of_job(job_class, '__init__')


def restores_as_rq(job_class: Any, client: Any) -> bool:
    """Return whether restore() of a job class, and what it calls to decode and parse, are RQ's own."""
    return (
        can_read_jobs(client)
        and _is_method_of_job(job_class, 'restore')
        and job_class.__getattribute__ is object.__getattribute__
        and guards.restore_guard.holds()
    )


def reads_results_as_rq(job_class: Any) -> bool:
    """Return whether latest_result() of a job class, and what it calls to read the result, are RQ's own."""
    return _is_method_of_job(job_class, 'latest_result') and guards.results_guard.holds()


# ---- Bulk operations


def reads_entries(registry: Any) -> bool:
    """Return whether the jobs of a registry are the entries of its key, so that get_job_ids() need not be called."""
    return reaches_rq(registry, Method.GET_JOB_IDS) and _sends_unchanged(registry)


def loads_plain_jobs(registry: Any, functions: tuple[str, ...]) -> bool:
    """Return whether these functions of RQ do with the registry's jobs what they do with RQ's own Job.

    The functions are those that a script replaces; see job_classes.py.
    """
    return keeps_behavior(registry.job_class, functions) and can_read_jobs(registry.connection)


class BulkDecision:
    """Whether commands or scripts may replace some of RQ's methods in a bulk operation on a registry.

    It is made again before each chunk, because a method may be patched, or the client wrapped, between two chunks.
    """

    def __init__(self, registry: Any, guard: _core.Guard | None, *methods: Method) -> None:
        """`guard` checks the functions of RQ that a script reimplements; None if only entries are removed."""
        self._registry = registry
        self._guard = guard
        self._methods = reduce(or_, methods, 0)
        # What hides a method, or the entries, if the registry itself has it.
        self._names = frozenset([*map(_name_of, methods), *(['parse_job_id'] if guard is not None else [])])
        self._unchanged_kind: Any = None

    def holds(self) -> bool:
        """Return whether they may.

        One round trip, once, if the client is wrapped: what it returns is compared with the reply.
        """
        registry = self._registry
        # As reaches_rq() and entries_of(), in half of the time: it is asked each two milliseconds.
        _, reaching_rq, _, entries = _core.methods_of(type(registry))
        return (
            reaching_rq & self._methods == self._methods
            and self._names.isdisjoint(vars(registry))
            and (self._guard is None or (entries == EntryKind.JOBS and self._has_known_jobs(self._guard)))
            and self._client_sends_unchanged()
        )

    def forget_client(self) -> None:
        """Have the client tried again, because it did not send what it was given."""
        self._unchanged_kind = None

    def _has_known_jobs(self, guard: _core.Guard) -> bool:
        registry = self._registry
        return (
            releases.is_known
            and guard.holds()
            and texts_guard.holds()
            and type(registry.key) is str
            and type(registry.name) is str
        )

    def _client_sends_unchanged(self) -> bool:
        client = self._registry.connection
        if sends_directly(client):
            return True
        kind = kind_of(client)
        # A wrapped client need not be tried again: its kind is another object after a patch, and clients/wrapped.py
        # compares each command before it is sent.
        if kind is None or kind is not self._unchanged_kind or not isinstance(kind, ClientKind):
            is_unchanged = _sends_unchanged(self._registry)
            self._unchanged_kind = kind if is_unchanged else None
            return is_unchanged
        return True


def _sends_unchanged(registry: Any) -> bool:
    return sends_unchanged(registry.connection, registry.key)
