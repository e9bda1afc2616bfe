"""The filters of find() as options, one to one."""

from __future__ import annotations

import functools
import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

import click

from .._fastpath.rq_keys import REGISTRIES, REGISTRY_NAMES
from .._query.filters import Filters, JobFilters
from .output import text_of
from .parameters import Moment
from .server import queue_names


class Pattern(click.ParamType):  # type: ignore[type-arg]
    """A glob, or a text; with `re:` in front, a regular expression."""

    def __init__(self, name: str) -> None:
        self.name = name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a str, or a compiled regular expression."""
        if not isinstance(value, str) or not value.startswith('re:'):
            return value
        try:
            return re.compile(value[3:])
        except re.error as error:
            self.fail(f'{value!r} is not a regular expression: {error}', param, ctx)


_GLOB = Pattern('glob')
_TEXT = Pattern('text')
_OPTIONS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ('--id', 'job_id', {'type': _GLOB, 'help': 'Id of the job.'}),
    ('--func', 'func_name', {'type': _GLOB, 'help': "Name of the function: 'shop.send_*'."}),
    ('--description', 'description', {'type': _GLOB, 'help': 'Description of the job.'}),
    ('--worker', 'worker_name', {'type': _GLOB, 'help': 'Name of the worker that ran it.'}),
    ('--exc-type', 'exc_type', {'type': _GLOB, 'help': 'Class of the exception, as the traceback names it.'}),
    ('--exc-message', 'exc_message', {'type': _TEXT, 'help': 'A text in the message of the exception.'}),
    ('--exc-text', 'exc_info', {'type': _TEXT, 'help': 'A text in the traceback.'}),
    ('--arg', 'args', {'multiple': True, 'metavar': 'N=TEXT', 'help': 'A positional argument, from 0; N:=JSON.'}),
    ('--kwarg', 'kwargs', {'multiple': True, 'metavar': 'NAME[=TEXT]', 'help': 'A keyword argument; NAME:=JSON.'}),
    ('--meta', 'meta', {'multiple': True, 'metavar': 'KEY[=TEXT]', 'help': 'A key of job.meta; KEY:=JSON.'}),
    ('--status', 'status', {'multiple': True, 'help': 'Status of the job, or several of them.'}),
    *(
        (f'--{event}-{side}', f'{event}_{side}', {'type': Moment(), 'help': f'{event.title()} {words} this time.'})
        for event in ('created', 'enqueued', 'started', 'ended')
        for side, words in (('after', 'at or after'), ('before', 'before'))
    ),
    ('--min-score', 'min_score', {'type': float, 'help': 'Lowest score of the entry.'}),
    ('--max-score', 'max_score', {'type': float, 'help': 'Highest score of the entry.'}),
)
OPTION_OF = {name: option for option, name, _ in _OPTIONS}
assert OPTION_OF.keys() == JobFilters.__annotations__.keys()


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the filters to a command, which gets those that were given as `filters`, as find() takes them."""

    @functools.wraps(command)
    def wrapper(**given: Any) -> Any:
        filters = {name: given.pop(name) for name in OPTION_OF}
        return command(
            filters=_filters_of({name: value for name, value in filters.items() if value not in (None, ())}), **given
        )

    for option, name, settings in reversed(_OPTIONS):
        wrapper = click.option(option, name, **settings)(wrapper)
    return wrapper


def _filters_of(given: Mapping[str, Any]) -> dict[str, Any]:
    filters = dict(given)
    if 'args' in filters:
        filters['args'] = _positions(filters['args'])
    for name in ('kwargs', 'meta'):
        if name in filters:
            filters[name] = _pairs(OPTION_OF[name], filters[name])
    try:
        Filters.of(**filters)
    except (TypeError, ValueError) as error:
        raise click.UsageError(_as_typed(str(error), filters)) from error
    return filters


def _as_typed(message: str, filters: Mapping[str, Any]) -> str:
    """Return the message of the library with options and times as they are typed."""
    for name, option in OPTION_OF.items():
        message = re.sub(rf'\b{name}(?==| out\b)', option, message)
    for value in filters.values():
        if isinstance(value, datetime):
            message = message.replace(repr(value), text_of(value))
    return message


def _positions(given: Sequence[str]) -> dict[int, Any]:
    found = {}
    for text in given:
        position, value = _split(text)
        if not position.lstrip('-').isdigit() or value is _ABSENT:
            raise click.UsageError(f'--arg {text!r}: give a position and a value, like 0=acme, or 0:=5 for JSON')
        found[int(position)] = value
    return found


def _pairs(option: str, given: Sequence[str]) -> Any:
    pairs = dict(map(_split, given))
    if _ABSENT not in pairs.values():
        return pairs
    if len(pairs) > 1:
        raise click.UsageError(f'{option}: give one name, or names with values: {" ".join(given)}')
    return next(iter(pairs))


_ABSENT = object()


