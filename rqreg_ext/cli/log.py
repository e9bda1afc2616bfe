"""`rqreg log`: what commands have changed, when, by whom, and why."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from typing import Any

import click

from .change_log import LOG_VARIABLE, lines_of, log_option
from .output import (
    Cell,
    Column,
    counted,
    duration_text,
    moment_text,
    output_option,
    print_json_lines,
    print_json_list,
    print_table,
    text_of,
)
from .parameters import Count, Moment
from .server import Server, server_options
from .terminal import say

_COLUMNS = (
    Column('time', 'ago', is_whole=True),
    Column('user'),
    Column('done', is_number=True),
    Column('jobs', is_number=True),
    Column('ended'),
    Column('command'),
    Column('reason'),
)


@click.command()
@log_option
@click.option('--since', type=Moment(), metavar='TIME', help='Changes at or after this time.')
@click.option('--limit', type=Count(), help='The most changes to show: the newest.')
@output_option('table', 'json', 'jsonl')
@server_options
def log(server: Server, log: str | None, since: datetime | None, limit: int | None, output: str) -> None:
    """Show the log of changes that other commands have written with --log, the newest last."""
    if not log:
        raise click.UsageError(f'give --log FILE or --log stream, or set {LOG_VARIABLE}')
    found = _Records(lines_of(log, server), since)
    records: Iterable[dict[str, Any]] = found if limit is None else deque(found, limit)
    if output == 'json':
        print_json_list('changes', records)
    elif output == 'jsonl':
        print_json_lines(records)
    else:
        print_table(_COLUMNS, map(_row, records))
    if found.unreadable:
        say(f'--log {log}: {counted(found.unreadable, "line")} left out, without the record of a change')


class _Records:
    """The records in the lines of a log.

    Attributes:
        unreadable: How many lines were none.
    """

    def __init__(self, lines: Iterable[bytes], since: datetime | None) -> None:
        self.unreadable = 0
        self._lines = lines
        self._since = since

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for line in self._lines:
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                record = None
            moment = _moment_of(record)
            if moment is None:
                self.unreadable += 1
            elif self._since is None or moment >= self._since:
                yield record


def _moment_of(record: Any) -> datetime | None:
    """Return when a change was made; None if this is not a record of one."""
    if not isinstance(record, dict) or not isinstance(record.get('command'), str):
        return None
    try:
        # Python 3.10 knows no Z.
        moment = datetime.fromisoformat(str(record.get('time')).replace('Z', '+00:00'))
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def _row(record: dict[str, Any]) -> list[Cell]:
    moment = _moment_of(record)
    assert moment is not None
    total = record.get('total')
    ended = 'interrupted' if record.get('interrupted') else record.get('error') or 'done'
    return [
        (moment_text(moment), duration_text((datetime.now(timezone.utc) - moment).total_seconds())),
        f'{record.get("user")}@{record.get("host")}',
        text_of(total.get('done') if isinstance(total, dict) else None),
        text_of(record.get('jobs')),
        str(ended),
        str(record['command']).removeprefix('rqreg '),
        text_of(record.get('reason')),
    ]
