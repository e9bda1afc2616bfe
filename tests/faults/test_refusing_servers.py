"""Servers that refuse commands for a while: RQ's exception, no partial changes, and right answers afterwards."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq.registry
from clients.outcomes import Outcome
from clients.rights import RULES
from clients.tour import NAME
from host.patience import eventually
from private_redis import PrivateRedis, free_port
from rq.utils import get_version

import rqreg_ext.registry

from .calls import CALLS, Database, Registries, assert_right, outcome

if TYPE_CHECKING:
    from types import ModuleType

NAMESPACES = (rq.registry, rqreg_ext.registry)
# Refusals that take a while to arrange: a short run makes fewer calls.
SLOW = ('BUSY', 'MISCONF')

Refusing = Callable[[PrivateRedis, Any], AbstractContextManager[None]]


def used(namespace: ModuleType, server: PrivateRedis, **arguments: Any) -> Registries:
    """Return registries of a new client that has already read and written."""
    client = server.client(retry=None, **arguments)
    get_version(client)
    on = Registries(namespace, client)
    on.failed.remove('failed-6', delete_job=True)
    on.failed.requeue('failed-7')
    return on


@pytest.fixture(scope='module')
def server() -> Iterator[PrivateRedis]:
    """A private Redis for this module, which may be reconfigured."""
    with PrivateRedis(save='3600 1000') as server:
        yield server


@contextmanager
def busy(server: PrivateRedis, admin: redis.Redis) -> Iterator[None]:
    """Have another client run a script that does not end by itself."""
    admin.config_set('lua-time-limit', 5)

    def run() -> None:
        with contextlib.suppress(redis.ResponseError):
            server.client(socket_timeout=60).eval('while true do end', 0)

    runner = threading.Thread(target=run)
    runner.start()
    assert eventually(lambda: is_busy(admin))
    try:
        yield
    finally:
        admin.script_kill()
        runner.join()
        assert eventually(lambda: not is_busy(admin))


def is_busy(admin: redis.Redis) -> bool:
    """Whether the server says that it is busy."""
    try:
        admin.get('anything')
    except redis.ResponseError as error:
        return str(error).startswith('BUSY') or 'busy' in str(error).lower()
    return False


@contextmanager
def out_of_memory(server: PrivateRedis, admin: redis.Redis) -> Iterator[None]:
    """Have the server exceed maxmemory."""
    admin.config_set('maxmemory', 1)
    try:
        yield
    finally:
        admin.config_set('maxmemory', 0)


@contextmanager
def cannot_save(server: PrivateRedis, admin: redis.Redis) -> Iterator[None]:
    """Have the server fail to save its data, and refuse writes for that."""
    # At the path of the file is something that it cannot replace.
    place = Path(server.folder, 'dump.rdb')
    place.unlink(missing_ok=True)
    place.mkdir()
    save(admin, 'err')
    try:
        yield
    finally:
        place.rmdir()
        save(admin, 'ok')


def save(admin: redis.Redis, result: str) -> None:
    """Have the server save its data, with this result."""

    def is_over() -> bool:
        about = admin.info('persistence')
        return not about['rdb_bgsave_in_progress'] and about['rdb_last_bgsave_status'] == result

    admin.bgsave()
    assert eventually(is_over)


@contextmanager
def too_few_replicas(server: PrivateRedis, admin: redis.Redis) -> Iterator[None]:
    """Have the server require a replica for writes, without one."""
    admin.config_set('min-replicas-to-write', 1)
    try:
        yield
    finally:
        admin.config_set('min-replicas-to-write', 0)


@contextmanager
def lost_master(server: PrivateRedis, admin: redis.Redis) -> Iterator[None]:
    """Have the server be a replica that refuses reads, as its master is not available."""
    admin.config_set('replica-serve-stale-data', 'no')
    admin.replicaof('127.0.0.1', free_port())
    try:
        yield
    finally:
        admin.replicaof('NO', 'ONE')
        admin.config_set('replica-serve-stale-data', 'yes')


@contextmanager
def stale_replica(server: PrivateRedis, admin: redis.Redis) -> Iterator[None]:
    """Have the server be a replica, which is read only."""
    admin.replicaof('127.0.0.1', free_port())
    try:
        yield
    finally:
        admin.replicaof('NO', 'ONE')


@contextmanager
def no_scripts(server: PrivateRedis, admin: redis.Redis) -> Iterator[None]:
    """Have the server forget all scripts: then their text is sent."""
    admin.script_flush()
    yield


REFUSALS: dict[str, Refusing] = {
    'BUSY': busy,
    'OOM': out_of_memory,
    'MISCONF': cannot_save,
    'NOREPLICAS': too_few_replicas,
    'MASTERDOWN': lost_master,
    'READONLY': stale_replica,
    'NOSCRIPT': no_scripts,
    'nothing': lambda server, admin: contextlib.nullcontext(),
}


def changed(
    namespace: ModuleType, server: PrivateRedis, refusing: Refusing, names: list[str]
) -> dict[str, tuple[Outcome, dict[str, Any]]]:
    """Make each call while the server refuses; return the outcome, and the database after it."""
    admin = server.client()
    database = Database(admin)
    on = used(namespace, server)
    found = {}
    for name in names:
        database.restore()
        with refusing(server, admin):
            struck = outcome(name, on)
        found[name] = (struck, database.state())
        assert_right(on, admin)
    return found


@pytest.mark.parametrize('reason', REFUSALS)
def test_refused_command_leaves_same_error_and_data_as_rq(server: PrivateRedis, reason: str, is_deep: bool) -> None:
    """The same error as RQ's, and the same data.

    Without memory RQ's requeue stops after its first step: the job is in no registry and on no queue. Ours begins with
    that step too, and Redis lets a script that has begun to write run to its end.
    """
    names = [*CALLS] if is_deep or reason not in SLOW else ['count', 'started in', 'remove', 'delete', 'requeue']
    theirs, ours = (changed(namespace, server, REFUSALS[reason], names) for namespace in NAMESPACES)
    for name in names:
        if reason == 'OOM' and name.startswith('requeue'):
            assert theirs[name][0].error is redis.exceptions.OutOfMemoryError
            assert ours[name] == changed(rqreg_ext.registry, server, REFUSALS['nothing'], [name])[name]
        else:
            assert ours[name] == theirs[name]
    refused = {name for name in names if ours[name][0].error is not None}
    assert bool(refused) is (reason not in ('NOSCRIPT', 'nothing'))


# ---- A server that loads its data -----------------------------------------------------------------


def test_server_that_loads_refuses_until_it_is_done() -> None:
    """It was restarted and is still reading its file: -LOADING, and after that the connection is another one."""
    with PrivateRedis() as server:
        admin = server.client()
        sides = []
        for namespace in NAMESPACES:
            Database(admin)
            sides.append(used(namespace, server, socket_timeout=20))
        # The server answers between two of these: it looks up after two megabytes, and cannot make them smaller.
        for n in range(60):
            admin.set(f'filling:{n}', os.urandom(2**21))
        admin.save()
        before = [outcome(name, sides[1]) for name in LOADING_CALLS]
        server.kill()
        # Slow enough to be seen: 0.1 s for each key.
        server.options |= {'key-load-delay': 100_000}
        server.start()
        found = []
        for on in sides:
            found.append([outcome(name, on) for name in LOADING_CALLS])
            assert admin.info('persistence')['loading']
        assert found[1] == found[0]
        assert {one.error for one in found[1]} == {redis.BusyLoadingError}
        assert eventually(lambda: not admin.info('persistence')['loading'])
        assert [outcome(name, sides[1]) for name in LOADING_CALLS] == before
        assert_right(sides[1], admin)


LOADING_CALLS = ('count', 'ids', 'in', 'started in', 'started pairs', 'remove nobody')


# ---- Users who may not do everything --------------------------------------------------------------


@pytest.mark.parametrize('rules', RULES)
def test_user_with_denied_commands_has_same_outcome_as_rq(server: PrivateRedis, rules: str) -> None:
    admin = server.client()
    database = Database(admin)
    admin.acl_setuser('limited', enabled=True, passwords=['+secret'], reset=True)
    admin.execute_command('ACL', 'SETUSER', 'limited', *RULES[rules])
    admin.script_flush()
    found: list[dict[str, Any]] = []
    for namespace in NAMESPACES:
        client = server.client(retry=None, username='limited', password='secret')
        on = Registries(namespace, client)
        found.append({})
        for name in CALLS:
            database.restore()
            found[-1][name] = (outcome(name, on), database.state())
    admin.acl_deluser('limited')
    for name in CALLS:
        if (rules, name) not in LESS_IS_ENOUGH:
            assert found[1][name] == found[0][name], name
        else:
            assert found[1][name][0].error is None
    refused = {name for name in CALLS if found[0][name][0].error is not None}
    assert bool(refused) is ('EVAL' not in rules and 'scripts' not in rules)


# The script that deletes a plain job has no need for these commands, and succeeds where RQ is refused half way.
LESS_IS_ENOUGH = {
    ('no HGETALL', 'delete'),
    ('no cleanup', 'delete'),
    ('no cleanup', 'delete job'),
}


# ---- Keys of another type -------------------------------------------------------------------------

KEYS = (
    'rq:failed:{name}',
    'rq:wip:{name}',
    'rq:queue:{name}',
    'rq:job:failed-2',
    'rq:job:failed-4',
    'rq:executions:running',
)


@pytest.mark.parametrize('key', KEYS)
@pytest.mark.parametrize('kind', ['string', 'hash'])
def test_key_of_wrong_type_has_same_outcome_as_rq(server: PrivateRedis, key: str, kind: str) -> None:
    admin = server.client()
    database = Database(admin)
    place = key.format(name=NAME)
    found: list[dict[str, Any]] = []
    for namespace in NAMESPACES:
        on = used(namespace, server)
        found.append({})
        for name in CALLS:
            database.restore()
            admin.delete(place)
            admin.set(place, 'x') if kind == 'string' else admin.hset(place, 'field', 'x')
            found[-1][name] = (outcome(name, on), database.state())
        database.restore()
        assert_right(on, admin)
    for name in CALLS:
        assert found[1][name] == found[0][name], name
