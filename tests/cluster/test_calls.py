"""Every call of the package on a cluster gives RQ's answers, leaves RQ's keys, and is fast where it can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from differential.database import differences
from differential.masks import NEAR_SECONDS

from compat.clients.keys import with_near_times

from .calls import BULK, CALLS, NODE, READS, VALKEY, Compared, Place, commands_by_redis_py, compare, jobs_done_by_rq
from .conftest import PREFIXES

if TYPE_CHECKING:
    from private_cluster import PrivateCluster

    from .child import Child

TAGGED = [('hash tag', 'RedisCluster'), ('hash tag', NODE)]
# No node has all keys where they have no hash tag.
BOTH = [*TAGGED, ('no hash tag', 'RedisCluster')]
# valkey-py's cluster client, with both.
OF_VALKEY = [('hash tag', VALKEY), ('no hash tag', VALKEY)]
# RQ has neither, and a script cannot have keys of several nodes.
REFUSED = {('no hash tag', name) for name in CALLS if name.startswith(('repair', 'restore'))}


def place_of(cluster: PrivateCluster, tagging: str) -> Place:
    owner = cluster.owner(PREFIXES[tagging]).address if tagging == 'hash tag' else None
    return Place(tuple(node.address for node in cluster.masters), owner)


@pytest.mark.covering(1)
@pytest.mark.parametrize(('tagging', 'client'), [*BOTH, ('hash tag', 'RedisCluster, RESP3'), *OF_VALKEY])
@pytest.mark.parametrize('name', CALLS)
def test_call_does_what_rq_does(name: str, client: str, cluster: PrivateCluster, tagging: str, child: Child) -> None:
    found: Compared = child.run(compare, name, client, place_of(cluster, tagging))
    if (tagging, name) in REFUSED:
        assert found.ours == ['raised', 'builtins.NotImplementedError']
        return
    if tagging == 'no hash tag' and name in ('cancel_many of waiting jobs', 'cancel_all of waiting jobs'):
        # RQ's cancel() raises there, which ours counts for each job. It has removed the job from the queue before.
        assert (found.theirs, found.ours) == (['raised', 'builtins.AttributeError'], 0)
        return
    assert found.ours == found.theirs
    left_by_ours = with_near_times(found.left_by_rq, found.left_by_ours, NEAR_SECONDS)
    assert differences(found.left_by_rq, left_by_ours) == []


@pytest.mark.parametrize(('tagging', 'client'), BOTH)
@pytest.mark.parametrize('name', ['count', 'contains_many', 'get_job_ids', 'iter_job_ids', 'get_page', 'batch'])
def test_read_uses_no_connection_of_redis_py(
    name: str, client: str, cluster: PrivateCluster, tagging: str, child: Child
) -> None:
    assert name in READS
    assert child.run(commands_by_redis_py, name, client, place_of(cluster, tagging)) == 0


@pytest.mark.parametrize(('tagging', 'client'), [*TAGGED, OF_VALKEY[0]])
@pytest.mark.parametrize('name', BULK)
def test_bulk_call_with_one_slot_uses_scripts_for_all_jobs(
    name: str, client: str, cluster: PrivateCluster, tagging: str, child: Child
) -> None:
    assert child.run(jobs_done_by_rq, name, client, place_of(cluster, tagging)) == 0
