"""Connections that break at every byte of every reply and command: redis-py's exception, and the next call right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq.registry
from clients.outcomes import Outcome
from rq.utils import get_version

import rqreg_ext.registry

from .calls import CALLS, CHANGES, Database, Registries, assert_right, outcome
from .relay import Cut, Drip, End, Fault, Refusal, Relay

if TYPE_CHECKING:
    from types import ModuleType

    from private_redis import PrivateRedis

Connect = Callable[[], Any]
# A reply that is cut in a short run is cut at each of its first bytes, and then here and there.
FIRST = 24
STRIDE = 61


@pytest.fixture
def database(connection: redis.Redis) -> Database:
    return Database(connection)


@pytest.fixture(params=['tcp', 'unix'])
def relay(request: pytest.FixtureRequest, redis_server: PrivateRedis, tmp_path: Path) -> Iterator[Relay]:
    with Relay(redis_server.port, str(tmp_path / 'relay.sock') if request.param == 'unix' else None) as relay:
        yield relay


def connected(namespace: ModuleType, relay: Relay, **arguments: Any) -> Registries:
    """Return registries of a new client whose connections, RQ's and ours, are open already."""
    client = redis.Redis(**relay.address, **{'retry': None, 'socket_timeout': 20, 'protocol': 3, **arguments})
    get_version(client)
    on = Registries(namespace, client)
    assert on.failed.get_job_count(cleanup=False) > 0
    return on


def strike(on: Registries, relay: Relay, database: Database, name: str, fault: Fault) -> Outcome:
    """Make the call with the fault armed, check the next calls, and return its outcome."""
    database.restore()
    relay.arm(fault)
    struck = outcome(name, on)
    assert not relay.is_armed
    assert_right(on, database.admin)
    return struck


def measured(on: Registries, relay: Relay, database: Database, name: str) -> tuple[int, int, list[dict[str, Any]]]:
    """Return how many bytes a call receives and sends, and what the database holds before and after it."""
    # Once before, for the server to know the script.
    for _ in range(2):
        database.restore()
        before = database.state()
        relay.arm(None)
        assert outcome(name, on).error is None
    return relay.replied, relay.requested, [before, database.state()]


def places(length: int, is_deep: bool) -> list[int]:
    """Return after which bytes to cut."""
    return [n for n in range(length) if is_deep or n < FIRST or n % STRIDE == 0 or n == length - 1]


@pytest.mark.covering(1)
@pytest.mark.parametrize('protocol', [2, 3])
@pytest.mark.parametrize('name', CALLS)
@pytest.mark.parametrize('relay', ['tcp'], indirect=True)
def test_reply_cut_after_each_byte_raises_same_error_as_rq(
    relay: Relay, database: Database, name: str, protocol: int, is_deep: bool
) -> None:
    on = connected(rqreg_ext.registry, relay, protocol=protocol)
    replied, _, states = measured(on, relay, database, name)
    theirs = strike(connected(rq.registry, relay, protocol=protocol), relay, database, name, Cut(0))
    assert theirs.error is redis.ConnectionError
    for n in places(replied, is_deep):
        assert strike(on, relay, database, name, Cut(n)) == theirs, n
        if name in CHANGES:
            assert database.state() in states, n


@pytest.mark.covering(1)
@pytest.mark.parametrize('end', [End.RESET, End.HALF])
@pytest.mark.parametrize('name', CALLS)
def test_reply_cut_in_other_ways_raises_same_error_as_rq(
    relay: Relay, database: Database, name: str, end: End, is_deep: bool
) -> None:
    """A reset may overtake the bytes before it, so how much was read depends on the system."""
    on = connected(rqreg_ext.registry, relay)
    replied, _, states = measured(on, relay, database, name)
    theirs = strike(connected(rq.registry, relay), relay, database, name, Cut(0, end))
    for n in (0, 1, replied // 2, replied - 1) if is_deep else (replied // 2,):
        ours = strike(on, relay, database, name, Cut(n, end))
        assert ours.error is redis.ConnectionError
        if end is End.HALF:
            assert ours == theirs
        assert database.state() in states


@pytest.mark.covering(1)
@pytest.mark.parametrize('end', [End.CLOSE, End.RESET])
@pytest.mark.parametrize('name', CALLS)
@pytest.mark.parametrize('relay', ['tcp'], indirect=True)
def test_command_cut_while_sent_is_done_or_not(
    relay: Relay, database: Database, name: str, end: End, is_deep: bool
) -> None:
    """The server runs complete commands only, so each is done or not."""
    on = connected(rqreg_ext.registry, relay, protocol=2)
    _, requested, states = measured(on, relay, database, name)
    for n in places(requested, is_deep)[:: 5 if is_deep else 11]:
        struck = strike(on, relay, database, name, Refusal(n, end))
        assert struck.error is redis.ConnectionError, n
        assert database.state() in states, n


@pytest.mark.covering(1)
@pytest.mark.parametrize(('relay', 'protocol'), [('tcp', 2), ('unix', 3)], indirect=['relay'])
@pytest.mark.parametrize('name', CALLS)
def test_reply_in_single_bytes_is_read_as_by_rq(relay: Relay, database: Database, name: str, protocol: int) -> None:
    found = []
    for namespace, fault in ((rq.registry, None), (rqreg_ext.registry, Drip())):
        database.restore()
        on = connected(namespace, relay, protocol=protocol)
        relay.arm(fault)
        found.append((outcome(name, on), database.state()))
        if fault:
            assert_right(on, database.admin)
        relay.arm(None)
        on.failed.connection.close()
    assert found[1] == found[0]
    assert found[1][0].error is None


@pytest.mark.parametrize('relay', ['tcp'], indirect=True)
def test_long_reply_cut_at_some_bytes_raises_connection_error(relay: Relay, database: Database, is_deep: bool) -> None:
    """Past the reader's own short cut for the entries of long lists, and past its blocks."""
    ids = [f'{n:036}' for n in range(3000)]
    database.admin.zadd('rq:failed:long', dict.fromkeys(ids, 4_000_000_000))
    client = redis.Redis(**relay.address, retry=None, socket_timeout=20)
    registry = rqreg_ext.registry.FailedJobRegistry('long', connection=client)
    assert registry.get_job_ids(cleanup=False) == ids
    relay.arm(None)
    assert registry.get_job_ids(cleanup=False) == ids
    length = relay.replied
    for n in range(3, length, 97 if is_deep else 1499):
        relay.arm(Cut(n))
        with pytest.raises(redis.ConnectionError, match='closed by server'):
            registry.get_job_ids(cleanup=False)
        assert registry.get_job_ids(0, 1, cleanup=False) == ids[:2]
    relay.arm(Drip() if is_deep else None)
    assert registry.get_job_ids(cleanup=False) == ids
