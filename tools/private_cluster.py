"""A private Redis Cluster for the tests and the benchmarks: servers of our own on the loopback interface.

Its layout is changed step by step, as operators and failures change it: slots migrate, replicas take over, nodes die,
hang, come back and join.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from types import TracebackType
from typing import Any

from private_redis import PrivateRedis

SLOTS = 16384
# The second port of a node, by which the nodes talk to each other, lies so far above the first.
BUS_DISTANCE = 10_000
# Both ports lie below those that systems give to outgoing connections, so that a node that was killed finds them free.
PORTS = range(11_000, 22_000)
# In milliseconds: on a busy machine no node must look lost by mistake...
NODE_TIMEOUT = 15_000
# ...but news spreads in half of this, so it is short while the cluster is waited for.
SHORT_NODE_TIMEOUT = 400
WAIT_SECONDS = 30.0


def slot_of(key: str | bytes) -> int:
    """Return the hash slot of a key: CRC16 (XMODEM) of its hash tag, or of all of it."""
    octets = key.encode() if isinstance(key, str) else key
    _, brace, rest = octets.partition(b'{')
    tag, end, _ = rest.partition(b'}')
    if brace and end and tag:
        octets = tag
    crc = 0
    for octet in octets:
        crc ^= octet << 8
        for _ in range(8):
            crc = (crc << 1 ^ (0x1021 if crc & 0x8000 else 0)) & 0xFFFF
    return crc % SLOTS


@dataclass(frozen=True)
class Seen:
    """What one node says of a node (itself included): a line of CLUSTER NODES."""

    id: str
    port: int
    flags: frozenset[str]
    master_id: str | None
    epoch: int
    """Its configuration's; of two masters that claim a slot, the one with the greater has it."""
    is_connected: bool
    slots: frozenset[int]
    migrating: Mapping[int, str]
    """Of itself only: the slots that are on their way out, and to which node's id."""
    importing: Mapping[int, str]

    @property
    def is_master(self) -> bool:
        """Whether it is a master."""
        return 'master' in self.flags

    @property
    def is_lost(self) -> bool:
        """Whether it is taken for lost, or is not known well yet."""
        return not self.flags.isdisjoint({'fail', 'fail?', 'handshake', 'noaddr'})


def parse_nodes(text: str) -> dict[str, Seen]:
    """Return what CLUSTER NODES says, by the id of the node."""
    return {seen.id: seen for seen in map(_parse_node, text.splitlines())}


def _parse_node(line: str) -> Seen:
    node_id, address, flags, master_id, _, _, epoch, link, *held = line.split()
    slots: set[int] = set()
    migrating, importing = {}, {}
    for word in held:
        if word.startswith('['):
            if '->-' in word:
                slot, _, other = word[1:-1].partition('->-')
                migrating[int(slot)] = other
            else:
                slot, _, other = word[1:-1].partition('-<-')
                importing[int(slot)] = other
        else:
            first, _, last = word.partition('-')
            slots.update(range(int(first), int(last or first) + 1))
    port = int(address.partition('@')[0].rpartition(':')[2])
    named = frozenset(flags.split(','))
    master = None if master_id == '-' else master_id
    return Seen(node_id, port, named, master, int(epoch), link == 'connected', frozenset(slots), migrating, importing)


