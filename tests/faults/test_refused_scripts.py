"""Scripts that a server refuses, with any message, and errors that are not refusals."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import redis
import rq.registry
from bulk.bulk_jobs import fill, pictures
from differential.database import differences, dump
from private_redis import PrivateRedis
from rq import Queue
from rq.job import Job

import rqreg_ext
from rqreg_ext.registry import FailedJobRegistry, StartedJobRegistry

from .refusing_scripts import RefusingScripts

COUNT = 24

REFUSALS = {
    'Dragonfly': 'ERR script tried accessing undeclared key, key: rq:job:j0',
    'Dragonfly, inside': (
        'ERR Error running script (call to f_0123456789abcdef0123456789abcdef01234567):'
        ' @user_script:31: script tried accessing undeclared key'
    ),
    'KeyDB, ACL': "NOPERM this user has no permissions to run the 'evalsha' command or its subcommand",
    'Redis 7, ACL': "NOPERM User default has no permissions to run the 'evalsha' command",
    'Valkey, ACL inside': 'ERR ACL failure in script: No permissions to access a key script: on @user_script:1.',
    'Redis 6, ACL inside': (
        'ERR Error running script (call to f_0123456789abcdef0123456789abcdef01234567): @user_script:1:'
        " @user_script: 1: The user executing the script can't run this command or subcommand"
    ),
    'Upstash': "ERR Command is not available: 'EVALSHA'. See https://upstash.com/docs/redis/overall/rediscompatibility",
    'Azure': 'ERR Script attempted to access keys that do not hash to the same slot',
    'Azure, wrong number': 'ERR unknown command `EVALSHA`, with args beginning with: `2a`, `1`, ',
    'Memorystore': 'ERR unknown command `evalsha`',
    'not from script': 'ERR This Redis command is not allowed from script',
    'proxy': 'ERR unknown or unsupported command',
    'Envoy': "ERR unsupported command 'evalsha'",
    'cluster': "CROSSSLOT Keys in request don't hash to the same slot",
    'runtime error': "ERR user_script:12: attempt to call field 'unpack' (a nil value) script: on @user_script:12.",
    'killed': 'ERR Error running script: Script killed by user with SCRIPT KILL...',
    'a word that is a code': 'ERR EVAL is disabled: ASK your administrator',
    'a service tier': 'ERR scripting is not available: READONLY service tier',
    'a paid plan': 'ERR Lua: -MOVED to the paid plan',
    'a busy tier': 'ERR script disabled: BUSY tier',
    'a longer word': 'BUSYBODY no scripts',
    'local keys': 'ERR EVAL: a script with a non local key is not supported',
    'invented': 'NOWAY scripts are for the theatre',
    'one word': 'no',
    'nothing': '',
}
# Code, and the class that redis-py makes of it from 6 on.
NO_REFUSALS = {
    'MOVED 141 127.0.0.1:7001': 'MovedError',
    'ASK 141 127.0.0.1:7001': 'AskError',
    'TRYAGAIN Multiple keys request during rehashing of slot': 'TryAgainError',
    'CLUSTERDOWN Hash slot not served': 'ClusterDownError',
    "READONLY You can't write against a read only replica.": 'ReadOnlyError',
    "OOM command not allowed when used memory > 'maxmemory'.": 'OutOfMemoryError',
    'BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.': 'ResponseError',
    'UNKILLABLE Sorry the script already executed write commands against the dataset.': 'ResponseError',
    'LOADING Redis is loading the dataset in memory': 'BusyLoadingError',
    'NOREPLICAS Not enough good replicas to write.': 'ResponseError',
    'MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist.': 'ResponseError',
    'NOAUTH Authentication required.': 'AuthenticationError',
}
# As a server says them of a command in a script.
NO_REFUSALS_INSIDE = {
    'Attempted to access a non local key in a cluster node': 'ResponseError',
    'Lua script attempted to access a non local key in a cluster node': 'ResponseError',
    'Script attempted to execute a command while the cluster is down': 'ResponseError',
    **{line: name for line, name in NO_REFUSALS.items() if line[:4] in ('READ', 'OOM ', 'NORE', 'MISC')},
}
WRAPPERS: dict[str, Callable[[str], str]] = {
    'Redis 6': lambda line: (
        f'ERR Error running script (call to f_{"0" * 40}): @user_script:7: @user_script: 7: {_dashed(line)}'
    ),
    'Redis 7': lambda line: f'{_coded(line)} script: {"0" * 40}, on @user_script:7.',
    'Valkey': lambda line: f'{_coded(line)} script: on @user_script:7.',
}


def _has_code(line: str) -> bool:
    return line.split(' ')[0].isupper()


def _dashed(line: str) -> str:
    return f'-{line}' if _has_code(line) else line


def _coded(line: str) -> str:
    return line if _has_code(line) else f'ERR {line}'


@pytest.fixture
def relay(redis_server: PrivateRedis) -> Iterator[RefusingScripts]:
    with RefusingScripts(redis_server.port) as relay:
        yield relay


def client_of(relay: RefusingScripts, **options: Any) -> redis.Redis:
    return redis.Redis(port=relay.port, retry=None, **options)


# ---- Calls, each compared with RQ's

IDS = [f'job-{number:04}' for number in range(COUNT)]
# RQ's call, or its loop, on RQ's registry; ours; and the jobs that are done.
Loop = Callable[[Any, Sequence[str]], Any]


def remove_all(registry: Any, ids: Sequence[str]) -> None:
    for job_id in ids:
        registry.remove(job_id, delete_job=True)


def requeue_all(registry: Any, ids: Sequence[str]) -> None:
    for job_id in ids:
        registry.requeue(job_id)


def cancel_all(registry: Any, ids: Sequence[str]) -> None:
    for job_id in ids:
        Job.fetch(job_id, connection=registry.connection).cancel()


def move_all(registry: Any, ids: Sequence[str]) -> None:
    for job_id in ids:
        job = Job.fetch(job_id, connection=registry.connection)
        job.origin = 'low'
        registry.requeue(job)


CALLS: dict[str, tuple[Loop, Loop]] = {
    'remove': (
        lambda registry, ids: registry.remove(ids[0], delete_job=True),
        lambda registry, ids: registry.remove(ids[0], delete_job=True),
    ),
    'requeue': (
        lambda registry, ids: registry.requeue(ids[0]).id,
        lambda registry, ids: registry.requeue(ids[0]).id,
    ),
    'remove_many': (remove_all, lambda registry, ids: registry.remove_many(ids, delete_job=True)),
    'purge': (remove_all, lambda registry, ids: registry.purge()),
    'purge with a filter': (remove_all, lambda registry, ids: registry.purge(description='*')),
    'requeue_many': (requeue_all, lambda registry, ids: registry.requeue_many(ids)),
    'requeue_all': (requeue_all, lambda registry, ids: registry.requeue_all()),
    'cancel_many': (cancel_all, lambda registry, ids: registry.cancel_many(ids)),
    'cancel_all': (cancel_all, lambda registry, ids: registry.cancel_all()),
    'move_many': (move_all, lambda registry, ids: registry.move_many(ids, 'low')),
    'purge of all queues': (remove_all, lambda registry, ids: rqreg_ext.purge(registry.connection, queues=['q']).total),
    'requeue_all of all queues': (
        requeue_all,
        lambda registry, ids: rqreg_ext.requeue_all(registry.connection, queues=['q']).total,
    ),
}
CHANGING = [*CALLS]


def outcome_by_rq(admin: redis.Redis, name: str) -> tuple[Any, dict[str, Any]]:
    """Return what RQ's loop returns, and what it leaves of each job."""
    ids = fill(admin, COUNT)
    returned = CALLS[name][0](rq.registry.FailedJobRegistry('q', connection=admin), ids)
    return returned, pictures(admin, ids)


