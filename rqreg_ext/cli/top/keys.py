"""What keys do: a key changes the state, and may ask for something that is not done at once."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from .data import VIEWS, FailureRow, GroupRow, QueueRow, WorkerRow
from .search import Search, search_for
from .state import ORDERS, State, Target, Text

# ---- From bytes to keys

_SEQUENCES = {
    '[A': 'up',
    '[B': 'down',
    '[C': 'right',
    '[D': 'left',
    '[H': 'home',
    '[F': 'end',
    '[Z': 'backtab',
    '[1~': 'home',
    '[4~': 'end',
    '[5~': 'pageup',
    '[6~': 'pagedown',
    '[7~': 'home',
    '[8~': 'end',
}
_CONTROLS = {
    '\t': 'tab',
    '\r': 'enter',
    '\n': 'enter',
    '\x7f': 'backspace',
    '\x08': 'backspace',
    '\x02': 'pageup',
    '\x06': 'pagedown',
    '\x0c': 'redraw',
    '\x15': 'clear',
}


class KeyReader:
    """Makes keys of what a terminal sends. The rest of an escape sequence may come later."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder('utf-8')('replace')
        self._pending = ''

    @property
    def is_waiting(self) -> bool:
        """Whether an escape sequence has begun: if nothing follows, it was the key Escape."""
        return bool(self._pending)

    def feed(self, data: bytes) -> list[str]:
        """Return the keys that are complete."""
        text = self._pending + self._decoder.decode(data)
        self._pending = ''
        keys = []
        while text:
            if text[0] != '\x1b':
                keys.append(_CONTROLS.get(text[0], text[0]))
                text = text[1:]
                continue
            length = _length_of(text)
            if length is None:
                self._pending = text
                break
            keys.append(_key_of(text[1:length]))
            text = text[length:]
        return [key for key in keys if key]

    def end(self) -> list[str]:
        """Return the keys that are left if nothing follows."""
        pending, self._pending = self._pending, ''
        return ['escape', *pending[1:]] if pending else []


def _length_of(text: str) -> int | None:
    """Return how long the escape sequence is that the text begins with; None if more of it must come."""
    if len(text) < 2:
        return None
    if text[1] not in '[O':
        # Two keys, or one with Alt: Escape by itself.
        return 1
    for index, character in enumerate(text[2:], 2):
        if '\x40' <= character <= '\x7e':
            return index + 1
        if not '\x20' <= character <= '\x3f':
            return index
    return None


def _key_of(sequence: str) -> str:
    if not sequence:
        return 'escape'
    # With application cursor keys, O stands for [.
    return _SEQUENCES.get('[' + sequence[1:], '')


# ---- What is asked for


@dataclass(frozen=True)
class Quit:
    """End the command."""


@dataclass(frozen=True)
class Refresh:
    """Read everything again, now."""


@dataclass(frozen=True)
class FindFailures:
    """Look for the newest failed jobs that match."""

    search: Search


@dataclass(frozen=True)
class OpenJob:
    """Read all of a job. `row` is the failed job, if it is one."""

    job_id: str
    row: FailureRow | None = None


@dataclass(frozen=True)
class Count:
    """Count the jobs, and ask whether to change them."""

    target: Target


@dataclass(frozen=True)
class Change:
    """Change the jobs that were counted."""

    target: Target


@dataclass(frozen=True)
class Stop:
    """Stop what is being counted or changed."""


Request = Quit | Refresh | FindFailures | OpenJob | Count | Change | Stop


# ---- What a key does

HELP = (
    'Tab, Shift-Tab, 1 to 4   the next panel, the one before, one of the four',
    'z                        this panel alone; all panels again',
    'Up, Down, k, j           the row above, the row below',
    'PgUp, PgDn, Home, End    a page up or down; the first row, the last row',
    'Enter                    of a queue or an error: its failed jobs',
    '                         of a worker: the job that it runs',
    '                         of a failed job: all of it',
    's, S                     sort by the next column; the other way round',
    '/                        show rows that have these words, or values:',
    '                         queue=mail-* func= exc= id= worker= state=',
    'Esc                      show all rows again; stop a change',
    'r, d                     requeue or delete the selected failed job,',
    '                         or all jobs of the selected error',
    'R, D                     requeue or delete all failed jobs that match',
    '                         the filter (the question says how many)',
    'p, Space                 pause, and go on',
    'u                        read everything again, now',
    'q, Ctrl-C                quit',
)
_VERBS = {'r': 'requeue', 'd': 'delete'}


def press(state: State, key: str) -> Request | None:
    """Change the state as the key says, and return what else is to be done."""
    state.message = ''
    if state.question is not None:
        return _answer(state, key)
    if state.counting is not None:
        # Whatever is typed now must be no answer to the question that comes.
        return Stop() if key == 'escape' else Quit() if key == 'q' else None
    if state.typed is not None:
        return _type(state, key)
    if key == 'escape' and state.running is not None:
        return Stop()
    if state.text is not None:
        return _read(state, state.text, key)
    return _choose(state, key)


