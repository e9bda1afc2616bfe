"""Single calls of traced clients for which the core has no connection: the client sends, and nothing differs.

The wrappers are our own, taken for a known tracer's, as in test_through_wrappers.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq.registry

import rqreg_ext.registry
from rqreg_ext import _core
from rqreg_ext._fastpath.clients import core_stand_in

from .observing import Observed, stood_in_for
from .outcomes import Outcome
from .rights import NAME as USER
from .rights import PASSWORD, RULES, set_rules
from .tour import assert_went_well, tour

if TYPE_CHECKING:
    from private_redis import PrivateRedis

DATABASE = 5
Run = Callable[[], list[Outcome]]


def in_other_session(client: redis.Redis, run: Run) -> list[Outcome]:
    """Have the client's connection select a database; the core's has another one."""
    client.execute_command('SELECT', DATABASE)
    return run()


def without_room(client: redis.Redis, run: Run) -> list[Outcome]:
    """Use the only connection that the core may have for something else."""
    replies = _core.exchange(client, [(lambda _: run(), 'PING')], None, True)
    assert replies is not None
    return replies[0]  # type: ignore[no-any-return]


WAYS: dict[str, tuple[Callable[[redis.Redis, Run], list[Outcome]], dict[str, Any]]] = {
    'the session differs': (in_other_session, {}),
    'max_connections are used': (without_room, {'max_connections': 1, 'db': DATABASE}),
}


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the commands that the core had the client send on a connection of its own."""
    names: list[str] = []
    send = core_stand_in.send_on_own_connection

    def noting(stand_in: Any, words: Any) -> Any:
        names.append(words[0])
        return send(stand_in, words)

    monkeypatch.setattr(core_stand_in, 'send_on_own_connection', noting)
    with stood_in_for(are_taken_for_tracers=True):
        yield names


@pytest.fixture
def admin(redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[redis.Redis]:
    with redis_server.client(db=DATABASE) as admin:
        yield admin
        admin.flushdb()
    for user in connection.acl_users():
        if user != 'default':
            connection.acl_deluser(user)


def same_tour(way: str, redis_server: PrivateRedis, admin: redis.Redis, **options: Any) -> list[Outcome]:
    """Make every call with RQ and with ours, and find no difference. Return our outcomes."""
    prepare, own = WAYS[way]
    found = []
    for library in (rq.registry, rqreg_ext.registry):
        with Observed(host='127.0.0.1', port=redis_server.port, **own, **options) as client:
            found.append(prepare(client, lambda: tour(library, client, admin)))  # noqa: B023
    theirs, ours = found
    for expected, outcome in zip(theirs, ours, strict=True):
        assert outcome == expected
    return ours


@pytest.mark.parametrize('protocol', [2, 3])
@pytest.mark.parametrize('way', WAYS)
def test_calls_are_those_of_rq(
    redis_server: PrivateRedis, admin: redis.Redis, sent: list[str], way: str, protocol: int
) -> None:
    outcomes = same_tour(way, redis_server, admin, protocol=protocol)
    assert_went_well(outcomes)
    assert {'EVALSHA', 'HGETALL', 'ZCARD', 'ZRANGE', 'ZREM', 'ZSCORE'} <= {*sent}


@pytest.mark.parametrize('protocol', [2, 3])
@pytest.mark.parametrize('way', WAYS)
def test_script_that_server_does_not_know_is_sent(
    redis_server: PrivateRedis, admin: redis.Redis, sent: list[str], way: str, protocol: int
) -> None:
    admin.script_flush()
    assert_went_well(same_tour(way, redis_server, admin, protocol=protocol))
    assert 'EVAL' in sent


@pytest.mark.parametrize('protocol', [2, 3])
@pytest.mark.parametrize('rules', RULES)
def test_refusals_lead_where_they_lead_otherwise(
    redis_server: PrivateRedis, admin: redis.Redis, sent: list[str], rules: str, protocol: int
) -> None:
    """That is not always where RQ ends: a script may need fewer rights."""
    set_rules(admin, RULES[rules])
    options = {'port': redis_server.port, 'db': DATABASE, 'username': USER, 'password': PASSWORD, 'protocol': protocol}
    found = []
    for make_client, prepare in ((redis.Redis, lambda client, run: run()), (Observed, without_room)):
        if 'unknown' in rules:
            admin.script_flush()
        with make_client(host='127.0.0.1', max_connections=1, **options) as client:
            found.append(prepare(client, lambda: tour(rqreg_ext.registry, client, admin)))
    directly, by_own_connection = found
    for expected, outcome in zip(directly, by_own_connection, strict=True):
        assert outcome == expected
    assert sent


def test_reads_decode_as_the_client_does(redis_server: PrivateRedis, admin: redis.Redis, sent: list[str]) -> None:
    same_tour('the session differs', redis_server, admin, decode_responses=True)
    assert {'ZSCORE', 'ZRANGE'} <= {*sent}


def test_score_is_read_once(redis_server: PrivateRedis, admin: redis.Redis, sent: list[str]) -> None:
    """What the wrappers are shown is what redis-py shows them, a float, and no other command is needed."""
    admin.zadd('rq:failed:once', {'job': 4_000_000_000})
    for protocol in (2, 3):
        with Observed(host='127.0.0.1', port=redis_server.port, protocol=protocol) as client:
            client.execute_command('SELECT', DATABASE)
            registry = rqreg_ext.registry.FailedJobRegistry('once', connection=client)
            Observed.seen.clear()
            assert 'job' in registry
            assert 'nobody' not in registry
            assert Observed.seen == sent[-2:] == ['ZSCORE', 'ZSCORE']


def test_hash_is_shown_as_redis_py_shows_it(redis_server: PrivateRedis, admin: redis.Redis) -> None:
    shown: list[Any] = []

    class Noting(Observed):
        def execute_command(self, *args: Any, **options: Any) -> Any:
            reply = super().execute_command(*args, **options)
            if args[0] == 'HGETALL':
                shown.append(reply)
            return reply

    for protocol in (2, 3):
        shown.clear()
        with Noting(host='127.0.0.1', port=redis_server.port, protocol=protocol) as client:
            client.execute_command('SELECT', DATABASE)
            outcomes = tour(rqreg_ext.registry, client, admin)
        assert_went_well(outcomes)
        assert shown
        assert all(type(reply) is dict for reply in shown)


def test_nothing_is_sent_after_an_error(redis_server: PrivateRedis, admin: redis.Redis, sent: list[str]) -> None:
    admin.set('rq:failed:wrong', 'x')
    with Observed(host='127.0.0.1', port=redis_server.port) as client:
        client.execute_command('SELECT', DATABASE)
        with pytest.raises(redis.ResponseError, match='WRONGTYPE'):
            _ = rqreg_ext.registry.FailedJobRegistry('wrong', connection=client).count
    assert sent == ['ZREMRANGEBYSCORE']
