"""The columns of each view: what is in them, how wide they are, and which are left out first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any, NamedTuple

from rich.cells import cell_len, set_cell_size

from ..output import duration_text, printable
from ..terminal import grouped
from .data import FailureRow, QueueRow, WorkerRow

# A text, and the name of its style.
Span = tuple[str, str]
Line = list[Span]

_ID = 36


class Column(NamedTuple):
    """A column.

    Attributes:
        title: Its title.
        width: How many cells it has at least.
        cell: Called with a row and the time; returns the text and the style.
        most: How many cells it may have.
        is_right: Whether it is aligned to the right.
        order: The name of the order that sorts by it.
        rank: The columns with the lowest rank are left out first.
    """

    title: str
    width: int
    cell: Callable[[Any, float], Span]
    most: int = 0
    is_right: bool = False
    order: str = ''
    rank: int = 9


# ---- Texts of cells


def number_text(number: int) -> str:
    """Return a number in at most 7 characters."""
    if abs(number) < 1_000_000:
        return grouped(number)
    for size, unit in ((10**12, 'T'), (10**9, 'G'), (10**6, 'M')):
        if abs(number) >= size:
            return f'{number / size:.1f}{unit}'
    raise AssertionError


def rate_text(rate: float | None) -> str:
    """Return a rate per second in at most 6 characters."""
    if rate is None:
        return '-'
    if abs(rate) < 0.05:
        return '0'
    if abs(rate) < 99.95:
        return f'{rate:+.1f}'
    if abs(rate) < 9999.5:
        return f'{rate:+.0f}'
    return f'{rate / 1000:+.0f}k' if abs(rate) < 999_500 else f'{rate / 1e6:+.0f}M'


def ago_text(moment: float | None, now: float) -> str:
    """Return how long ago that was."""
    return '-' if moment is None else duration_text(now - moment)


def clock_text(moment: float) -> str:
    """Return the time of day, in UTC."""
    return f'{datetime.fromtimestamp(moment, timezone.utc):%H:%M:%SZ}'


def _count(name: str, style: str = '') -> Callable[[QueueRow, float], Span]:
    def cell(queue: QueueRow, now: float) -> Span:
        count = queue.counts[name]
        return number_text(count), style if count else 'dim'

    return cell


def _rate(name: str, style: str = '') -> Callable[[QueueRow, float], Span]:
    def cell(queue: QueueRow, now: float) -> Span:
        text = rate_text(queue.rates.get(name))
        return text, style if text[0] == '+' else 'dim' if text in '0-' else ''

    return cell


def _error_text(job: FailureRow) -> str:
    if job.exc_type is None:
        return '-'
    return f'{job.exc_type}: {job.exc_message}' if job.exc_message else job.exc_type


def _state(worker: WorkerRow, now: float) -> Span:
    return printable(worker.state), {'busy': 'green', 'suspended': 'yellow'}.get(worker.state, '')


def _beat(worker: WorkerRow, now: float) -> Span:
    # RQ's workers report every half minute while they run a job.
    is_late = worker.heartbeat is not None and now - worker.heartbeat > 90 and worker.state == 'busy'
    return ago_text(worker.heartbeat, now), 'red' if is_late else 'dim'


def _text(of: Callable[[Any], str | None], style: str = '') -> Callable[[Any, float], Span]:
    def cell(row: Any, now: float) -> Span:
        return printable(of(row) or '-'), style

    return cell


def _number(of: Callable[[Any], int], style: str = '') -> Callable[[Any, float], Span]:
    def cell(row: Any, now: float) -> Span:
        number = of(row)
        return number_text(number), style if number else 'dim'

    return cell


def _ago(of: Callable[[Any], float | None]) -> Callable[[Any, float], Span]:
    return lambda row, now: (ago_text(of(row), now), '')


_RATE = 'per s'


def _counted(name: str, title: str, rank: int, style: str = '') -> Column:
    return Column(title, 8, _count(name, style), is_right=True, order=name, rank=rank)


COLUMNS: Mapping[str, tuple[Column, ...]] = {
    'queues': (
        Column('queue', 11, _text(lambda queue: queue.name, 'bold'), 40, order='name'),
        _counted('queued', 'queued', 9),
        Column(_RATE, 6, _rate('queued', 'yellow'), is_right=True, order='queued/s', rank=6),
        Column('oldest', 7, _ago(lambda queue: queue.oldest), is_right=True, order='oldest', rank=8),
        Column('start', 6, _count('started', 'green'), is_right=True, order='started', rank=7),
        _counted('finished', 'finish', 5),
        Column(_RATE, 6, _rate('finished', 'green'), is_right=True, order='finished/s', rank=4),
        Column('failed', 7, _count('failed', 'red'), is_right=True, order='failed', rank=9),
        Column(_RATE, 6, _rate('failed', 'red'), is_right=True, order='failed/s', rank=7),
        Column('work', 5, _number(lambda queue: queue.workers), is_right=True, order='workers', rank=6),
        _counted('deferred', 'defer', 3),
        _counted('scheduled', 'sched', 3),
        _counted('canceled', 'cancel', 2),
        _counted('ready', 'ready', 2),
    ),
    'workers': (
        Column('worker', 12, _text(lambda worker: worker.name), 36, order='name'),
        Column('state', 6, _state, 9, order='state'),
        Column('since', 7, _ago(lambda worker: worker.since), is_right=True, order='since'),
        Column('runs', 16, _text(lambda worker: worker.func_name, 'bold'), 50, order='runs'),
        Column('job', 8, _text(lambda worker: worker.job_id, 'dim'), _ID, rank=4),
        Column('queues', 8, _text(lambda worker: ', '.join(worker.queues)), 30, rank=6),
        Column(
            'done',
            7,
            _number(lambda worker: worker.succeeded + worker.failed),
            is_right=True,
            order='done',
            rank=5,
        ),
        Column('failed', 7, _number(lambda worker: worker.failed, 'red'), is_right=True, order='failed', rank=5),
        Column('beat', 7, _beat, is_right=True, rank=3),
    ),
    'failed': (
        Column('ended', 7, _ago(lambda job: job.end), is_right=True, order='ended'),
        Column('queue', 8, _text(lambda job: job.queue), 24, order='queue'),
        Column('function', 20, _text(lambda job: job.func_name, 'bold'), 40, order='function'),
        Column('error', 32, _text(_error_text), 160, order='error'),
        Column('worker', 8, _text(lambda job: job.worker_name, 'dim'), 16, rank=3),
        Column('job', _ID, _text(lambda job: job.job_id, 'dim'), rank=4),
    ),
    'errors': (
        Column('count', 8, _number(lambda group: group.jobs, 'red'), is_right=True, order='count'),
        Column('last', 7, _ago(lambda group: group.last), is_right=True, order='last'),
        Column('first', 7, _ago(lambda group: group.first), is_right=True, rank=4),
        Column('function', 16, _text(lambda group: group.func_name, 'bold'), 40, order='function'),
        Column('error', 16, _text(lambda group: group.exc_type), 60, order='error'),
        Column('over time', 24, lambda group, now: (group.spark, 'red'), rank=3),
        Column('queues', 8, _text(lambda group: ', '.join(group.queues)), 40, rank=5),
    ),
}


# ---- Which columns there is room for


class Fitted(NamedTuple):
    """A column with its width."""

    column: Column
    width: int


@lru_cache(maxsize=32)
def fitted(columns: tuple[Column, ...], width: int) -> tuple[Fitted, ...]:
    """Return the columns that there is room for, and share what is left among those that can be wider."""
    chosen = list(columns)
    while len(chosen) > 1 and _total([column.width for column in chosen]) > width:
        # Of the same rank, the last.
        chosen.remove(min(reversed(chosen), key=lambda column: column.rank))
    widths = [column.width for column in chosen]
    left = width - _total(widths)
    while left > 0:
        growing = [index for index, column in enumerate(chosen) if widths[index] < column.most]
        if not growing:
            break
        index = min(growing, key=lambda index: widths[index] / chosen[index].most)
        widths[index] += 1
        left -= 1
    return tuple(Fitted(column, size) for column, size in zip(chosen, widths, strict=True))


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(widths) - 1


# ---- Lines


def title_line(columns: Sequence[Fitted], order: str, is_descending: bool) -> Line:
    """Return the line with the titles; an arrow marks the one that is sorted by."""
    texts = []
    for column, width in columns:
        mark = ('▼' if is_descending else '▲') if column.order == order else ''
        texts.append(sized(f'{column.title}{mark}', width, column.is_right))
    return [(' ' + ' '.join(texts), 'title')]


def row_line(columns: Sequence[Fitted], row: Any, now: float, is_selected: bool) -> Line:
    """Return the line of a row."""
    line: Line = [('>' if is_selected else ' ', '')]
    for number, (column, width) in enumerate(columns):
        text, style = column.cell(row, now)
        line.append((f'{" " if number else ""}{sized(text, width, column.is_right)}', style))
    return [(''.join(text for text, _ in line), 'selected')] if is_selected else line


def cells(text: str) -> int:
    """Return how many cells a text takes: two for each wide character."""
    return len(text) if text.isascii() else cell_len(text)


def cut(text: str, width: int) -> str:
    """Return the text in no more cells; what is too long ends with an ellipsis."""
    if cells(text) <= width:
        return text
    return f'{set_cell_size(text, width - 1)}…' if width > 0 else ''


def sized(text: str, width: int, is_right: bool = False) -> str:
    """Return the text in exactly `width` cells."""
    text = cut(text, width)
    space = ' ' * (width - cells(text))
    return space + text if is_right else text + space


def cut_line(line: Line, width: int) -> Line:
    """Return the line in no more cells."""
    found: Line = []
    for text, style in line:
        if width <= 0:
            break
        found.append((cut(text, width), style))
        width -= cells(text)
    return found


def rule(parts: Sequence[str], width: int, is_thick: bool) -> str:
    """Return a horizontal line with these texts in it."""
    stroke = '━' if is_thick else '─'
    text = ''.join(f'{stroke} {part} ' for part in parts)
    return set_cell_size(text, width) if cells(text) > width else text + stroke * (width - cells(text))
