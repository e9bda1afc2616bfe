"""Every call of the package on a cluster gives RQ's answers, leaves RQ's keys, and is fast where it can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from differential.database import differences

from .calls import BULK, CALLS, NODE, READS, Compared, Place, commands_by_redis_py, compare, jobs_done_by_rq
from .conftest import PREFIXES

if TYPE_CHECKING:
    from private_cluster import PrivateCluster

    from .child import Child

TAGGED = [('hash tag', 'RedisCluster'), ('hash tag', NODE)]
# No node has all keys where they have no hash tag.
BOTH = [*TAGGED, ('no hash tag', 'RedisCluster')]
# What does not hold yet on a cluster's client, by the hash tag and the call.
READS_DICTS = 'the replies of a RedisCluster are what redis-py makes of them (a dict of INFO), not what came'
NO_CANCEL = "RQ's job.cancel() needs a pipeline that a RedisCluster has not, and no script does it instead"
FAILING = {
    **{(tagging, name): READS_DICTS for tagging in PREFIXES for name in CALLS if name.startswith(('check', 'repair'))},
    ('hash tag', 'cancel_many'): NO_CANCEL,
}
BY_REDIS_PY = 'a RedisCluster is not taken over: its own connections are used'
BY_RQ = 'on a RedisCluster RQ does each job by itself, though all its keys are in one slot'


def place_of(cluster: PrivateCluster, tagging: str) -> Place:
    owner = cluster.owner(PREFIXES[tagging]).address if tagging == 'hash tag' else None
    return Place(tuple(node.address for node in cluster.masters), owner)


def expect_failure(request: pytest.FixtureRequest, client: str, reason: str | None) -> None:
    """Expect that it fails on a cluster's client."""
    if client != NODE and reason is not None:
        request.node.add_marker(pytest.mark.xfail(reason=reason, strict=True, raises=AssertionError))


@pytest.mark.parametrize(('tagging', 'client'), [*BOTH, ('hash tag', 'RedisCluster, RESP3')])
@pytest.mark.parametrize('name', CALLS)
def test_call_answers_and_leaves_what_rq_does(
    name: str, client: str, cluster: PrivateCluster, tagging: str, child: Child, request: pytest.FixtureRequest
) -> None:
    expect_failure(request, client, FAILING.get((tagging, name)))
    found: Compared = child.run(compare, name, client, place_of(cluster, tagging))
    assert found.ours == found.theirs
    assert differences(found.left_by_rq, found.left_by_ours) == []


@pytest.mark.parametrize(('tagging', 'client'), BOTH)
@pytest.mark.parametrize('name', ['count', 'contains_many', 'get_job_ids', 'iter_job_ids', 'get_page', 'batch'])
def test_read_uses_no_connection_of_redis_py(
    name: str, client: str, cluster: PrivateCluster, tagging: str, child: Child, request: pytest.FixtureRequest
) -> None:
    assert name in READS
    expect_failure(request, client, BY_REDIS_PY)
    assert child.run(commands_by_redis_py, name, client, place_of(cluster, tagging)) == 0


@pytest.mark.parametrize(('tagging', 'client'), TAGGED)
@pytest.mark.parametrize('name', BULK)
def test_bulk_call_leaves_no_job_to_rq_where_all_keys_share_a_slot(
    name: str, client: str, cluster: PrivateCluster, tagging: str, child: Child, request: pytest.FixtureRequest
) -> None:
    expect_failure(request, client, BY_RQ)
    assert child.run(jobs_done_by_rq, name, client, place_of(cluster, tagging)) == 0
