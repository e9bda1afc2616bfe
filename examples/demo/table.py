"""The table: registry by registry, both answers and both times."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from .comparison import Row

HEADINGS = ('registry', 'call', 'RQ answers', 'rqreg_ext answers', 'RQ', 'rqreg_ext', 'ratio')
ANSWER_WIDTH = 36
RIGHT_ALIGNED = (4, 5, 6)


def short(answer: object) -> str:
    """Return an answer as it fits into a column: of a long list its length and first entry."""
    if isinstance(answer, list) and len(answer) > 1:
        text = f'{len(answer):,} entries: {answer[0]!r}, ...'
    elif isinstance(answer, datetime):
        text = answer.isoformat(sep=' ', timespec='seconds')
    else:
        text = answer if isinstance(answer, str) else repr(answer)
    return text if len(text) <= ANSWER_WIDTH else text[: ANSWER_WIDTH - 3] + '...'


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    if seconds < 1e-3:
        return f'{seconds * 1e6:.0f} µs'
    return f'{seconds * 1e3:.1f} ms' if seconds < 1 else f'{seconds:.1f} s'


def _cells(row: Row, registry: str) -> tuple[str, ...]:
    theirs, ours = row.seconds
    ratio = f'{theirs / ours:.1f} x' if row.agrees else 'DIFFERS'
    return (registry, row.call, short(row.answers[0]), short(row.answers[1]), duration(theirs), duration(ours), ratio)


def lines(rows: Iterable[Row]) -> Iterable[str]:
    """Return the table's lines; a registry is named once, on its first row."""
    table: list[tuple[str, ...]] = [HEADINGS]
    named = ''
    for row in rows:
        table.append(_cells(row, '' if row.registry == named else row.registry))
        named = row.registry
    widths = [max(len(cells[column]) for cells in table) for column in range(len(HEADINGS))]
    table.insert(1, tuple('-' * width for width in widths))
    for cells in table:
        padded = [
            cell.rjust(width) if column in RIGHT_ALIGNED else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        yield '  '.join(padded).rstrip()
