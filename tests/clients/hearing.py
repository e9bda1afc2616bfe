"""Unknown wrappers, around the methods by which a client sends: each notes what it is given, and returns.

What RQ's calls give them can then be compared with what ours give them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Container, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import wraps
from typing import Any
from unittest import mock

import pytest
import redis
from redis.client import Pipeline

# What a wrapper does: it is called with the method inside it, and with the arguments.
Act = Callable[..., Any]
# Makes a client, of a class derived from redis.Redis if it is given one.
Make = Callable[..., Any]


def pass_on(inner: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Do what most wrappers do."""
    return inner(*args, **options)


class Hearing:
    """What the wrappers of one client hear: `heard` is what they are given, and what they return or raise.

    Of the calls whose names are in `unheard`, nothing is noted.
    """

    def __init__(self, act: Act = pass_on, unheard: Container[str] = ()) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.client: Any = None
        self.act = act
        self._unheard = unheard
        self._is_listening = True

    def begin(self, name: str) -> None:
        """Begin a call of this name."""
        self._is_listening = name not in self._unheard

    def call(self, owner: Any, inner: Callable[..., Any], args: Any, options: Any) -> Any:
        """Do what the wrapper of this method does. owner: the client, what stands in for it, or its pipeline."""
        if self.client is None or owner.connection_pool is not self.client.connection_pool:
            return inner(*args, **options)
        stack = [timeless(command) for command in getattr(owner, 'command_stack', ())]
        given = inner.__name__, timeless(args), timeless(options), stack
        try:
            result = self.act(inner, *args, **options)
        except Exception as error:
            self._note(*given, type(error), str(error))
            raise
        # Of the server's state, only that it is asked for.
        self._note(*given, type(result) if args[:1] == ('INFO',) else timeless(result))
        return result

    def _note(self, *heard: Any) -> None:
        if self._is_listening:
            self.heard.append(heard)


def timeless(value: Any) -> Any:
    """Return a value with its types, but without times."""
    if isinstance(value, list | tuple):
        return type(value), [timeless(each) for each in value]
    if isinstance(value, dict):
        return dict, [(timeless(name), timeless(each)) for name, each in value.items()]
    if isinstance(value, int | float) and abs(value - time.time()) < 10_000:
        return type(value), 'now'
    if isinstance(value, str):
        return str, re.sub(r'\d{4}-\d\d-\d\dT[\d:.]*Z?', 'then', value)
    return type(value), re.sub(rb'\d{4}-\d\d-\d\dT[\d:.]*Z?', b'then', value) if isinstance(value, bytes) else value


# ---- Ways to wrap: each yields a client


@contextmanager
def _by_functools(hearing: Hearing, make: Make) -> Iterator[Any]:
    def wrapper_of(original: Any) -> Any:
        @wraps(original)
        def wrapper(self: Any, *args: Any, **options: Any) -> Any:
            return hearing.call(self, original.__get__(self), args, options)

        return wrapper

    with _patched(wrapper_of), make() as hearing.client:
        yield hearing.client


@contextmanager
def _by_functools_later(hearing: Hearing, make: Make) -> Iterator[Any]:
    """Once the client is in use."""
    with make() as client:
        assert client.ping()
        with _by_functools(hearing, lambda: client):
            yield client


@contextmanager
def _by_wrapt(hearing: Hearing, make: Make) -> Iterator[Any]:
    wrapt = pytest.importorskip('wrapt')

    def wrapper(wrapped: Any, instance: Any, args: Any, options: Any) -> Any:
        return hearing.call(instance, wrapped, args, options)

    with _patched(lambda original: wrapt.FunctionWrapper(original, wrapper)), make() as hearing.client:
        yield hearing.client


def _patched(wrapper_of: Callable[[Any], Any]) -> AbstractContextManager[Any]:
    stack = ExitStack()
    for owner, name in (
        (redis.Redis, 'execute_command'),
        (Pipeline, 'execute'),
        (Pipeline, 'immediate_execute_command'),
    ):
        stack.enter_context(mock.patch.object(owner, name, wrapper_of(getattr(owner, name))))
    return stack


@contextmanager
def _by_subclass(hearing: Hearing, make: Make) -> Iterator[Any]:
    class Client(redis.Redis):
        def execute_command(self, *args: Any, **options: Any) -> Any:
            return hearing.call(self, super().execute_command, args, options)

    with make(Client) as hearing.client:
        yield hearing.client


@contextmanager
def _on_instance(hearing: Hearing, make: Make) -> Iterator[Any]:
    with make() as hearing.client:
        original = hearing.client.execute_command

        @wraps(original)
        def wrapper(*args: Any, **options: Any) -> Any:
            return hearing.call(hearing.client, original, args, options)

        hearing.client.execute_command = wrapper
        yield hearing.client


WAYS: dict[str, Callable[[Hearing, Make], AbstractContextManager[Any]]] = {
    'functools': _by_functools,
    'functools, later': _by_functools_later,
    'wrapt': _by_wrapt,
    'subclass': _by_subclass,
    'instance': _on_instance,
}
