"""How data is printed: as a table, as JSON, as a JSON value per line, or as ids."""

from __future__ import annotations

import base64
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from itertools import chain, islice
from typing import Any, NamedTuple

import click

from .._fastpath.wording import plural
from .._query.opaque import Opaque
from .terminal import grouped, has_colours, width_of

# Stands in all JSON that the command prints. It changes when a key is renamed or gets another meaning.
SCHEMA = 1
# How many rows of a table are read before the widths of its columns are chosen.
_ROWS_AHEAD = 1000
_NARROWEST = 5


def output_option(*formats: str) -> Callable[[Any], Any]:
    """Return the option --output with some of the formats table, json, jsonl and ids."""
    return click.option(
        '-o',
        '--output',
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help='How to print the data.',
    )


# ---- JSON


def print_json(values: Mapping[str, Any]) -> None:
    """Print a JSON object, on a line of its own."""
    print_outcome([_json({'schema': SCHEMA, **values})])


def print_json_list(name: str, items: Iterable[Any]) -> None:
    """Print a JSON object whose only value is a list, one item after the other."""
    sys.stdout.write(f'{{"schema": {SCHEMA}, {json.dumps(name)}: [')
    for number, item in enumerate(items):
        sys.stdout.write(f'{"," if number else ""}\n{_json(item)}')
    print(']}', flush=True)


def print_json_lines(items: Iterable[Mapping[str, Any]]) -> None:
    """Print each item as a JSON object on a line of its own."""
    for item in items:
        print(_json({'schema': SCHEMA, **item}))
    sys.stdout.flush()


def _json(value: Any) -> str:
    return json.dumps(for_json(value))


def for_json(value: Any) -> Any:
    """Return what JSON has for a value. Bytes are given in base64, times in ISO 8601."""
    # First, as its type cannot be compared with another one.
    if type(value) is Opaque or value is Opaque:
        return {'not_read': 'an object in a pickle'}
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return str.__str__(getattr(value, 'value', value))
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (date, timedelta)):
        return text_of(value)
    if isinstance(value, (bytes, bytearray)):
        return {'base64': base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        return {str(for_json(name)): for_json(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [for_json(item) for item in value]
    return repr(value)


# ---- Text


def text_of(value: Any) -> str:
    """Return a value as a cell of a table shows it: '-' for None."""
    if value is None:
        return '-'
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat().replace('+00:00', 'Z')
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str):
        return str(for_json(value))
    if isinstance(value, (timedelta, int, float)):
        return str(value)
    return json.dumps(for_json(value), ensure_ascii=False)


def moment_text(value: datetime | None) -> str:
    """Return a time to the second, which --ended-after and the like take again."""
    return text_of(value and value.replace(microsecond=0))


def duration_text(seconds: float | None) -> str:
    """Return a duration in its two largest units: '3d 4h', '12s'."""
    if seconds is None:
        return '-'
    left = max(int(seconds), 0)
    parts: list[str] = []
    for size, unit in ((86400, 'd'), (3600, 'h'), (60, 'm'), (1, 's')):
        count, left = divmod(left, size)
        if count or (unit == 's' and not parts):
            parts.append(f'{count}{unit}')
        elif parts:
            break
    return ' '.join(parts[:2])


def print_outcome(lines: Iterable[str]) -> None:
    """Print what was done: that must be known, and goes to stderr where stdout cannot be written."""
    text = '\n'.join(lines)
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError:
        print(text, file=sys.stderr, flush=True)
        raise


def printable(text: str) -> str:
    """Return the text without what would move the cursor, or begin a new line: that comes from jobs."""
    return text if text.isprintable() else ''.join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def masked(word: str) -> str:
    """Return a word of a command line with its password, if it is a URL, masked."""
    word = re.sub('(?<=://)(.*)@', lambda found: f'{_user_of(found[1])}@', word, flags=re.DOTALL)
    return re.sub('(?<=[?&]password=)[^&]*', '***', word)


def _user_of(credentials: str) -> str:
    user, colon, _ = credentials.partition(':')
    return f'{user}:***' if colon else user


def counted(number: int, what: str) -> str:
    """Return the number and the noun in its form for that number: '1 job', '18 231 jobs'."""
    return f'{grouped(number)} {what if number == 1 else plural(what)}'


# The text of a cell; or that, and a shorter one for where there is no room.
Cell = str | tuple[str, str]


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        title: Its title.
        short: The title where there is no room for the long one.
        is_number: Whether it is aligned to the right.
        is_whole: Whether its values are never cut, as ids are not.
    """

    title: str
    short: str = ''
    is_number: bool = False
    is_whole: bool = False


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> None:
    """Print a table of any length, as wide as the terminal. Its beginning decides how wide the columns are."""
    for line in table_lines(columns, rows, width_of(sys.stdout), has_colours(sys.stdout)):
        print(line)
    sys.stdout.flush()


def table_lines(
    columns: Sequence[Column], rows: Iterable[Sequence[Cell]], width: int | None, colours: bool = False
) -> Iterator[str]:
    """Yield the lines of a table."""
    remaining = iter(rows)
    ahead = list(islice(remaining, _ROWS_AHEAD))
    titles, widths = _widths(columns, ahead, is_short=False)
    is_short = width is not None and _total(widths) > width
    if width is not None and is_short:
        titles, widths = _widths(columns, ahead, is_short=True)
        widths = _narrowed(columns, widths, width)
    title = _line(columns, titles, widths)
    yield click.style(title, bold=True) if colours else title
    for row in chain(ahead, remaining):
        yield _line(columns, _texts(row, is_short), widths)


def _texts(row: Sequence[Cell], is_short: bool) -> list[str]:
    return [printable(cell if isinstance(cell, str) else cell[is_short]) for cell in row]


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], is_short: bool) -> tuple[list[str], list[int]]:
    """Return the titles of the columns, and their widths if nothing is cut."""
    titles = [(is_short and column.short) or column.title for column in columns]
    lines = [titles, *(_texts(row, is_short) for row in rows)]
    return titles, [max(map(len, cells)) for cells in zip(*lines, strict=True)]


def _narrowed(columns: Sequence[Column], widths: Sequence[int], width: int) -> list[int]:
    """Return the widths at which a line has this width, if that is possible."""
    narrowed = list(widths)
    # What may be cut: the widest column loses a character at a time.
    cut = [index for index, column in enumerate(columns) if not (column.is_number or column.is_whole)]
    while _total(narrowed) > width:
        widest = max(cut, key=lambda index: narrowed[index], default=None)
        if widest is None or narrowed[widest] <= _NARROWEST:
            break
        narrowed[widest] -= 1
    return narrowed


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + 2 * (len(widths) - 1)


def _line(columns: Sequence[Column], cells: Sequence[str], widths: Sequence[int]) -> str:
    parts = []
    for column, cell, size in zip(columns, cells, widths, strict=True):
        if len(cell) > size and not (column.is_number or column.is_whole):
            cell = f'{cell[: size - 1]}…'
        parts.append(cell.rjust(size) if column.is_number else cell.ljust(size))
    return '  '.join(parts).rstrip()
