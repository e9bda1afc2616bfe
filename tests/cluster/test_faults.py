"""Calls on a cluster whose layout changes and whose nodes fail: nothing is lost, nothing twice, no job half done.

A call ends right or raises redis-py's exception, in bounded time, and the same call again does the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import pytest
from depth import IS_DEEP
from redis._parsers.base import BaseParser

from .calls import NODE, VALKEY
from .conftest import PREFIXES
from .disturbing import FAULTS, LOSING, UNTOUCHED, Fates, disturbed, fates, slot_has_migrated
from .long_calls import Answer, Caller, fill_cluster, make, where

if TYPE_CHECKING:
    from private_cluster import Node, PrivateCluster

    from .child import Child

CALLS = ('purge', 'requeue_all', 'iterate')
JOBS = 300
# The fault comes when this number of jobs are processed.
AT = 100
# What is not left to the deep profile.
SELECTED = {
    'purge': tuple(FAULTS),
    'requeue_all': ('a slot migrates', 'the master is killed'),
    'iterate': ('a slot migrates, the registry first', 'the master is killed'),
}
OF_VALKEY = {'purge': ('a slot migrates', 'CLUSTER FAILOVER', 'the master is killed')}


class Trial:
    """Failed jobs in a cluster, and calls on them."""

    def __init__(self, cluster: PrivateCluster, child: Child, tagging: str) -> None:
        self.cluster = cluster
        self.child = child
        self.key = f'{PREFIXES[tagging]}:failed:q'
        self.ids: list[str] = child.run(fill_cluster, self.masters, JOBS)

    @property
    def masters(self) -> list[tuple[str, int]]:
        return [node.address for node in self.cluster.masters]

    @property
    def owner(self) -> Node:
        return self.cluster.owner(self.key)

    def caller(self, side: str, client: str) -> Caller:
        return Caller(side, client, [self.owner.address] if client == NODE else self.masters)

    def under(self, fault: str, call: str, side: str, client: str) -> Answer:
        """Make a call while a fault strikes."""
        caller = self.caller(side, client)
        ended = disturbed(
            lambda reached: self.child.run(make, call, caller, False, reached=reached),
            FAULTS[fault](self.cluster, self.key),
            AT,
        )
        self.cluster.wait_until_agreed()
        return ended.value  # type: ignore[no-any-return]

    def make(self, call: str, caller: Caller, is_first_contact: bool = False) -> Answer:
        """Make a call while nothing happens."""
        return self.child.run(make, call, caller, is_first_contact)  # type: ignore[no-any-return]

    def fates(self, call: str) -> Fates:
        return fates(call, self.child.run(where, self.masters, self.ids))

    def assert_right(self, call: str, answer: Answer, may_have_lost: bool) -> None:
        """Check what a call of ours answered and left."""
        left = self.fates(call)
        assert left.half_done == {}
        assert answer.error is None or answer.error.startswith(('redis.', 'valkey.')), answer
        if call == 'iterate':
            assert answer.error is not None or answer.ids == self.ids
            return
        # No job is to blame for it.
        assert answer.failed == 0
        # A master that hung has run what the client, which waited in vain, then sends again.
        assert answer.unconfirmed == 0 or may_have_lost
        processed = answer.done + answer.unconfirmed
        # How many it says are those that there are, unless a master has acknowledged what its replica never got.
        assert left.done <= processed if may_have_lost else left.done == processed
        assert answer.error is not None or processed == JOBS
        again = self.make(call, self.caller('ours', 'RedisCluster'))
        assert (again.error, again.done) == (None, left.untouched)
        assert self.fates(call) == Fates(JOBS, 0, {})


@pytest.fixture
def trial(changing_cluster: PrivateCluster, child: Child, tagging: str) -> Trial:
    return Trial(changing_cluster, child, tagging)


class Case(NamedTuple):
    tagging: str
    client: str
    call: str
    fault: str


# Before 6.0 a plain client raises ResponseError for a redirect, as for anything else.
IS_OLD_REDIS_PY = not hasattr(BaseParser, 'EXCEPTION_CLASSES') or 'MOVED' not in BaseParser.EXCEPTION_CLASSES


def _cases() -> Iterator[object]:
    for client in ('RedisCluster', NODE, VALKEY):
        for call in CALLS:
            for fault in FAULTS:
                if IS_DEEP or fault in (SELECTED[call] if client != VALKEY else OF_VALKEY.get(call, ())):
                    yield 'hash tag', client, call, fault


@pytest.mark.parametrize(('tagging', 'client', 'call', 'fault'), list(_cases()))
def test_call_leaves_no_job_half_changed(call: str, fault: str, client: str, trial: Trial) -> None:
    answer = trial.under(fault, call, 'ours', client)
    trial.assert_right(call, answer, may_have_lost=fault in LOSING)


# What RQ itself does is the bar.
@pytest.mark.parametrize('tagging', ['hash tag', 'no hash tag'] if IS_DEEP else ['hash tag'])
@pytest.mark.parametrize('fault', FAULTS if IS_DEEP else ['a slot migrates', 'the master is killed'])
def test_rq_leaves_at_most_one_job_half_changed(fault: str, tagging: str, trial: Trial) -> None:
    answer = trial.under(fault, 'purge', 'rq', 'RedisCluster')
    left = trial.fates('purge')
    assert len(left.half_done) <= 1
    assert left.done >= AT
    assert (answer.error is None) == (left.done == JOBS)


@pytest.mark.parametrize('tagging', ['hash tag'])
@pytest.mark.parametrize('call', CALLS)
@pytest.mark.parametrize('client', ['RedisCluster', VALKEY, NODE])
def test_client_with_stale_slots_is_redirected_or_raises(call: str, client: str, trial: Trial) -> None:
    caller = trial.caller('ours', client)
    fault = slot_has_migrated(trial.cluster, trial.key)
    answer = disturbed(lambda reached: trial.child.run(make, call, caller, False, reached=reached), fault, 0).value
    if client == NODE:
        # It follows no redirects; the program must.
        assert answer.error == ('redis.exceptions.ResponseError' if IS_OLD_REDIS_PY else 'redis.exceptions.MovedError')
        assert answer.done == 0
        assert trial.fates(call).untouched == JOBS
    else:
        assert answer.error is None
    trial.assert_right(call, answer, may_have_lost=False)


@pytest.mark.parametrize('tagging', ['hash tag', 'no hash tag'])
def test_call_ends_well_if_first_node_is_down(trial: Trial) -> None:
    caller = trial.caller('ours', 'RedisCluster')
    lost = trial.owner
    lost.ask('WAIT', 1, 1000)
    trial.cluster.kill(lost)
    trial.cluster.wait_for_promotion(lost)
    others = [address for address in caller.nodes if address != lost.address]
    answer = trial.make('purge', caller._replace(nodes=[lost.address, *others]), is_first_contact=True)
    assert (answer.error, answer.done) == (None, JOBS)
    assert trial.fates('purge') == Fates(JOBS, 0, {})


@pytest.mark.parametrize('tagging', ['hash tag'])
@pytest.mark.parametrize('call', CALLS)
@pytest.mark.parametrize('client', ['RedisCluster', NODE])
def test_first_node_down_raises_in_bounded_time(call: str, client: str, trial: Trial) -> None:
    caller = trial.caller('ours', client)
    lost = trial.owner
    lost.ask('WAIT', 1, 1000)
    trial.cluster.kill(lost)
    answer = trial.make(call, caller, is_first_contact=True)
    assert (answer.error, answer.done) == ('redis.exceptions.ConnectionError', 0)
    trial.cluster.wait_for_promotion(lost)
    assert trial.fates(call).untouched == JOBS
    assert set(trial.child.run(where, trial.masters, trial.ids).values()) == {UNTOUCHED}