@pytest.fixture(scope='module')
def by_rq(redis_server: PrivateRedis) -> dict[str, tuple[Any, dict[str, Any]]]:
    admin = redis_server.client()
    return {name: outcome_by_rq(admin, name) for name in CALLS}


def describe(returned: Any) -> Any:
    return returned.done if hasattr(returned, 'done') else returned


@pytest.mark.covering(1)
@pytest.mark.parametrize('name', CHANGING)
@pytest.mark.parametrize('words', REFUSALS)
def test_every_refusal_falls_back_to_rq(
    relay: RefusingScripts, connection: redis.Redis, by_rq: dict[str, Any], words: str, name: str
) -> None:
    ids = fill(connection, COUNT)
    relay.line = REFUSALS[words]
    returned = CALLS[name][1](FailedJobRegistry('q', connection=client_of(relay)), ids)
    by_loop, left = by_rq[name]
    assert relay.refused > 0
    assert pictures(connection, ids) == left
    assert describe(returned) == (COUNT if by_loop is None else by_loop)


@pytest.mark.parametrize('words', REFUSALS)
def test_read_falls_back_if_script_is_refused(relay: RefusingScripts, connection: redis.Redis, words: str) -> None:
    connection.zadd('rq:wip:q', {'running:1': '+inf'})
    relay.line = REFUSALS[words]
    registry = StartedJobRegistry('q', connection=client_of(relay))
    assert ('running' in registry, 'other' in registry) == (True, False)
    assert relay.refused > 0