def _split(text: str) -> tuple[str, Any]:
    """Return the name and the value in NAME=TEXT or NAME:=JSON, as `rq enqueue` takes them."""
    name, equals, value = text.partition('=')
    if not equals:
        return text, _ABSENT
    if not name.endswith(':'):
        return name, value
    try:
        return name[:-1], json.loads(value)
    except ValueError as error:
        raise click.UsageError(f'{text!r}: {value!r} is not JSON ({error})') from error


# ---- Filters as they are typed


def typed(filters: Mapping[str, Any]) -> list[str]:
    """Return the filters as words of a command line. Durations have become times."""
    found = []
    for name, value in filters.items():
        found += _typed(name, value)
    return found


def _typed(name: str, value: Any) -> list[str]:
    option = OPTION_OF[name]
    if name == 'status':
        return [word for status in value for word in (option, status)]
    if isinstance(value, Mapping):
        return [word for key, item in value.items() for word in (option, _pair(key, item))]
    if isinstance(value, re.Pattern):
        return [option, f're:{value.pattern}']
    return [option, text_of(value) if isinstance(value, datetime) else str(value)]


def _pair(key: Any, value: Any) -> str:
    is_text = isinstance(value, str) and not str(key).endswith(':')
    return f'{key}={value}' if is_text else f'{key}:={json.dumps(value)}'


def exactly(text: str) -> str:
    """Return the glob that matches this text only."""
    glob = re.sub(r'([*?[])', r'[\1]', text)
    # Not what begins a regular expression.
    return f'[r]{glob[1:]}' if glob.startswith('re:') else glob


def command_line(words: Sequence[str]) -> str:
    """Return the words as a shell takes them: in one line, with nothing that moves the cursor."""
    return ' '.join(shlex.quote(word) if word.isprintable() else _escaped(word) for word in words)


def _escaped(word: str) -> str:
    """Return a word in $'...', with the octets of what is not printable."""
    characters = (
        c if c.isprintable() else ''.join(f'\\{octet:03o}' for octet in c.encode(errors='surrogatepass'))
        for c in word.replace('\\', '\\\\').replace("'", "\\'")
    )
    return f"$'{''.join(characters)}'"


# ---- Which registry


# What stands for the jobs that wait in their queues, in the place of a registry's name.
WAITING = 'waiting'
_SCORE_FILTERS = ('min_score', 'max_score')


def registry_option(names: Sequence[str] = REGISTRY_NAMES, has_waiting: bool = False) -> Callable[[Any], Any]:
    """Return the option --registry with some of the registries, and --waiting; the command gets `registry`."""

    def check(ctx: click.Context, param: click.Parameter, value: str) -> str:
        if value not in REGISTRIES:
            raise click.BadParameter(f'the installed RQ has no {value} registry', ctx, param)
        return value

    option = click.option(
        '--registry',
        type=click.Choice(names),
        default='failed',
        show_default=True,
        callback=check,
        help='The registry with the jobs.',
    )

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def wrapper(waiting: bool, **given: Any) -> Any:
            if waiting:
                _check_waiting(given)
                given['registry'] = WAITING
            return command(**given)

        flag = click.option('--waiting', is_flag=True, help='The jobs that wait in the queues, instead of a registry.')
        decorated: Any = option(flag(wrapper))
        return cast('Callable[..., Any]', decorated)

    return decorate if has_waiting else option


def is_given(parameter: str) -> bool:
    """Tell whether this parameter of the command was given on the command line."""
    source = click.get_current_context().get_parameter_source(parameter)
    return source is not None and source.name == 'COMMANDLINE'


def _check_waiting(given: Mapping[str, Any]) -> None:
    if is_given('registry'):
        raise click.UsageError('give --registry or --waiting, not both')
    check_scores(given)


def check_scores(given: Mapping[str, Any]) -> None:
    """Raise click.UsageError if there are filters that jobs that wait have nothing for."""
    for name in _SCORE_FILTERS:
        if given.get(name) is not None:
            raise click.UsageError(f'{OPTION_OF[name]} is for registries: the entries of a queue have no scores')


def queue_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --queue and --all-queues; the command gets `patterns`, and whether one of them was given as `chosen`."""

    @functools.wraps(command)
    def wrapper(**given: Any) -> Any:
        patterns, every = given.pop('queue'), given.pop('all_queues')
        if patterns and every:
            raise click.UsageError('give --queue or --all-queues, not both')
        return command(patterns=patterns, chosen=bool(patterns or every), **given)

    wrapper = click.option('--all-queues', is_flag=True, help='The jobs of all queues.')(wrapper)
    return click.option(
        '--queue',
        multiple=True,
        metavar='NAME',
        shell_complete=queue_names,
        help='A queue, by its name or a glob; several times.',
    )(wrapper)


def fail_if_none_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --fail-if-none."""
    return click.option('--fail-if-none', is_flag=True, help='End with status 1 if no job matches.')(command)
