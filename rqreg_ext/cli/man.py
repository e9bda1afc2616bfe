"""`rqreg man`: pages for man(1), made of what --help says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from .. import __version__

_STATUSES = (
    ('0', 'done, also where nothing matched'),
    ('1', 'some jobs or queues could not be done or read, or problems were found'),
    ('2', 'wrong usage'),
    ('3', 'not confirmed, and nothing was changed'),
    ('4', 'the server cannot be reached, or refuses'),
    ('130', 'interrupted'),
)


@click.command()
@click.argument('name', required=False, metavar='[COMMAND]')
@click.option(
    '--folder', type=click.Path(file_okay=False, path_type=Path), help='Write the pages of all commands there.'
)
@click.pass_context
def man(context: click.Context, name: str | None, folder: Path | None) -> None:
    """Print the manual page of a command, or of rqreg itself: `rqreg man requeue | man -l -`."""
    root = context.find_root()
    assert isinstance(root.command, click.Group)
    commands = root.command.list_commands(root)
    if name is not None and name not in commands:
        raise click.UsageError(f'there is no command {name!r}. The commands are {", ".join(commands)}')
    if folder is None:
        print(_page(root, name), end='')
        return
    folder.mkdir(parents=True, exist_ok=True)
    for each in (None, *commands):
        (folder / f'{_title(each)}.1').write_text(_page(root, each), encoding='utf-8')


def _title(name: str | None) -> str:
    return f'rqreg-{name}' if name else 'rqreg'


def _page(root: click.Context, name: str | None) -> str:
    return '\n'.join(_lines(root, name)) + '\n'


def _lines(root: click.Context, name: str | None) -> Iterator[str]:
    group = root.command
    assert isinstance(group, click.Group)
    command = group.get_command(root, name) if name else group
    assert command is not None
    context = click.Context(command, parent=root if name else None, info_name=name or 'rqreg', terminal_width=1000)
    summary, *paragraphs = re.split(r'\n\s*\n', (command.help or '').strip())
    yield f'.TH {_title(name).upper()} 1 "" "rqreg {__version__}" "Commands for RQ"'
    yield from _section('NAME', [f'{_title(name)} \\- {_text(summary).rstrip(".")}'])
    usage = command.collect_usage_pieces(context)
    yield from _section('SYNOPSIS', [f'.B {_text(context.command_path)}', _text(' '.join(usage))])
    if paragraphs or not name:
        yield from _section('DESCRIPTION', '\n.PP\n'.join(map(_text, paragraphs)).splitlines())
    if not name:
        yield from _section('COMMANDS', _terms(_summaries(root, group)))
    records = [record for parameter in command.get_params(context) if (record := parameter.get_help_record(context))]
    yield from _section('OPTIONS', _terms(records))
    if name != 'check':
        yield from _section('EXIT STATUS', _terms(_STATUSES))
    others = ['rqreg', *(_title(each) for each in group.list_commands(root) if each != name)] if name else ['rq']
    yield from _section('SEE ALSO', [', '.join(f'{_text(other)}(1)' for other in others)])


def _summaries(root: click.Context, group: click.Group) -> Iterator[tuple[str, str]]:
    for name in group.list_commands(root):
        command = group.get_command(root, name)
        yield f'{_title(name)}(1)', '' if command is None else command.get_short_help_str(200)


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield f'.SH {title}'
    yield from lines


def _terms(records: Iterable[tuple[str, str]]) -> Iterator[str]:
    for term, text in records:
        yield from ('.TP', f'.B {_text(term)}', _text(text))


def _text(text: str) -> str:
    """Return a paragraph as roff has it."""
    line = ' '.join(text.split()).replace('\\', '\\e').replace('-', '\\-')
    return f'\\&{line}' if line.startswith(('.', "'")) else line
