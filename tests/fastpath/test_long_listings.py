"""Listings longer than one recv() returns: the ends of blocks cut entries of all lengths at all places."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import rq.registry

from rqreg_ext.registry import FailedJobRegistry, StartedJobRegistry

if TYPE_CHECKING:
    import redis
    from private_redis import PrivateRedis

# Enough for blocks of every size that the transport uses, and several of the largest.
TOTAL_BYTES = 3_000_000
FAR_FUTURE = 4_000_000_000


def hex_digits(chance: random.Random) -> str:
    """Return a text that makes a member unique."""
    return f'{chance.getrandbits(128):032x}'


KINDS: dict[str, Callable[[random.Random], str]] = {
    'one length': hex_digits,
    'many lengths': lambda chance: hex_digits(chance) + 'j' * chance.randrange(90),
    'looks like RESP': lambda chance: f'\r\n$3\r\n{hex_digits(chance)}\r\n*1\r\n',
    'not ASCII': lambda chance: 'é€𝄞'[: chance.randrange(4)] * chance.randrange(9) + hex_digits(chance),
    'longer than a block': lambda chance: hex_digits(chance) + 'x' * chance.randrange(400_000),
}


def fill(client: redis.Redis, key: str, kind: str, end: str = '') -> int:
    """Add random members of that kind to the registry; return their number."""
    chance = random.Random(kind)
    scores = {}
    total = 0
    while total < TOTAL_BYTES:
        member = KINDS[kind](chance) + end
        scores[member] = FAR_FUTURE + len(scores)
        total += len(member)
    return int(client.zadd(key, scores))


@pytest.fixture(params=[2, 3], ids=['RESP2', 'RESP3'])
def client(request: pytest.FixtureRequest, redis_server: PrivateRedis, connection: redis.Redis) -> redis.Redis:
    """Return a client of the empty server, for each protocol."""
    return redis_server.client(protocol=request.param)


@pytest.mark.parametrize('kind', KINDS)
def test_long_listing_returns_every_id(client: redis.Redis, kind: str) -> None:
    count = fill(client, 'rq:failed:long', kind)
    ids = FailedJobRegistry('long', connection=client).get_job_ids()
    assert len(ids) == count
    assert ids == rq.registry.FailedJobRegistry('long', connection=client).get_job_ids()
    client.close()


@pytest.mark.parametrize('kind', ['one length', 'many lengths', 'longer than a block'])
def test_long_listing_of_started_registry_returns_every_id(client: redis.Redis, kind: str) -> None:
    count = fill(client, 'rq:wip:long', kind, end=':execution')
    ours = StartedJobRegistry('long', connection=client)
    theirs = rq.registry.StartedJobRegistry('long', connection=client)
    pairs = ours.get_job_and_execution_ids()
    assert len(pairs) == count
    assert pairs == theirs.get_job_and_execution_ids()
    assert ours.get_job_ids() == theirs.get_job_ids()
    assert pairs[-1][0] in ours
    assert pairs[0][0] in ours
    assert 'nobody' not in ours
    client.close()


def test_short_reply_after_long_one_is_right(client: redis.Redis) -> None:
    fill(client, 'rq:failed:long', 'one length')
    long, short = (FailedJobRegistry(name, connection=client) for name in ('long', 'short'))
    client.zadd('rq:failed:short', {'a': FAR_FUTURE})
    for _ in range(3):
        assert len(long.get_job_ids()) == long.count
        assert short.get_job_ids() == ['a']
        assert 'a' in short
    client.close()