def _answer(state: State, key: str) -> Request | None:
    target = state.counting
    state.question = state.counting = None
    if key in ('y', 'Y') and target is not None:
        state.running = f'{target.verb}...'
        return Change(target)
    state.message = 'nothing was changed'
    return None


def _type(state: State, key: str) -> Request | None:
    typed = state.typed or ''
    if key == 'enter':
        state.typed = None
        return _search(state, Search(typed))
    if key == 'escape':
        state.typed = None
    elif key == 'backspace':
        state.typed = typed[:-1] if typed else None
    elif key == 'clear':
        state.typed = ''
    elif len(key) == 1 and key.isprintable():
        state.typed = typed + key
    return None


def _search(state: State, search: Search) -> Request | None:
    state.panel.search = search
    state.panel.selected = None
    return FindFailures(search) if state.view == 'failed' else None


def _read(state: State, text: Text, key: str) -> Request | None:
    """Handle a key while a text fills the screen."""
    moves = _moves(state.page, len(text.lines))
    if key in moves:
        text.offset = max(min(text.offset + moves[key], len(text.lines) - state.page), 0)
    elif key in ('q', 'escape', 'enter', 'backspace', 'left', '?'):
        state.text = None
    elif key in _VERBS:
        return _count(state, _VERBS[key], text.row)
    return None


def _choose(state: State, key: str) -> Request | None:
    """Handle a key while the panels are shown."""
    panel = state.panel
    moves = _moves(state.page, len(state.rows(state.view)))
    if key in moves:
        state.select(state.index(state.view, state.rows(state.view)) + moves[key])
    elif key in ('tab', 'backtab', 'right', 'left'):
        step = 1 if key in ('tab', 'right') else -1
        state.view = VIEWS[(VIEWS.index(state.view) + step) % len(VIEWS)]
    elif key in ('1', '2', '3', '4'):
        state.view = VIEWS[int(key) - 1]
    elif key == 'z':
        state.is_zoomed = not state.is_zoomed
    elif key == 's':
        panel.order = (panel.order + 1) % len(ORDERS[state.view])
        panel.is_reversed = False
    elif key == 'S':
        panel.is_reversed = not panel.is_reversed
    elif key == '/':
        state.typed = panel.search.text
    elif key == 'escape':
        return _search(state, Search())
    elif key in ('p', ' '):
        state.is_paused = not state.is_paused
    elif key == '?':
        state.text = Text('help', HELP)
    elif key == 'u':
        return Refresh()
    elif key == 'q':
        return Quit()
    elif key == 'enter':
        return _open(state)
    elif key in _VERBS:
        row = state.selected()
        return _count(state, _VERBS[key], row if isinstance(row, (FailureRow, GroupRow)) else None)
    elif key.lower() in _VERBS:
        return _count_matching(state, _VERBS[key.lower()])
    return None


def _moves(page: int, length: int) -> dict[str, int]:
    """Return by how many lines keys move."""
    moves = {'up': -1, 'down': 1, 'pageup': -page, 'pagedown': page, 'home': -length, 'end': length}
    return {**moves, 'k': -1, 'j': 1, 'g': -length, 'G': length}


def _open(state: State) -> Request | None:
    row = state.selected()
    if isinstance(row, QueueRow):
        return _show_failed(state, search_for(queue=row.name))
    if isinstance(row, GroupRow):
        search = _search_of(row)
        if search is None:
            state.message = 'it has jobs without a function or an exception, which no filter selects'
            return None
        return _show_failed(state, search)
    if isinstance(row, WorkerRow):
        if row.job_id is None:
            state.message = 'this worker runs no job'
            return None
        return OpenJob(row.job_id)
    return None if row is None else OpenJob(row.job_id, row)


def _show_failed(state: State, search: Search) -> Request | None:
    state.view = 'failed'
    return _search(state, search)


def _search_of(group: GroupRow) -> Search | None:
    """Return the search for the jobs of a group; None if there is none, as they have no function or no exception."""
    if group.func_name is None or group.exc_type is None:
        return None
    return search_for(func=group.func_name, exc=group.exc_type)


def _count(state: State, verb: str, row: FailureRow | GroupRow | None) -> Request | None:
    """Ask for the number of jobs of a row."""
    if row is None:
        state.message = f'select a failed job, or an error, to {verb} it'
        return None
    if isinstance(row, FailureRow):
        return _ask(state, Target(verb, row))
    search = _search_of(row)
    if search is None:
        state.message = 'it has jobs without a function or an exception, which no filter selects'
        return None
    return _ask(state, Target(verb, search=search))


def _count_matching(state: State, verb: str) -> Request | None:
    if state.view != 'failed':
        state.message = f'{verb.title()} all that match is for the failed jobs: press 3 first'
        return None
    return _ask(state, Target(verb, search=state.panel.search))


def _ask(state: State, target: Target) -> Request | None:
    if state.is_read_only:
        state.message = f'--read-only was given: no key is to {target.verb} jobs'
        return None
    if state.running is not None:
        state.message = 'wait for what is under way, or stop it by Esc'
        return None
    state.counting = target
    return Count(target)
