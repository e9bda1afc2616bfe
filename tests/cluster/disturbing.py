"""Calls that run while the cluster's layout changes or its nodes fail, and the states of the jobs after them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from private_cluster import slot_of

if TYPE_CHECKING:
    from private_cluster import Node, PrivateCluster

# Calls that end right, or raise, do so in this time (seconds): redis-py's own waits are the longest part of it.
BOUND = 30.0
# A fault goes on when the call has met its first state, or hangs in it for so long.
PAUSE = 1.0
# For how long each further state of a migration lasts.
STEP = 0.2

# A function that is called with the number of processed jobs, and may pause the call.
Reached = Callable[[int], object]
# A change of the layout, or a failure, on the node that has a key. Up to its `yield` the call is held where it is; the
# rest is done while the call runs.
Fault = Callable[['PrivateCluster', str], Iterator[None]]


class Ended(NamedTuple):
    """How a call ended."""

    value: Any
    seconds: float


def disturbed(call: Callable[[Reached], Any], fault: Iterator[None], at: int) -> Ended:
    """Make the call in a thread, cause the fault when `at` jobs are processed, and return the outcome of the call.

    Fails if it does not end in BOUND seconds, or ends before the fault.
    """
    there, go_on, has_met = threading.Event(), threading.Event(), threading.Event()
    ended: list[Ended] = []
    errors: list[BaseException] = []

    def reached(count: int) -> None:
        if there.is_set():
            has_met.set()
        elif count >= at:
            there.set()
            go_on.wait(BOUND)

    def run() -> None:
        begun = time.monotonic()
        try:
            ended.append(Ended(call(reached), time.monotonic() - begun))
        except BaseException as error:
            errors.append(error)
        there.set()
        has_met.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert there.wait(BOUND), f'the call has not processed {at} jobs'
    assert not ended, f'the call has ended before it came to {at} jobs: {ended}'
    try:
        next(fault, None)
    finally:
        go_on.set()
    has_met.wait(PAUSE)
    begun = time.monotonic()
    for _ in fault:
        raise AssertionError('a fault has one yield')
    thread.join(max(0.0, begun + BOUND - time.monotonic()))
    assert not thread.is_alive(), f'the call has not ended after {BOUND:.0f} s'
    if errors:
        raise errors[0]
    return ended[0]


# ---- What strikes


def _another_master(cluster: PrivateCluster, node: Node) -> Node:
    return next(master for master in cluster.masters if master is not node)


def _is_of_even_job(key: str) -> bool:
    return ':job:' in key and key[-1] in '02468'


def _is_no_job(key: str) -> bool:
    return ':job:' not in key


def _migrate_in_steps(
    cluster: PrivateCluster, slots: list[int], target: Node, steps: tuple[Callable[[str], bool], ...]
) -> Iterator[None]:
    """Move the keys that each step chooses, then the rest; the call meets the first state surely."""
    migration = cluster.migration(slots, target).begin()
    first, *others = steps
    migration.move(choose=first)
    yield
    for choose in others:
        migration.move(choose=choose)
        time.sleep(STEP)
    migration.finish()


def one_slot_migrates(cluster: PrivateCluster, key: str) -> Iterator[None]:
    """The key's slot goes to another master, some of the jobs first."""
    target = _another_master(cluster, cluster.owner(key))
    yield from _migrate_in_steps(cluster, [slot_of(key)], target, (_is_of_even_job, _is_no_job))


def one_slot_migrates_registry_first(cluster: PrivateCluster, key: str) -> Iterator[None]:
    """The same, the registry and the queue first."""
    target = _another_master(cluster, cluster.owner(key))
    yield from _migrate_in_steps(cluster, [slot_of(key)], target, (_is_no_job, _is_of_even_job))


def many_slots_migrate(cluster: PrivateCluster, key: str) -> Iterator[None]:
    """Three hundred slots go to another master, the key's among them."""
    owner = cluster.owner(key)
    others = sorted(owner.seen()[owner.id].slots - {slot_of(key)})
    slots = [slot_of(key), *others[:299]]
    yield from _migrate_in_steps(cluster, slots, _another_master(cluster, owner), (_is_of_even_job, _is_no_job))


def slot_has_migrated(cluster: PrivateCluster, key: str) -> Iterator[None]:
    """The key's slot has gone to another master at once: the client's table is stale."""
    cluster.migrate([slot_of(key)], _another_master(cluster, cluster.owner(key)))
    yield


def replica_takes_over(cluster: PrivateCluster, key: str) -> Iterator[None]:
    """CLUSTER FAILOVER: the master and its replica change places, without loss."""
    (replica,) = cluster.replicas_of(cluster.owner(key))
    cluster.begin_failover(replica)
    yield
    cluster.wait_for_master([replica])


def master_is_killed(cluster: PrivateCluster, key: str) -> Iterator[None]:
    """SIGKILL: its replica, which has all that was done so far, takes its place."""
    owner = cluster.owner(key)
    owner.ask('WAIT', 1, 1000)
    cluster.kill(owner)
    yield
    cluster.wait_for_promotion(owner)


def master_hangs(cluster: PrivateCluster, key: str) -> Iterator[None]:
    """SIGSTOP: its replica takes its place, and it comes back as that one's replica."""
    owner = cluster.owner(key)
    owner.ask('WAIT', 1, 1000)
    owner.pause()
    yield
    cluster.wait_for_promotion(owner)
    cluster.restart(owner)


def node_joins(cluster: PrivateCluster, key: str) -> Iterator[None]:
    """A master joins, of which the client has not heard, and gets the key's slot, the registry first."""
    yield from _migrate_in_steps(cluster, [slot_of(key)], cluster.add(), (_is_no_job, _is_of_even_job))


FAULTS: dict[str, Fault] = {
    'a slot migrates': one_slot_migrates,
    'a slot migrates, the registry first': one_slot_migrates_registry_first,
    '300 slots migrate': many_slots_migrate,
    'a node joins': node_joins,
    'CLUSTER FAILOVER': replica_takes_over,
    'the master is killed': master_is_killed,
    'the master hangs': master_hangs,
}
# After these, what a master acknowledged may be lost: its replica had not got it yet.
LOSING = ('the master is killed', 'the master hangs')

# ---- What became of the jobs

# (status, how often in the failed registry, how often in the queue) of each job, before and after a call.
UNTOUCHED = ('failed', 1, 0)
AFTER = {'purge': (None, 0, 0), 'requeue_all': ('queued', 0, 1), 'iterate': UNTOUCHED}


class Fates(NamedTuple):
    """The states of the jobs after a call."""

    done: int
    untouched: int
    half_done: dict[str, tuple[Any, ...]]


def fates(call: str, found: dict[str, tuple[Any, ...]]) -> Fates:
    """Return the states of jobs that were all UNTOUCHED before a call."""
    counts = Counter(found.values())
    half_done = {job_id: where for job_id, where in found.items() if where not in (UNTOUCHED, AFTER[call])}
    return Fates(counts[AFTER[call]], counts[UNTOUCHED], half_done)
