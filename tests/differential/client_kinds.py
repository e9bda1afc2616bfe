"""The kinds of client by which calls are made, the same on both sides."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import redis
from clients.observing import Observed, traced
from clients.prefixing import FORMS, PREFIX, changed
from clients.recording import Recorder
from clients.rights import NAME, PASSWORD, RULES, allow, set_rules

from .subclasses import patched

if TYPE_CHECKING:
    from private_redis import PrivateRedis

Using = Callable[[Any], AbstractContextManager[Any]]


@dataclass(frozen=True)
class ClientKind:
    """How a client is made, and what is so while it is used."""

    make: Callable[..., Any] = redis.Redis
    using: Using = nullcontext
    prefix: bytes = b''
    # Whether it changes what it is given, so that a bulk call is RQ's own methods, one after the other.
    is_changing: bool = False
    is_observed: bool = False
    # The rights of its user, by name in RULES. RECORDED: on our side, what RQ's side has sent in the same call.
    rights: str | None = None

    def command(self, name: str, *words: Any) -> tuple[Any, ...]:
        """Return a command on this client's keys, as any other client sends it."""
        return changed(name, *words) if self.prefix else (name, *words)


RECORDED = "those of RQ's call"
# RQ's own scripts, and what they send: who may run them needs the rights to that too.
SCRIPTS = tuple(
    text
    for module in ('rq.rate_limit', 'rq.scripts')
    if find_spec(module)
    for name, text in vars(import_module(module)).items()
    if name.endswith('_SCRIPT') and isinstance(text, str)
)
SENT_BY_SCRIPTS = set(re.findall(r"""redis\.call\(['"](\w+)""", ' '.join(SCRIPTS)))
# What RQ's calls use of a client, and what that goes through.
_METHODS = (
    'delete', 'execute_command', 'exists', 'hget', 'hgetall', 'pipeline', 'smembers', 'zadd', 'zcard', 'zrange',
    'zrangebyscore', 'zrem', 'zremrangebyscore', 'zscore',
)  # fmt: skip

# A patched class whose instances send what they are given: seen to do so, as observed ones are.
_PASSING_ON = {('execute_command', 'wrapped', 'class'), ('pipeline', 'wrapped', 'class')}


def _using(make: Callable[[], AbstractContextManager[Any]]) -> Using:
    return lambda client: make()


def _patching(where: str, method: str, how: str) -> Using:
    return lambda client: patched((where, method, how), client)


PREFIXING = {
    f'prefixing: {form}': ClientKind(make, _using(using), PREFIX, is_changing=True)
    for form, (make, using) in FORMS.items()
}
PATCHED = {
    f'{method} {how} in the {where}': ClientKind(
        using=_patching(where, method, how), is_changing=(method, how, where) not in _PASSING_ON
    )
    for method in _METHODS
    for where in ('instance', 'class')
    for how in ('wrapped', 'fixed', 'raises')
}
# Those whose commands may reach redis-py's own methods.
WRAPPED = {
    f'{method} {how} in the class'
    for method in ('execute_command', 'pipeline')
    for how in ('wrapped', 'fixed', 'raises')
}
OBSERVED = {
    'observed: class': ClientKind(Observed, is_observed=True),
    "observed: redis-py's classes": ClientKind(using=_using(traced), is_observed=True),
}
LIMITED = {f'limited: {rights}': ClientKind(rights=rights) for rights in (RECORDED, *RULES)}
PLAIN = 'redis.Redis'
CLIENT_KINDS: dict[str, ClientKind] = {PLAIN: ClientKind(), **PREFIXING, **PATCHED, **OBSERVED, **LIMITED}


class Rights:
    """The users on a server, and what RQ's side has sent in the current call."""

    def __init__(self, server: PrivateRedis) -> None:
        self._admin = server.client()
        self._recorder = Recorder(server.port)
        self._is_recording = False

    def address_of_recorder(self) -> dict[str, Any]:
        """Return the arguments of a client whose commands are recorded."""
        if not self._is_recording:
            self._recorder.__enter__()
            self._is_recording = True
        return {'host': '127.0.0.1', 'port': self._recorder.port}

    def user(self, rights: str) -> dict[str, Any]:
        """Set up the user with these rights; return the arguments of its client."""
        if rights == RECORDED:
            allow(self._admin, (), name=NAME)
            return {'username': NAME, 'password': PASSWORD, 'retry': None}
        name = f'{NAME}-{list(RULES).index(rights)}'
        set_rules(self._admin, RULES[rights], name)
        return {'username': name, 'password': PASSWORD, 'retry': None}

    def begin_call_of_rq(self) -> None:
        self._recorder.clear()

    def begin_call_of_ours(self, besides: Iterable[str] = ()) -> None:
        """Give ours the rights to the commands that RQ has sent since its call began, and to no others but these."""
        commands = {*self._recorder.commands, *besides}
        allow(self._admin, commands | SENT_BY_SCRIPTS if commands & {'EVAL', 'EVALSHA'} else commands)

    def close(self) -> None:
        self._admin.close()
        if self._is_recording:
            self._recorder.__exit__(None, None, None)
