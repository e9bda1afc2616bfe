"""The cluster that the tests run on changes as real ones do, and ends with the process that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from host.patience import eventually
from private_cluster import Node, PrivateCluster, parse_nodes, slot_of
from project.test_private_redis import is_running

TOOLS = Path(__file__).resolve().parent.parent.parent / 'tools'
KEY = '{rq}:some'


@pytest.fixture
def client(changing_cluster: PrivateCluster) -> Iterator[redis.RedisCluster]:
    """A client that knows where the keys are now, with a hundred of them in one slot."""
    with changing_cluster.client() as client:
        for number in range(100):
            client.set(f'{KEY}:{number}', number)
        yield client


def values(client: redis.RedisCluster) -> list[int]:
    return [int(client.get(f'{KEY}:{number}')) for number in range(100)]


def another_master(cluster: PrivateCluster, node: Node) -> Node:
    return next(master for master in cluster.masters if master is not node)


def plainly(node: Node, key: str = f'{KEY}:0') -> object:
    """Return what a node answers about a key to a client that follows no redirects: its value, or the error's code."""
    try:
        return node.ask('GET', key)
    except redis.ResponseError as error:
        # redis-py 5 knows these errors in a cluster's client only.
        codes = {'AskError': 'ASK', 'MovedError': 'MOVED', 'ClusterDownError': 'CLUSTERDOWN'}
        return codes.get(type(error).__name__) or str(error).partition(' ')[0]


@pytest.mark.parametrize('key', ['{rq}:x', 'rq', 'rq:failed:q', '{}', 'a{b}{c}', 'a{', 'é', b'\xff{x}'])
def test_slot_equals_the_servers(cluster: PrivateCluster, key: str | bytes) -> None:
    assert slot_of(key) == cluster.nodes[0].ask('CLUSTER', 'KEYSLOT', key)


def test_every_master_has_a_third_of_the_slots_and_a_replica(cluster: PrivateCluster) -> None:
    slots = [len(node.seen()[node.id].slots) for node in cluster.masters]
    assert sum(slots) == 16384
    assert max(slots) - min(slots) <= 1
    assert [len(cluster.replicas_of(node)) for node in cluster.masters] == [1, 1, 1]


def test_slot_migrates_step_by_step(changing_cluster: PrivateCluster, client: redis.RedisCluster) -> None:
    source = changing_cluster.owner(KEY)
    target = another_master(changing_cluster, source)
    migration = changing_cluster.migration([slot_of(KEY)], target).begin()
    assert migration.move(40) == 40
    assert len(migration.keys()[source]) == 60
    answers = [plainly(source, f'{KEY}:{number}') for number in range(100)]
    assert answers.count('ASK') == 40
    assert plainly(target) == 'MOVED'
    assert values(client) == list(range(100))
    migration.finish()
    assert changing_cluster.owner(KEY) is target
    assert plainly(source) == 'MOVED'
    assert plainly(target) == '0'
    assert values(client) == list(range(100))


def test_migration_can_be_canceled(changing_cluster: PrivateCluster, client: redis.RedisCluster) -> None:
    source = changing_cluster.owner(KEY)
    migration = changing_cluster.migration([slot_of(KEY)], another_master(changing_cluster, source)).begin()
    migration.move(40)
    migration.cancel()
    assert changing_cluster.owner(KEY) is source
    assert len(changing_cluster.keys()[source]) == 100
    assert not source.seen()[source.id].migrating


def test_replica_takes_over_on_request(changing_cluster: PrivateCluster, client: redis.RedisCluster) -> None:
    for takeover in (False, True):
        master = changing_cluster.owner(KEY)
        (replica,) = changing_cluster.replicas_of(master)
        changing_cluster.failover(replica, takeover=takeover)
        assert changing_cluster.owner(KEY) is replica
        assert changing_cluster.replicas_of(replica) == [master]
        assert values(client) == list(range(100))


@pytest.mark.parametrize('how', ['kill', 'pause'])
def test_replica_replaces_lost_master(how: str, changing_cluster: PrivateCluster, client: redis.RedisCluster) -> None:
    master = changing_cluster.owner(KEY)
    assert eventually(lambda: all(node.ask('DBSIZE') == 100 for node in changing_cluster.replicas_of(master)))
    getattr(master, how)()
    promoted = changing_cluster.wait_for_promotion(master)
    assert changing_cluster.owner(KEY) is promoted
    with changing_cluster.client() as follower:
        assert values(follower) == list(range(100))
    changing_cluster.restart(master)
    assert changing_cluster.replicas_of(promoted) == [master]


def test_node_joins_and_leaves(changing_cluster: PrivateCluster, client: redis.RedisCluster) -> None:
    added = changing_cluster.add()
    assert added in changing_cluster.masters
    changing_cluster.migrate([slot_of(KEY)], added)
    assert plainly(added) == '0'
    assert values(client) == list(range(100))
    changing_cluster.restore()
    assert added not in changing_cluster.nodes
    assert len(parse_nodes(changing_cluster.nodes[0].ask('CLUSTER', 'NODES'))) == 6


def test_restore_restores_all_nodes(changing_cluster: PrivateCluster, client: redis.RedisCluster) -> None:
    before = shards_of_slots(changing_cluster)
    source = changing_cluster.owner(KEY)
    target = another_master(changing_cluster, source)
    changing_cluster.migrate(range(8000, 8020), another_master(changing_cluster, changing_cluster.slot_owners()[8000]))
    changing_cluster.migration([slot_of(KEY)], target).begin().move(10)
    changing_cluster.kill(changing_cluster.replicas_of(source)[0])
    target.pause()
    changing_cluster.restore()
    assert shards_of_slots(changing_cluster) == before
    assert len(changing_cluster.live_nodes) == 6
    assert not any(changing_cluster.keys().values())


def shards_of_slots(cluster: PrivateCluster) -> dict[int, int]:
    shards = {node: number for number, shard in enumerate(cluster.shards) for node in shard}
    return {slot: shards[node] for slot, node in cluster.slot_owners().items()}


def test_cluster_without_full_coverage_serves_its_slots() -> None:
    with PrivateCluster(masters=1, replicas=0, full_coverage=False) as cluster:
        (node,) = cluster.nodes
        node.ask('CLUSTER', 'DELSLOTS', slot_of('gone'))
        assert plainly(node, 'there') is None
        assert plainly(node, 'gone') == 'CLUSTERDOWN'


OWNER = """\
import sys
sys.path.insert(0, sys.argv[1])
from private_cluster import PrivateCluster
with PrivateCluster(masters=2, replicas=0) as cluster:
    print(*(node.pid for node in cluster.nodes), *(node.folder for node in cluster.nodes), flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGINT])
def test_cluster_ends_with_its_owner(number: signal.Signals) -> None:
    command = [sys.executable, '-c', OWNER, str(TOOLS)]
    nothing = subprocess.DEVNULL
    owner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=nothing, text=True)
    assert owner.stdout is not None
    first, second, *folders = owner.stdout.readline().split()
    pids = [int(first), int(second)]
    assert all(map(is_running, pids))
    os.kill(owner.pid, number)
    owner.communicate()
    assert eventually(lambda: not any(map(is_running, pids)))
    assert eventually(lambda: not any(map(os.path.exists, folders)))