@pytest.mark.parametrize('words', [*REFUSALS, *(line for line in NO_REFUSALS if line[:6] not in ('LOADIN', 'NOAUTH'))])
def test_clean_registries_falls_back_after_any_error(
    relay: RefusingScripts, connection: redis.Redis, words: str
) -> None:
    """RQ does the same again, which does no harm, and raises its own error."""
    connection.zadd('rq:failed:q', {'old': 1, 'new': '+inf'})
    relay.line = REFUSALS.get(words, words)
    rqreg_ext.clean_registries(Queue('q', connection=client_of(relay)))
    assert relay.refused > 0
    assert connection.zrange('rq:failed:q', 0, -1) == [b'new']


# What a proxy may answer that knows no scripts.
STRANGE = {
    'nothing': '$-1', 'a number': ':0', 'a text': '+OK', 'an empty list': '*0', 'one number': '*1\r\n:1',
    'no progress': '*2\r\n:0\r\n:0', 'too many': '*2\r\n:999\r\n:0', 'no such job': '*4\r\n:1\r\n:0\r\n:7\r\n:0',
    'texts': '*2\r\n+1\r\n+0',
}  # fmt: skip


@pytest.mark.covering(1)
@pytest.mark.parametrize('name', [name for name in CHANGING if name not in ('remove', 'requeue')])
@pytest.mark.parametrize('reply', STRANGE)
def test_answer_that_no_script_gives_is_a_refusal(
    relay: RefusingScripts, connection: redis.Redis, by_rq: dict[str, Any], reply: str, name: str
) -> None:
    ids = fill(connection, COUNT)
    relay.reply = STRANGE[reply]
    returned = CALLS[name][1](FailedJobRegistry('q', connection=client_of(relay)), ids)
    assert relay.refused > 0
    assert pictures(connection, ids) == by_rq[name][1]
    assert describe(returned) == COUNT


# ---- Errors that are not refusals


def lines_that_are_none() -> Iterator[Any]:
    for line, name in NO_REFUSALS.items():
        yield pytest.param(line, name, line, id=line.split(' ')[0])
    for (line, name), (server, wrap) in itertools.product(NO_REFUSALS_INSIDE.items(), WRAPPERS.items()):
        yield pytest.param(wrap(line), name, line, id=f'{line[:20]} in {server}')


