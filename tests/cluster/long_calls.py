"""Calls on many jobs that report their progress: RQ's loops, and ours."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from .calls import NODE, VALKEY, On, by_ours, by_rq, cluster_client, plain, valkey_client
from .state import Masters, fill_failed, whereabouts

Report = Callable[[int], object]
# A node that does not answer is given up after this number of seconds.
SOCKET_TIMEOUT = 2.0
CHUNK = 20


class Caller(NamedTuple):
    """Who makes a call: `rq` or `ours`, on a client of which kind, given which nodes (the first of them for NODE)."""

    side: str
    client: str
    nodes: Masters


class Answer(NamedTuple):
    """What a call returned, or the name of the exception that it raised; how many jobs it says it did, or could not.

    Of the unconfirmed it says that they were gone when their chunk was sent again.
    """

    error: str | None
    text: str
    done: int
    failed: int
    unconfirmed: int
    ids: list[str]
    seconds: float


def fill_cluster(_: object, nodes: Masters, count: int) -> list[str]:
    """Put failed jobs into queue q; return their ids."""
    with cluster_client(nodes) as client:
        return fill_failed(client, count)


def where(_: object, masters: Masters, ids: list[str]) -> dict[str, tuple[Any, ...]]:
    """Return what there is of each job."""
    return whereabouts(masters, ids)


def _loop(on: On, report: Report, change: Callable[[str], object]) -> int:
    done = 0
    for job_id in on.failed.get_job_ids():
        change(job_id)
        done += 1
        report(done)
    return done


def _iterate_by_rq(on: On, report: Report) -> list[str]:
    """RQ has no iterator: a page after the other."""
    ids: list[str] = []
    while page := on.failed.get_job_ids(len(ids), len(ids) + CHUNK - 1):
        ids += page
        report(len(ids))
    return ids


def _iterate(on: On, report: Report) -> list[str]:
    ids = []
    for job_id in on.failed.iter_job_ids(chunk_size=CHUNK):
        ids.append(job_id)
        if len(ids) % CHUNK == 0:
            report(len(ids))
    return ids


def _options(report: Report) -> dict[str, Any]:
    return {'progress': lambda done, total: report(done) is not None or None, 'chunk_size': CHUNK}


CALLS: dict[tuple[str, str], Callable[[On, Report], Any]] = {
    ('purge', 'rq'): lambda on, report: _loop(on, report, lambda i: on.failed.remove(i, delete_job=True)),
    ('purge', 'ours'): lambda on, report: on.failed.purge(**_options(report)),
    ('requeue_all', 'rq'): lambda on, report: _loop(on, report, on.failed.requeue),
    ('requeue_all', 'ours'): lambda on, report: on.failed.requeue_all(**_options(report)),
    ('iterate', 'rq'): _iterate_by_rq,
    ('iterate', 'ours'): _iterate,
}


def client_for(caller: Caller) -> Any:
    """Return a client that has not connected yet, if redis-py lets it."""
    if caller.client == NODE:
        host, port = caller.nodes[0]
        timeouts = {'socket_timeout': SOCKET_TIMEOUT, 'socket_connect_timeout': SOCKET_TIMEOUT}
        return redis.Redis(host, port, retry=Retry(ConstantBackoff(0.1), 3), **timeouts)
    make_client = valkey_client if caller.client == VALKEY else cluster_client
    return make_client(caller.nodes, socket_connect_timeout=SOCKET_TIMEOUT, socket_timeout=SOCKET_TIMEOUT)


def make(report: Report, name: str, caller: Caller, is_first_contact: bool) -> Answer:
    """Make a call; report 0 before it, when the client has its connections, unless this is to be its first contact."""
    begun = time.monotonic()
    value: Any = 0
    error, text = None, ''
    try:
        with client_for(caller) as client:
            on = (by_rq if caller.side == 'rq' else by_ours)(client)
            if not is_first_contact:
                on.failed.get_job_count(cleanup=False)
            report(0)
            begun = time.monotonic()
            value = CALLS[name, caller.side](on, report)
    except Exception as raised:
        error, text = plain(raised), str(raised)
        value = getattr(raised, 'result', 0)
    seconds = time.monotonic() - begun
    if isinstance(value, list):
        return Answer(error, text, len(value), 0, 0, value, seconds)
    if isinstance(value, int):
        return Answer(error, text, value, 0, 0, [], seconds)
    return Answer(error, text, value.done, len(value.failed), value.unconfirmed, [], seconds)
