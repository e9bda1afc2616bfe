"""The table of answers and times, as wide as the terminal."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timezone

from .comparison import Row

HEADINGS = ('call', 'answer of both', 'RQ', 'rqreg_ext', 'ratio')
RIGHT_ALIGNED = (2, 3, 4)
ANSWER = 1
NARROWEST = 14
GAP = '  '


def terminal_width() -> int:
    """Return the width of the terminal in columns: COLUMNS if it is set, 80 without a terminal."""
    return shutil.get_terminal_size().columns


def short(answer: object) -> str:
    """Return an answer as a short text; for a long list, its length."""
    if isinstance(answer, list) and len(answer) > 1:
        return f'{len(answer):,} entries'
    if isinstance(answer, datetime):
        return answer.astimezone(timezone.utc).strftime('%Y-%m-%d %H:%MZ')
    return ' '.join((answer if isinstance(answer, str) else repr(answer)).split()).rstrip(':')


def cut(text: str, width: int) -> str:
    """Return the text, cut off if it is wider than `width`."""
    return text if len(text) <= width else text[: width - 1] + '…'


def duration(seconds: float) -> str:
    """Return a time with at most three digits, in µs, ms or s."""
    if seconds < 0.9995e-3:
        return f'{seconds * 1e6:.0f} µs'
    if seconds < 0.9995:
        return f'{seconds * 1e3:.{1 if seconds < 0.09995 else 0}f} ms'
    return f'{seconds:.1f} s'


def _cells(row: Row) -> tuple[str, ...]:
    theirs, ours = row.seconds
    answer = short(row.answers[0]) if row.agrees else 'DIFFERS'
    return row.call, answer, duration(theirs), duration(ours), f'{theirs / ours:.1f} x'


def align(table: Sequence[tuple[str, ...]], elastic: int, right: Collection[int]) -> Iterator[str]:
    """Yield the lines of a table, with the `elastic` column cut to fit the terminal, and `right` right-aligned."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - terminal_width()
    widths[elastic] = min(widths[elastic], max(NARROWEST, widths[elastic] - excess))
    for cells in table:
        padded = [
            cut(cell, width).rjust(width) if column in right else cut(cell, width).ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        yield GAP.join(padded).rstrip()


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the table's lines: for each registry a heading and its calls, with answers that differ below a call."""
    heading, *texts = align([HEADINGS, *(_cells(row) for row in rows)], ANSWER, RIGHT_ALIGNED)
    yield heading
    current = ''
    for row, text in zip(rows, texts, strict=True):
        if row.registry != current:
            yield f'-- {row.registry} '.ljust(len(heading), '-')
            current = row.registry
        yield text
        if not row.agrees:
            for side, answer, left in zip(('RQ', 'rqreg_ext'), row.answers, row.left, strict=True):
                yield cut(f'    {side}: {answer!r}, left in Redis: {left!r}', terminal_width())
