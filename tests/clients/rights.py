"""Users with few rights: by given ACL rules, or for exactly the commands that RQ's calls send."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import redis

from .recording import Recorder

if TYPE_CHECKING:
    from private_redis import PrivateRedis

NAME, PASSWORD = 'limited', 'x'
# What connects; a client that was recorded without a name has not sent all of it.
CONNECTING = {'AUTH', 'HELLO', 'CLIENT', 'SELECT', 'PING'}
RULES: dict[str, list[str]] = {
    'no scripts': ['+@all', '-eval', '-evalsha', '~*'],
    'no EVALSHA': ['+@all', '-evalsha', '~*'],
    'no EVAL, script unknown': ['+@all', '-eval', '~*'],
    'no HGETALL': ['+@all', '-hgetall', '~*'],
    'no ZREM': ['+@all', '-zrem', '~*'],
    'no DEL': ['+@all', '-del', '~*'],
    'no LPUSH, no RPUSH': ['+@all', '-lpush', '-rpush', '~*'],
    'no HSET': ['+@all', '-hset', '~*'],
    'no cleanup': ['+@all', '-zremrangebyscore', '~*'],
    'registries only': ['+@all', '~rq:failed:*', '~rq:wip:*', '~rq:scheduled:*'],
    'no registries': ['+@all', '~rq:job*', '~rq:queue*', '~rq:execution*', '~rq:results*'],
    'no queues': ['+@all', '~rq:job*', '~rq:failed:*', '~rq:wip:*', '~rq:execution*', '~rq:results*'],
    'nothing but reading': ['+@read', '+@connection', '+select', '+info', '~*'],
}


def set_rules(admin: Any, rules: Iterable[str], name: str = NAME) -> None:
    """Give the user these rights and no others; open connections of the user have them at once."""
    admin.execute_command('ACL', 'SETUSER', name, 'reset', 'on', f'>{PASSWORD}', *rules)


def allow(admin: Any, commands: Iterable[str], name: str = NAME) -> None:
    """Give the user the rights to connect and to send these commands, with any keys."""
    allowed = sorted({*commands, *CONNECTING})
    set_rules(admin, ['~*', '-@all', *(f'+{command}' for command in allowed)], name)


class Limited:
    """Makes clients of users who may do what a loop of RQ's calls does, and nothing else."""

    def __init__(self, server: PrivateRedis, admin: redis.Redis) -> None:
        self._server = server
        self._admin = admin

    def commands_of(self, loop: Callable[[Any], Any]) -> list[str]:
        """Run the loop, and return the commands that it sent."""
        with Recorder(self._server.port) as recorder, redis.Redis(port=recorder.port) as client:
            loop(client)
        return sorted(set(recorder.commands))

    def client_for(self, *commands: str) -> redis.Redis:
        """Return a client of a user who may do these."""
        allow(self._admin, commands)
        return self._server.client(username=NAME, password=PASSWORD, retry=None)  # type: ignore[no-any-return]
