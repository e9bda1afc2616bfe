"""What the screen shows: a function of the state, which knows neither a terminal nor a server."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from ..output import counted, duration_text, printable
from ..terminal import grouped
from .columns import (
    COLUMNS,
    Column,
    Line,
    Span,
    clock_text,
    cut,
    cut_line,
    fitted,
    rate_text,
    row_line,
    rule,
    title_line,
)
from .data import VIEWS, FailureRow, GroupRow
from .state import State, Text

_SMALLEST = (20, 6)
# From when on it is said that the errors were not counted just now.
_OLD = 45.0
_ANSWERS = ' [y/N]'
_TITLES = {'queues': 'Queues', 'workers': 'Workers', 'failed': 'Newest failures', 'errors': 'Errors'}
_NONE = {
    'queues': 'no queue',
    'workers': 'no worker',
    'failed': 'no failed job',
    'errors': 'no failed job',
}
_TOTALS = (('queued', 'waiting', 'yellow'), ('started', 'started', 'green'), ('failed', 'failed', 'red'))
# Registries of which most Redis have nothing.
_RARE = ('deferred', 'scheduled', 'canceled', 'ready')


def draw(state: State) -> list[Line]:
    """Return the lines of the screen: no more than it has, and none longer than it is wide."""
    if state.width < _SMALLEST[0] or state.height < _SMALLEST[1]:
        return [cut_line([('too small', '')], state.width)][: state.height]
    body = _panels(state) if state.text is None else _text(state, state.text)
    lines = list(islice(body, state.height - 2))
    lines += [[] for _ in range(state.height - 2 - len(lines))]
    return [cut_line(line, state.width) for line in (*lines, _status(state), _keys(state))]


# ---- Above the panels


def _header(state: State) -> Iterator[Line]:
    marks = ' PAUSED ' if state.is_paused else ''
    line = [('rqreg top', 'bold'), (f'  {printable(state.server)}', ''), (f'  {clock_text(state.now)}', '')]
    if state.is_read_only:
        line.append(('  read-only', 'yellow'))
    if marks:
        line += [('  ', ''), (marks, 'selected')]
    yield line
    if state.is_late:
        yield [(_late(state), 'error')]
    yield list(_totals(state))


def _late(state: State) -> str:
    age = 'nothing was read yet' if state.overview is None else f'the data is {duration_text(state.age)} old'
    return f'{age}; trying again. {printable(state.error or "no answer yet")}'


def _totals(state: State) -> Iterator[Span]:
    if state.overview is None:
        yield 'reading...', 'dim'
        return
    found = state.overview
    yield counted(len(found.queues), 'queue'), 'bold'
    before = ':'
    for name, what, style in _TOTALS:
        count, rate = found.total.get(name, 0), found.rates.get(name)
        yield f'{before} {grouped(count)} {what}', style if count else ''
        if rate is not None and name != 'started' and rate_text(rate) != '0':
            yield f' ({rate_text(rate)}/s)', ''
        before = ','
    states = ', '.join(f'{count} {printable(name)}' for name, count in sorted(found.states.items()))
    yield '  ', ''
    yield counted(sum(found.states.values()), 'worker'), 'bold'
    yield (f': {states}' if states else ''), ''
    if found.processed is not None:
        yield f', {rate_text(found.processed).lstrip("+")} jobs/s', ''


# ---- The panels


def _panels(state: State) -> Iterator[Line]:
    yield from _header(state)
    for view, height in state.heights().items():
        yield from _panel(state, view, height)


def _panel(state: State, view: str, height: int) -> Iterator[Line]:
    is_chosen = view == state.view
    rows = state.rows(view)
    selected = state.index(view, rows)
    first = selected // height * height if height else 0
    shown = rows[first : first + height]
    yield _panel_title(state, view, len(rows), first, len(shown))
    order = state.order_of(view)
    columns = fitted(_columns(state, view), state.width - 1)
    if is_chosen:
        yield title_line(columns, order.name, order.is_descending is not state.panels[view].is_reversed)
    if not rows and height:
        yield [(f' {_empty(state, view)}', 'dim')]
        height -= 1
    for number, row in enumerate(shown, first):
        yield row_line(columns, row, state.now, is_chosen and number == selected)
    if is_chosen:
        yield from ([] for _ in range(height - len(shown)))


def _columns(state: State, view: str) -> tuple[Column, ...]:
    total = {} if state.overview is None else state.overview.total
    return tuple(column for column in COLUMNS[view] if column.order not in _RARE or total.get(column.order))


def _panel_title(state: State, view: str, count: int, first: int, shown: int) -> Line:
    is_chosen = view == state.view
    panel = state.panels[view]
    number = VIEWS.index(view) + 1
    parts = [f'{number} {_TITLES[view]}']
    if panel.search:
        parts.append(f'filter: {printable(panel.search.text)}')
    if count:
        parts.append(f'{first + 1}-{first + shown} of {grouped(count)}' if shown else grouped(count))
    if view == 'errors' and state.groups is not None and state.now - state.groups.timestamp > _OLD:
        parts.append(f'counted {duration_text(state.now - state.groups.timestamp)} ago')
    found = {'failed': state.failures, 'errors': state.groups, 'queues': state.overview}.get(view)
    if found is not None:
        parts += map(printable, found.left_out)
    return [(rule(parts, state.width, is_chosen), 'focus' if is_chosen else 'panel')]


def _empty(state: State, view: str) -> str:
    is_unread = {'failed': state.failures, 'errors': state.groups}.get(view, state.overview) is None
    if is_unread or (view == 'failed' and state.failures and state.failures.search != state.panels[view].search.text):
        return 'reading...'
    return 'nothing matches the filter' if state.panels[view].search else _NONE[view]


# ---- A text


def _text(state: State, text: Text) -> Iterator[Line]:
    page = state.page
    last = min(text.offset + page, len(text.lines))
    parts = [printable(text.title), f'{text.offset + 1}-{last} of {len(text.lines)}']
    yield [(rule(parts, state.width, is_thick=True), 'focus')]
    for line in text.lines[text.offset : last]:
        yield [(printable(line), '')]


# ---- Below


def _status(state: State) -> Line:
    if state.question is not None:
        # The end must be seen, whatever the names are.
        return [(cut(state.question, state.width - len(_ANSWERS)), 'error'), (_ANSWERS, 'error')]
    if state.typed is not None:
        return [('/', 'bold'), (printable(state.typed), ''), ('_', 'selected')]
    if state.running is not None:
        return [(state.running, 'yellow')]
    if state.counting is not None:
        return [('counting... (Esc stops it)', 'yellow')]
    if state.message:
        return [(printable(state.message), 'bold')]
    if state.text is None:
        return _about(state)
    return []


def _about(state: State) -> Line:
    """Return what there is no room for in the selected row."""
    row = state.selected()
    if isinstance(row, FailureRow):
        worker = f', by {printable(row.worker_name)}' if row.worker_name else ''
        return [(f'job {printable(row.job_id)} of {printable(row.queue)}{worker}', 'dim')]
    if isinstance(row, GroupRow):
        return [(f'in {printable(", ".join(row.queues))}; latest {printable(row.example or "-")}', 'dim')]
    return []


def _keys(state: State) -> Line:
    if state.text is not None:
        can_change = state.text.row is not None and not state.is_read_only
        return _of_keys([('↑↓', 'scroll'), *([('r', 'requeue'), ('d', 'delete')] if can_change else []), ('q', 'back')])
    changes = [] if state.is_read_only else [('r', 'requeue'), ('d', 'delete')]
    keys = [('Tab', 'panel'), ('Enter', 'open'), ('/', 'filter'), ('s', 'sort')]
    return _of_keys([*keys, *changes, ('?', 'help'), ('q', 'quit')])


def _of_keys(keys: list[tuple[str, str]]) -> Line:
    return [span for key, what in keys for span in ((f'{key} ', 'bold'), (f'{what}  ', ''))]
