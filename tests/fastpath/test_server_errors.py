"""What errors of the server mean, as redis-py makes them of the words of Redis, Valkey and others."""

from __future__ import annotations

import pytest
import redis
from faults.test_refused_scripts import NO_REFUSALS, REFUSALS, WRAPPERS
from private_redis import PrivateRedis

from rqreg_ext._fastpath.server_errors import (
    Meaning,
    concerns_one_key,
    concerns_whole_server,
    error_to_raise,
    is_denied,
    meaning_of,
    words_of,
)

MEANINGS = {
    'MOVED 141 127.0.0.1:7001': Meaning.REDIRECT,
    'ASK 141 127.0.0.1:7001': Meaning.REDIRECT,
    'TRYAGAIN Multiple keys request during rehashing of slot': Meaning.REDIRECT,
    'CLUSTERDOWN Hash slot not served': Meaning.REDIRECT,
    'REDIRECT 127.0.0.1:7001': Meaning.REDIRECT,
    'ERR Script attempted to access a non local key in a cluster node': Meaning.REDIRECT,
    'ERR Script attempted to execute a command while the cluster is down': Meaning.REDIRECT,
    "READONLY You can't write against a read only replica.": Meaning.SERVER_STATE,
    'MASTERDOWN Link with MASTER is down': Meaning.STALE_REPLICA,
    'LOADING Redis is loading the dataset in memory': Meaning.SERVER_STATE,
    'BUSY Redis is busy running a script.': Meaning.SERVER_STATE,
    "OOM command not allowed when used memory > 'maxmemory'.": Meaning.SERVER_STATE,
    'NOAUTH Authentication required.': Meaning.SERVER_STATE,
    "NOPERM this user has no permissions to run the 'llen' command or its subcommand": Meaning.COMMAND_DENIED,
    "NOPERM User access has no permissions to run the 'access' command": Meaning.COMMAND_DENIED,
    "ERR ACL failure in script: User x has no permissions to run the 'hset' command": Meaning.COMMAND_DENIED,
    "ERR The user executing the script can't run this command or subcommand": Meaning.COMMAND_DENIED,
    'ERR unknown command `ZMSCORE`, with args beginning with: ': Meaning.COMMAND_DENIED,
    "ERR unsupported command 'evalsha'": Meaning.COMMAND_DENIED,
    'NOPERM this user has no permissions to access one of the keys used as arguments': Meaning.KEY_DENIED,
    'NOPERM No permissions to access a key': Meaning.KEY_DENIED,
    'ERR ACL failure in script: No permissions to access a key': Meaning.KEY_DENIED,
    "ERR The user executing the script can't access at least one of the keys mentioned in the command arguments": (
        Meaning.KEY_DENIED
    ),
    'WRONGTYPE Operation against a key holding the wrong kind of value': Meaning.WRONG_TYPE,
    "CROSSSLOT Keys in request don't hash to the same slot": Meaning.OTHER,
    'ERR EVAL is disabled: ASK your administrator': Meaning.OTHER,
    'ERR scripting is not available: READONLY service tier': Meaning.OTHER,
    'ERR a non local key': Meaning.OTHER,
    'OOM-killer': Meaning.OTHER,
    'ERR value is not an integer or out of range': Meaning.OTHER,
    'NOWAY': Meaning.OTHER,
}


def error_of(line: str) -> Exception:
    """Return what redis-py makes of an error reply."""
    error: Exception = redis.connection.DefaultParser(65536).parse_error(line)  # type: ignore[union-attr]
    return error


@pytest.mark.parametrize('line', MEANINGS)
def test_error_line_has_its_meaning(line: str) -> None:
    error = error_of(line)
    assert meaning_of(error) is MEANINGS[line]
    # As redis-py 4 says it, which has no class for some codes, and as any release does in a pipeline.
    assert meaning_of(redis.ResponseError(line.removeprefix('ERR '))) is MEANINGS[line]
    in_pipeline = f'Command # 1 (LLEN rq:queue:q) of pipeline caused error: {line}'
    assert meaning_of(redis.ResponseError(in_pipeline)) is MEANINGS[line]


def test_subclass_means_what_its_base_means() -> None:
    class Own(redis.exceptions.ReadOnlyError):
        pass

    assert meaning_of(Own('no')) is Meaning.SERVER_STATE


@pytest.mark.parametrize('error', [redis.ConnectionError('lost'), redis.TimeoutError('late'), KeyError('READONLY')])
def test_error_without_answer_says_nothing_of_server(error: Exception) -> None:
    assert meaning_of(error) is Meaning.NO_ANSWER
    assert not concerns_whole_server(error)
    assert not concerns_one_key(error)
    assert not is_denied(error)
    assert error_to_raise(error) is error


@pytest.mark.parametrize('line', MEANINGS)
def test_answer_concerns_either_one_key_or_the_whole_server(line: str) -> None:
    assert concerns_one_key(error_of(line)) is not concerns_whole_server(error_of(line))


def test_denials_of_real_server_have_their_meaning(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    """In and outside of scripts: whatever the words of this server are."""
    rules = ['reset', 'on', '>x', '+@all', '-llen', '~mine']
    connection.execute_command('ACL', 'SETUSER', 'limited', *rules)
    try:
        with redis_server.client(username='limited', password='x') as client:
            for words, meaning in (
                (('LLEN', 'mine'), Meaning.COMMAND_DENIED),
                (('ZCARD', 'other'), Meaning.KEY_DENIED),
                (('EVAL', "return redis.call('llen', 'mine')", 0), Meaning.COMMAND_DENIED),
                (('EVAL', "return redis.call('zcard', 'other')", 0), Meaning.KEY_DENIED),
                (('NO-SUCH-COMMAND', 'mine'), Meaning.COMMAND_DENIED),
            ):
                with pytest.raises(redis.ResponseError) as raised:
                    client.execute_command(*words)
                assert meaning_of(raised.value) is meaning, str(raised.value)
    finally:
        connection.execute_command('ACL', 'DELUSER', 'limited')


@pytest.mark.parametrize('words', REFUSALS)
def test_refusal_of_script_is_not_raised(words: str) -> None:
    assert error_to_raise(error_of(REFUSALS[words])) is None


@pytest.mark.parametrize('line', NO_REFUSALS)
def test_error_that_refuses_no_script_is_raised_as_it_is(line: str) -> None:
    error = error_of(line)
    assert error_to_raise(error) is error


def test_words_of_command_are_found_within_error_of_script() -> None:
    for wrap in WRAPPERS.values():
        line = wrap('WRONGTYPE Operation against a key holding the wrong kind of value').removeprefix('ERR ')
        error = redis.ResponseError(line)
        assert words_of(error) == 'WRONGTYPE Operation against a key holding the wrong kind of value'
        assert meaning_of(error) is Meaning.WRONG_TYPE


def test_error_of_command_in_script_is_raised_as_rqs_command_would() -> None:
    for wrap in WRAPPERS.values():
        error = error_to_raise(error_of(wrap("READONLY You can't write against a read only replica.")))
        assert type(error) is redis.exceptions.ReadOnlyError
        assert str(error) == "You can't write against a read only replica."