@pytest.mark.covering(1)
@pytest.mark.parametrize('name', CHANGING)
@pytest.mark.parametrize(('line', 'error', 'words'), [*lines_that_are_none()])
def test_other_error_is_raised_and_nothing_changed(
    relay: RefusingScripts, connection: redis.Redis, line: str, error: str, words: str, name: str
) -> None:
    ids = fill(connection, COUNT)
    before = dump(connection)
    relay.line = line
    client = client_of(relay)
    if 'all queues' in name:
        result = call_on_all_queues(name, client)
        raised: Exception = result if isinstance(result, Exception) else result.errors['q']
    else:
        with pytest.raises(redis.RedisError) as caught:
            CALLS[name][1](FailedJobRegistry('q', connection=client), ids)
        raised = caught.value
    assert differences(before, dump(connection)) == []
    known = getattr(redis.exceptions, error)
    assert type(raised) in (known, redis.ResponseError)
    # redis-py removes the codes that it knows, and the server adds words that RQ would not get.
    assert words.endswith(str(raised)) or (not _has_code(words) and words in str(raised))


def call_on_all_queues(name: str, client: redis.Redis) -> Any:
    try:
        return {'purge': rqreg_ext.purge, 'requeue_all': rqreg_ext.requeue_all}[name.split(' ')[0]](
            client, queues=['q']
        )
    except redis.RedisError as error:
        return error


@pytest.mark.parametrize('line', ['TRYAGAIN Multiple keys request during rehashing of slot', 'ASK 141 127.0.0.1:1'])
def test_read_falls_back_after_redirect(relay: RefusingScripts, connection: redis.Redis, line: str) -> None:
    """The script has two keys; RQ's command has one, which may be there."""
    connection.zadd('rq:wip:q', {'running:1': '+inf'})
    relay.line = line
    assert 'running' in StartedJobRegistry('q', connection=client_of(relay))


# ---- repair(), for which there is no fallback


def test_repair_raises_refusal_and_changes_nothing(relay: RefusingScripts, connection: redis.Redis) -> None:
    connection.zadd('rq:failed:q', {'gone': '+inf'})
    relay.line = REFUSALS['Dragonfly']
    registry = FailedJobRegistry('q', connection=client_of(relay))
    report = registry.check(settle=0, orphans=False)
    before = dump(connection)
    with pytest.raises(redis.ResponseError, match='undeclared key') as caught:
        registry.repair(report)
    assert [problem.job_id for problem, _ in caught.value.result.failed] == ['gone']  # type: ignore[attr-defined]
    assert dump(connection) == before


def test_repair_continues_if_one_script_is_refused(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    """The entry of a registry that the user may not write stays, and is among the failed."""
    connection.zadd('rq:failed:q', {'gone': '+inf'})
    connection.zadd('rq:failed:r', {'gone': '+inf'})
    report = rqreg_ext.check(connection, ['q', 'r'], settle=0)
    assert len(report) == 2
    connection.execute_command('ACL', 'SETUSER', 'some', 'reset', 'on', '>x', '+@all', '~rq:failed:q', '~rq:job:*')
    try:
        done = rqreg_ext.repair(redis_server.client(username='some', password='x'), report)
    finally:
        connection.execute_command('ACL', 'DELUSER', 'some')
    assert dict(done.repaired) == {'missing_job': 1}
    assert [problem.key for problem, _ in done.failed] == ['rq:failed:r']
    assert (connection.exists('rq:failed:q'), connection.exists('rq:failed:r')) == (0, 1)


@pytest.mark.parametrize('line', ["READONLY You can't write against a read only replica.", 'MOVED 1 127.0.0.1:1'])
def test_repair_raises_other_errors(relay: RefusingScripts, connection: redis.Redis, line: str) -> None:
    connection.zadd('rq:failed:q', {'gone': '+inf'})
    registry = FailedJobRegistry('q', connection=client_of(relay))
    report = registry.check(settle=0, orphans=False)
    relay.line = line
    with pytest.raises(redis.ResponseError) as caught:
        registry.repair(report)
    assert caught.value.result.failed == []  # type: ignore[attr-defined]
