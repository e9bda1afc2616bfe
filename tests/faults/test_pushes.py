"""RESP3 pushes before, between and after replies are read, and never taken for a reply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import redis
from depth import IS_DEEP
from host.patience import eventually
from rq.utils import get_version

import rqreg_ext.registry

from .calls import CALLS, INHERITED, Database, Registries, assert_right, outcome
from .relay import Insertion, Relay

if TYPE_CHECKING:
    from private_redis import PrivateRedis

PUSHES = {
    'invalidation': b'>2\r\n$10\r\ninvalidate\r\n*1\r\n$7\r\nfailed1\r\n',
    'all invalid': b'>2\r\n$10\r\ninvalidate\r\n_\r\n',
    'message': b'>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$5\r\nhello\r\n',
    'empty': b'>0\r\n',
    'nested': b'>2\r\n+deep\r\n*2\r\n%1\r\n:1\r\n,1.5\r\n~2\r\n#t\r\n(12345678901234567890\r\n',
    'error inside': b'>2\r\n$5\r\nerror\r\n-ERR not for you\r\n',
    'two': b'>1\r\n+one\r\n>1\r\n+two\r\n',
}
# redis-py's own parser knows no attributes.
ATTRIBUTES = {
    'attribute': b'|1\r\n+key-popularity\r\n%2\r\n$1\r\na\r\n,0.1923\r\n$1\r\nb\r\n,0.0012\r\n',
    'empty attribute': b'|0\r\n',
}


def connected(relay: Relay) -> Registries:
    """Return registries of a new client, on a connection that is open, with scripts that the server knows."""
    client = redis.Redis(**relay.address, retry=None, protocol=3, socket_timeout=20)
    get_version(client)
    on = Registries(rqreg_ext.registry, client)
    on.failed.remove('failed-6', delete_job=True)
    on.failed.requeue('failed-7')
    return on


def ends_of_replies(relay: Relay, name: str, on: Registries, database: Database) -> list[int]:
    """Make a call, and return after how many bytes its replies begin."""
    database.restore()
    relay.arm(None)
    assert outcome(name, on).error is None
    return [0, *FIRST_REPLIES.get(name, [])]


# The length of the reply that comes first, where it is followed by another in the same call.
FIRST_REPLIES = {
    'count': [4],
    'ids': [4],
    'last ids': [4],
    'started count': [4],
    'started ids': [4],
    'started pairs': [4],
    'executions count': [4],
}


NAMES = [name for name in CALLS if name not in INHERITED]
SHORT = ['count', 'ids', 'in', 'started not in', 'expiration time', 'delete', 'requeue']


@pytest.mark.covering(1)
@pytest.mark.parametrize('octets', [*PUSHES, *ATTRIBUTES])
@pytest.mark.parametrize('name', NAMES if IS_DEEP else SHORT)
def test_push_before_reply_changes_no_outcome(relay: Relay, database: Database, name: str, octets: str) -> None:
    on = connected(relay)
    expected = []
    for place in ends_of_replies(relay, name, on, database):
        for message in (None, (PUSHES | ATTRIBUTES)[octets]):
            database.restore()
            relay.arm(message and Insertion(place, message))
            expected.append((outcome(name, on), database.state()))
            assert not relay.is_armed
            relay.arm(None)
            assert_right(on, database.admin)
    assert all(one == expected[0] for one in expected)
    assert expected[0][0].error is None


@pytest.mark.parametrize('octets', PUSHES)
def test_push_after_reply_closes_idle_connection_and_fails_no_call(
    relay: Relay, database: Database, octets: str
) -> None:
    """A push on an idle connection closes that connection, and no call fails."""
    on = connected(relay)
    for _ in range(5):
        relay.arm(None)
        ids = on.failed.get_job_ids(cleanup=False)
        relay.arm(Insertion(relay.replied - 1, b'\n' + PUSHES[octets][:-1]))
        assert on.failed.get_job_ids(cleanup=False) == ids
        assert_right(on, database.admin)


def test_long_push_before_a_list_is_skipped(relay: Relay, database: Database) -> None:
    """A push that is longer than what is received at once, before a list."""
    on = connected(relay)
    ids = on.failed.get_job_ids(cleanup=False)
    for length in (16_300, 16_384, 70_000, 3_000_000):
        message = b'>2\r\n+filler\r\n$%d\r\n%s\r\n' % (length, b'$1\r\n' * (length // 4))
        relay.arm(Insertion(0, message))
        assert on.failed.get_job_ids(cleanup=False) == ids
    message = b'>%d\r\n' % 50_000 + b'$4\r\n*9\r\n\r\n' * 50_000
    relay.arm(Insertion(0, message))
    assert on.failed.get_job_ids(cleanup=False) == ids
    assert_right(on, database.admin)


def track(connection: Any) -> None:
    """Greet the server as redis-py does, and have it tell which keys are changed."""
    connection.on_connect()
    connection.send_command('CLIENT', 'TRACKING', 'ON', 'BCAST', 'PREFIX', 'rq:')
    connection.read_response()


def test_real_invalidations_are_never_taken_for_replies(redis_server: PrivateRedis, database: Database) -> None:
    """The server tells our connection about every change of a key of RQ's, ours included, whenever it happens."""
    client = redis_server.client(
        protocol=3, retry=None, socket_timeout=20, redis_connect_func=track, client_name='tracking'
    )
    on = Registries(rqreg_ext.registry, client)
    for name in NAMES:
        found: list[Any] = []
        for is_disturbed in (False, True):
            database.restore()
            if is_disturbed:
                on.failed.get_job_ids()
                for number in range(20):
                    database.admin.zadd(on.finished.key, {f'done-{number}': 4_000_000_000})
                    database.admin.zrem(on.finished.key, f'done-{number}')
                database.restore()
            found.append((outcome(name, on), database.state()))
            assert_right(on, database.admin)
        assert found[1] == found[0], name
        assert found[1][0].error is None

    def flags() -> list[str]:
        return [entry['flags'] for entry in database.admin.client_list() if entry['name'] == 'tracking']

    # Those that a message has cost are closed: the client's own is left, and one of ours.
    assert eventually(lambda: len(flags()) <= 2)
    assert all('t' in of_one for of_one in flags())
    assert flags()
    client.close()
    assert eventually(lambda: not flags())
