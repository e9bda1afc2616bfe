"""What is printed: each step with its times side by side, and how the sides differ where they do."""

from __future__ import annotations

from collections.abc import Sequence

from compat.clients.comparison import Row

TITLES = ('client', 'step', 'result', 'plain', 'accelerated', 'ratio', 'equal')
STEP_WIDTH = 80


def text(rows: Sequence[Row]) -> str:
    """Return the table of all steps, and the differences."""
    cells = [list(TITLES), *(_cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ['  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    different = [row for row in rows if row.differences]
    for row in different:
        lines += ['', f'{row.client}, {row.step}: plain and accelerated differ', *row.differences]
    lines += ['', f'{len(rows)} steps compared, {len(different)} differ']
    return '\n'.join(lines)


def _cells(row: Row) -> list[str]:
    step = ' '.join(row.step.split())
    step = step if len(step) <= STEP_WIDTH else f'{step[: STEP_WIDTH - 3]}...'
    ratio = '' if row.plain is None or not row.accelerated else f'{row.plain / row.accelerated:.2f}'
    times = [_time(row.plain), _time(row.accelerated)]
    return [row.client, step, row.result, *times, ratio, 'no' if row.differences else 'yes']


def _time(seconds: float | None) -> str:
    return '' if seconds is None else f'{seconds * 1000:.0f} ms'