class Node(PrivateRedis):
    """One server of a cluster."""

    def __init__(self, **options: object) -> None:
        super().__init__(cluster_enabled='yes', cluster_config_file='nodes.conf', **options)
        self.id = ''
        self.is_paused = False
        self._asking: Any = None

    def __repr__(self) -> str:
        return f'<{type(self).__name__} {self.id[:8]} on port {self.port}>'

    @property
    def is_alive(self) -> bool:
        """Whether it runs, and was not paused."""
        return self.process is not None and not self.is_paused

    @property
    def address(self) -> tuple[str, int]:
        """Its host and port."""
        return '127.0.0.1', self.port

    def start(self) -> Node:
        """Start it, with the id and the layout that it had if it ran before."""
        super().start()
        if not self.id:
            self.id = self.ask('CLUSTER', 'MYID')
        return self

    def ask(self, *words: object) -> Any:
        """Return its answer to one command, as text. Raises redis.exceptions.RedisError."""
        return self._client().execute_command(*words)

    def ask_all(self, commands: Iterable[tuple[object, ...]]) -> list[Any]:
        """Return its answers to commands that are sent as one write. Raises the first error."""
        pipeline = self._client().pipeline(transaction=False)
        for words in commands:
            pipeline.execute_command(*words)
        answers: list[Any] = pipeline.execute()
        return answers

    def seen(self) -> dict[str, Seen]:
        """Return all nodes by id, as this one sees them."""
        return parse_nodes(self.ask('CLUSTER', 'NODES'))

    def pause(self) -> None:
        """Have it hang (SIGSTOP): its connections stay, and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)
        self.is_paused = True

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        if self.is_paused:
            os.kill(self.pid, signal.SIGCONT)
            self.is_paused = False

    def kill(self) -> None:
        """End it at once, as a crash would (SIGKILL)."""
        self._forget_client()
        super().kill()
        self.is_paused = False

    def stop(self) -> None:
        """End it and remove its folder; there is nothing to save."""
        self.kill()
        super().stop()

    def _client(self) -> Any:
        if self._asking is None:
            self._asking = self.client(decode_responses=True, socket_timeout=10)
        return self._asking

    def _forget_client(self) -> None:
        if self._asking is not None:
            with contextlib.suppress(Exception):
                self._asking.close()
            self._asking = None

    def _choose_port(self) -> int:
        while True:
            port = random.choice(PORTS)
            if _is_free(port) and _is_free(port + BUS_DISTANCE):
                return port


class Migration:
    """Slots on their way to another master, in the steps in which `redis-cli --cluster reshard` does it.

    As long as it is begun and not finished, the old owner answers ASK for keys that it does not have (any more), and
    TRYAGAIN where it has some of a command's keys.
    """

    def __init__(self, cluster: PrivateCluster, slots: Iterable[int], target: Node) -> None:
        self.cluster = cluster
        self.target = target
        owners = cluster.slot_owners()
        self.sources: dict[Node, list[int]] = {}
        for slot in slots:
            if owners[slot] is not target:
                self.sources.setdefault(owners[slot], []).append(slot)

    def begin(self) -> Migration:
        """Mark the slots as migrating at their owners, and as importing at the target."""
        for source, slots in self.sources.items():
            self.target.ask_all(('CLUSTER', 'SETSLOT', slot, 'IMPORTING', source.id) for slot in slots)
            source.ask_all(('CLUSTER', 'SETSLOT', slot, 'MIGRATING', self.target.id) for slot in slots)
        return self

    def keys(self) -> dict[Node, list[str]]:
        """Return the keys that have not moved, by the node that has them."""
        return {
            source: list(
                chain.from_iterable(source.ask_all(('CLUSTER', 'GETKEYSINSLOT', slot, 1_000_000) for slot in slots))
            )
            for source, slots in self.sources.items()
        }

    def move(self, count: int | None = None, choose: Callable[[str], bool] = lambda key: True) -> int:
        """Move up to this number of the chosen keys, or all; return how many were moved."""
        moved = 0
        for source, keys in self.keys().items():
            chosen = [key for key in keys if choose(key)]
            for key in chosen if count is None else chosen[: count - moved]:
                # One by one, as a real one of many keys is not atomic either. A key may be gone in the meantime.
                moved += source.ask('MIGRATE', *self.target.address, key, 0, 10_000) == 'OK'
        return moved

    def finish(self) -> None:
        """Move what is left, and give the slots to the target."""
        self.move()
        for source, slots in self.sources.items():
            # The target first: a slot that no node has is worse than one that two have for a moment.
            for node in (self.target, source):
                node.ask_all(('CLUSTER', 'SETSLOT', slot, 'NODE', self.target.id) for slot in slots)
        for node in self.cluster.live_nodes:
            if node is not self.target and node not in self.sources and node.seen()[node.id].is_master:
                node.ask_all(
                    ('CLUSTER', 'SETSLOT', s, 'NODE', self.target.id) for of in self.sources.values() for s in of
                )
        self.cluster.wait_until_agreed()

    def cancel(self) -> None:
        """Bring what was moved back, and leave the slots where they were."""
        for source, slots in self.sources.items():
            # As long as it is migrating, the owner takes no keys.
            source.ask_all(('CLUSTER', 'SETSLOT', slot, 'STABLE') for slot in slots)
            for slot in slots:
                for key in self.target.ask('CLUSTER', 'GETKEYSINSLOT', slot, 1_000_000):
                    self.target.ask('MIGRATE', *source.address, key, 0, 10_000, 'REPLACE')
            self.target.ask_all(('CLUSTER', 'SETSLOT', slot, 'STABLE') for slot in slots)


class PrivateCluster:
    """A cluster of `masters` masters, each with `replicas` replicas; a context manager.

    full_coverage: whether the cluster serves nothing when a slot has no owner (cluster-require-full-coverage).
    options: lines of redis.conf for each node, by name.
    Replicas take over only when they are told to, and in wait_for_promotion(): a busy machine is no failure.
    """

    def __init__(self, masters: int = 3, replicas: int = 1, full_coverage: bool = True, **options: object) -> None:
        self.options = {
            'cluster_node_timeout': NODE_TIMEOUT,
            'cluster_require_full_coverage': 'yes' if full_coverage else 'no',
            'cluster_announce_ip': '127.0.0.1',
            # A replica that has lost its master's link for long may take over all the same.
            'cluster_replica_validity_factor': 0,
            # A replica takes over when it is told to, and in wait_for_promotion().
            'cluster_replica_no_failover': 'yes',
            # No replica goes to another master by itself.
            'cluster_migration_barrier': 100,
            'repl_diskless_sync': 'yes',
            'repl_diskless_sync_delay': 0,
            **options,
        }
        # Each shard: the node that was its master at first, and its replicas.
        self.shards = [[Node(**self.options) for _ in range(1 + replicas)] for _ in range(masters)]
        self.added: list[Node] = []

    # ---- Start and end

    def start(self) -> PrivateCluster:
        """Start all nodes, make them a cluster and wait until all of it serves; ends them if that fails."""
        if any(node.process for node in self.nodes):
            raise RuntimeError('the private cluster is running already')
        try:
            for node in self.nodes:
                node.start()
                self._keep_replicas_in_place(node)
            self._assign_slots()
            self._introduce(self.nodes)
            self._wait('know each other', lambda: all(map(self._knows_all, self.nodes)))
            for master, *replicas in self.shards:
                for replica in replicas:
                    replica.ask('CLUSTER', 'REPLICATE', master.id)
            self.wait_until_agreed()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End all nodes and remove their folders."""
        for node in self.nodes:
            node.stop()

    def __enter__(self) -> PrivateCluster:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    # ---- Nodes and keys

    @property
    def nodes(self) -> list[Node]:
        """All nodes, the added ones last."""
        return [*(node for shard in self.shards for node in shard), *self.added]

    @property
    def live_nodes(self) -> list[Node]:
        """Those that run and are not paused."""
        return [node for node in self.nodes if node.is_alive]

    @property
    def masters(self) -> list[Node]:
        """The live masters, by what they say of themselves."""
        return [node for node in self.live_nodes if self._is_master(node)]

    def replicas_of(self, master: Node) -> list[Node]:
        """Return the live replicas of a master, by what they say of themselves; it may be dead."""
        return [node for node in self.live_nodes if node.seen()[node.id].master_id == master.id]

    def slot_owners(self) -> dict[int, Node]:
        """Return which live master has each slot, by what each says of itself."""
        return {slot: node for node in self.live_nodes for slot in node.seen()[node.id].slots}

    def owner(self, key: str | bytes) -> Node:
        """Return the master that has the slot of a key."""
        return self.slot_owners()[slot_of(key)]

    def client(self, startup: Iterable[Node] | None = None, **kwargs: Any) -> Any:
        """Return a new redis.RedisCluster; startup: the nodes it is told of, in this order, if not all live ones."""
        import redis
        from redis.cluster import ClusterNode

        nodes = self.live_nodes if startup is None else startup
        return redis.RedisCluster(startup_nodes=[ClusterNode(*node.address) for node in nodes], **kwargs)

    def keys(self) -> dict[Node, list[str]]:
        """Return the keys of each live master."""
        return {node: sorted(node.ask('KEYS', '*')) for node in self.masters}

    def flush(self) -> None:
        """Delete all keys."""
        for node in self.masters:
            node.ask('FLUSHALL')

    # ---- Changes of the layout

    def migration(self, slots: Iterable[int], target: Node) -> Migration:
        """Return the migration of slots to another master, which has not begun."""
        return Migration(self, slots, target)

    def migrate(self, slots: Iterable[int], target: Node) -> None:
        """Bring slots and their keys to another master."""
        self.migration(slots, target).begin().finish()

    def failover(self, replica: Node, takeover: bool = False) -> None:
        """Have a replica take the place of its master (CLUSTER FAILOVER), and wait until all nodes know.

        takeover: without asking the other masters, nor its own, which may be lost.
        """
        self.begin_failover(replica, takeover)
        self.wait_for_master([replica])

    def begin_failover(self, replica: Node, takeover: bool = False) -> None:
        """Do the same without waiting, which wait_for_master() does."""
        self._prepare_for_election(replica)
        replica.ask('CLUSTER', 'FAILOVER', *(['TAKEOVER'] if takeover else []))

    def kill(self, node: Node) -> None:
        """End a node by SIGKILL. No replica takes its place before wait_for_promotion()."""
        node.kill()

    def wait_for_promotion(self, lost: Node) -> Node:
        """Wait until a replica has taken the place of a master that is dead or paused; return that replica."""
        replicas = self.replicas_of(lost)
        for replica in replicas:
            self._prepare_for_election(replica)
        self._configure('cluster-replica-no-failover', 'no')
        promoted = self.wait_for_master(replicas)
        self._configure('cluster-replica-no-failover', 'yes')
        return promoted

    def restart(self, node: Node) -> None:
        """Start a node that was killed, or let one go on that was paused, and wait until all is well again."""
        if node.is_paused:
            node.resume()
        elif node.process is None:
            node.start()
            self._keep_replicas_in_place(node)
        self.wait_until_agreed()

    def add(self) -> Node:
        """Return a new master without slots, which all nodes know."""
        node = Node(**self.options)
        self.added.append(node)
        node.start()
        self._keep_replicas_in_place(node)
        self._introduce([node, *self.live_nodes])
        self.wait_until_agreed()
        return node

    def remove(self, node: Node) -> None:
        """End an added node; the others forget it. Its slots have no node then."""
        self.added.remove(node)
        node.stop()
        for other in self.live_nodes:
            other.ask('CLUSTER', 'FORGET', node.id)

    def restore(self) -> None:
        """Delete all keys and bring the slots back to their shards, whatever happened.

        All nodes run again then, and the added ones are gone. A shard may have another master than at first.
        """
        for node in self.nodes:
            if node.is_paused:
                node.resume()
            elif node.process is None:
                node.start()
                self._keep_replicas_in_place(node)
        self.wait_until_agreed()
        self.flush()
        for node in self.masters:
            seen = node.seen()[node.id]
            node.ask_all(('CLUSTER', 'SETSLOT', slot, 'STABLE') for slot in {**seen.migrating, **seen.importing})
        for number, shard in enumerate(self.shards):
            master = next(filter(self._is_master, shard))
            misplaced = set(self._slots_of_shard(number)) - master.seen()[master.id].slots
            if misplaced:
                self.migrate(misplaced, master)
        for node in list(self.added):
            self.remove(node)
        self.wait_until_agreed()

    # ---- Waiting

    def wait_until_agreed(self) -> None:
        """Wait until all live nodes see the same layout, all slots are served and all replicas are up to date."""
        self._wait('agree', self.is_agreed)

    def is_agreed(self) -> bool:
        """Tell whether that is so now."""
        owners = [self._layout(node) for node in self.live_nodes]
        return None not in owners and len(set(owners)) == 1

    def _layout(self, node: Node) -> tuple[object, ...] | None:
        """Return who has which slots, and who replicates whom, as a node sees it; None where something is amiss."""
        try:
            nodes, info, replication = node.ask_all(
                [('CLUSTER', 'NODES'), ('CLUSTER', 'INFO'), ('INFO', 'replication')]
            )
        except Exception:
            # It is loading, or has just been resumed.
            return None
        live = {each.id for each in self.live_nodes}
        seen = {node_id: each for node_id, each in parse_nodes(nodes).items() if node_id in live}
        lacks_master = 'master_link_status:down' in str(replication) or _is_down(replication)
        if live != seen.keys() or 'cluster_state:ok' not in info or lacks_master:
            return None
        if any(each.is_lost or not (each.is_connected or each.id == node.id) for each in seen.values()):
            return None
        epoch = re.search(r'cluster_current_epoch:(\d+)', info)
        shards = frozenset(
            (each.id, each.master_id, each.slots, each.epoch if each.is_master else None) for each in seen.values()
        )
        return epoch and epoch[1], shards

    def _knows_all(self, node: Node) -> bool:
        seen = node.seen()
        return seen.keys() == {each.id for each in self.live_nodes} and not any(s.is_lost for s in seen.values())

    def wait_for_master(self, replicas: list[Node]) -> Node:
        """Return which of the replicas has become a master, when all nodes know."""
        self._wait(f'{replicas} have a master', lambda: any(map(self._is_master, replicas)))
        self.wait_until_agreed()
        return next(filter(self._is_master, replicas))

    @staticmethod
    def _is_master(node: Node) -> bool:
        return node.seen()[node.id].is_master

    @staticmethod
    def _prepare_for_election(replica: Node) -> None:
        """See to it that a replica can win again that has won an election not long ago.

        For twice the node timeout (2 seconds at least) a Redis takes its votes of then for those of the next election
        too, and for as long again it holds none. With those votes it is not followed unless its epoch is the greatest.
        """
        replica.ask('CONFIG', 'SET', 'cluster-node-timeout', SHORT_NODE_TIMEOUT)
        replica.ask('CLUSTER', 'BUMPEPOCH')

    def _wait(self, what: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        if condition():
            return
        self._configure('cluster-node-timeout', SHORT_NODE_TIMEOUT)
        while not condition():
            if time.monotonic() > deadline:
                views = '\n'.join(f'{node}:\n{node.ask("CLUSTER", "NODES")}' for node in self.live_nodes)
                raise RuntimeError(f'the nodes do not come to: {what}, after {WAIT_SECONDS:.0f} s:\n{views}')
            time.sleep(0.02)
        self._configure('cluster-node-timeout', NODE_TIMEOUT)

    def _configure(self, name: str, value: object) -> None:
        for node in self.live_nodes:
            node.ask('CONFIG', 'SET', name, value)

    # ---- Making the cluster

    def _slots_of_shard(self, number: int) -> range:
        count = len(self.shards)
        return range(number * SLOTS // count, (number + 1) * SLOTS // count)

    def _assign_slots(self) -> None:
        for number, (master, *_) in enumerate(self.shards):
            # Redis before 7 has no ranges here.
            master.ask('CLUSTER', 'ADDSLOTS', *self._slots_of_shard(number))
        for epoch, node in enumerate(self.nodes, 1):
            node.ask('CLUSTER', 'SET-CONFIG-EPOCH', epoch)

    @staticmethod
    def _introduce(nodes: list[Node]) -> None:
        """Have the first of the nodes and the others meet."""
        first, *others = nodes
        first.ask_all(('CLUSTER', 'MEET', *node.address) for node in others)

    @staticmethod
    def _keep_replicas_in_place(node: Node) -> None:
        import redis

        # A master whose last slot goes becomes a replica otherwise. Redis before 6.2 has no such option.
        with contextlib.suppress(redis.ResponseError):
            node.ask('CONFIG', 'SET', 'cluster-allow-replica-migration', 'no')


def _is_down(replication: Any) -> bool:
    return isinstance(replication, dict) and replication.get('master_link_status', 'up') != 'up'


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(('127.0.0.1', port))
        except OSError:
            return False
        return True
