"""What the screen is drawn from: the data, and what was chosen by keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..._all_queues.snapshot import NAMES
from .data import VIEWS, FailureRow, FailuresView, Groups, Overview, Row
from .search import Search

# A screen smaller than this has room for the chosen panel only.
_FEW_LINES = 16
# Lines above and below the panels.
_HEADER = 2
_FOOTER = 2


# ---- Sorting


class Order(NamedTuple):
    """A way to sort.

    Attributes:
        name: Its name.
        key: Called with a row; returns what is compared.
        is_descending: Whether the greatest comes first.
    """

    name: str
    key: Callable[[Any], Any]
    is_descending: bool = True


def _count(name: str) -> Order:
    return Order(name, lambda queue: queue.counts[name])


def _rate(name: str) -> Order:
    return Order(f'{name}/s', lambda queue: queue.rates.get(name, 0.0))


ORDERS: dict[str, tuple[Order, ...]] = {
    'queues': (
        _count('queued'),
        _rate('queued'),
        Order('oldest', lambda queue: -(queue.oldest or float('inf'))),
        _count('failed'),
        _rate('failed'),
        _count('started'),
        _count('finished'),
        _rate('finished'),
        Order('workers', lambda queue: queue.workers),
        *(_count(name) for name in NAMES if name not in ('queued', 'failed', 'started', 'finished')),
        Order('name', lambda queue: queue.name, is_descending=False),
    ),
    'workers': (
        # Those that run something first, that which runs longest at the top.
        Order('since', lambda worker: -(worker.since or float('inf'))),
        Order('name', lambda worker: worker.name, is_descending=False),
        Order('state', lambda worker: worker.state, is_descending=False),
        Order('runs', lambda worker: worker.func_name or '', is_descending=False),
        Order('done', lambda worker: worker.succeeded + worker.failed),
        Order('failed', lambda worker: worker.failed),
    ),
    'failed': (
        Order('ended', lambda job: job.end or 0.0),
        Order('queue', lambda job: job.queue, is_descending=False),
        Order('function', lambda job: job.func_name or '', is_descending=False),
        Order('error', lambda job: job.exc_type or '', is_descending=False),
    ),
    'errors': (
        Order('count', lambda group: group.jobs),
        Order('last', lambda group: group.last or 0.0),
        Order('function', lambda group: group.func_name or '', is_descending=False),
        Order('error', lambda group: group.exc_type or '', is_descending=False),
    ),
}


# ---- What keys have chosen


@dataclass
class Panel:
    """What was chosen for one of the views.

    Attributes:
        order: The index of the order.
        is_reversed: Whether the order is the other way round.
        search: Which rows are shown.
        selected: What the selected row is found by; None for the first row, whichever that is.
        index: Where that row was.
    """

    order: int = 0
    is_reversed: bool = False
    search: Search = field(default_factory=Search)
    selected: Any = None
    index: int = 0


@dataclass
class Text:
    """A text that fills the screen: a job, or the help.

    Attributes:
        title: What it is.
        lines: Its lines.
        row: The failed job that it is about, which can be changed.
        offset: How many lines are above the screen.
    """

    title: str
    lines: Sequence[str]
    row: FailureRow | None = None
    offset: int = 0


@dataclass(frozen=True)
class Target:
    """The failed jobs that are to be changed.

    Attributes:
        verb: 'requeue' or 'delete'.
        job: The job; None for those that match the search.
        search: Which jobs.
    """

    verb: str
    job: FailureRow | None = None
    search: Search = field(default_factory=Search)


@dataclass
class State:
    """All that the screen is drawn from.

    Attributes:
        server: The name of the server.
        width, height: The size of the terminal.
        now: The server's time, a Unix timestamp.
        is_read_only: Whether no key changes jobs.
        is_paused: Whether the screen stands still.
        view: The view that keys work on.
        is_zoomed: Whether only that view is shown.
        overview, failures, groups: The data; None if it was not read yet.
        error: Why the data is not read any more.
        late: How old the data may be, in seconds, before that is shown.
        typed: The search that is being typed; None if none is.
        text: What fills the screen in the place of the panels.
        counting: The jobs that are being counted for a question.
        question: What is asked.
        running: How far the change is that is being made.
        message: What the last key has done.
    """

    server: str = ''
    width: int = 80
    height: int = 24
    now: float = 0.0
    is_read_only: bool = False
    is_paused: bool = False
    view: str = VIEWS[0]
    is_zoomed: bool = False
    overview: Overview | None = None
    failures: FailuresView | None = None
    groups: Groups | None = None
    error: str | None = None
    late: float = 5.0
    typed: str | None = None
    text: Text | None = None
    counting: Target | None = None
    question: str | None = None
    running: str | None = None
    message: str = ''
    panels: dict[str, Panel] = field(default_factory=lambda: {view: Panel() for view in VIEWS})

    @property
    def panel(self) -> Panel:
        """What was chosen for the view that keys work on."""
        return self.panels[self.view]

    @property
    def age(self) -> float:
        """How old the overview is, in seconds."""
        return 0.0 if self.overview is None else max(self.now - self.overview.timestamp, 0.0)

    @property
    def is_late(self) -> bool:
        """Whether the data is older than it should be."""
        return not self.is_paused and (self.error is not None or self.age > self.late)

    def order_of(self, view: str) -> Order:
        """Return the order of a view."""
        return ORDERS[view][self.panels[view].order]

    def rows(self, view: str) -> list[Any]:
        """Return the rows of a view that match its search, in its order."""
        panel, order = self.panels[view], self.order_of(view)
        found = [row for row in self.all_rows(view) if not panel.search or panel.search.matches(row.fields())]
        return sorted(found, key=order.key, reverse=order.is_descending is not panel.is_reversed)

    def all_rows(self, view: str) -> Sequence[Row]:
        """Return the rows of a view."""
        of_view = {'failed': self.failures, 'errors': self.groups}
        if view in of_view:
            found = of_view[view]
            return () if found is None else found.rows
        if self.overview is None:
            return ()
        return self.overview.queues if view == 'queues' else self.overview.workers

    def index(self, view: str, rows: Sequence[Any]) -> int:
        """Return the index of the selected row; of the one in its place if it is gone."""
        panel = self.panels[view]
        if panel.selected is None:
            return 0
        for index, row in enumerate(rows):
            if row.key == panel.selected:
                return index
        return max(min(panel.index, len(rows) - 1), 0)

    def selected(self) -> Row | None:
        """Return the selected row of the view that keys work on; None if there is no row."""
        rows: Sequence[Row] = self.rows(self.view)
        return rows[self.index(self.view, rows)] if rows else None

    def select(self, index: int) -> None:
        """Select the row at this index, or the nearest to it."""
        rows = self.rows(self.view)
        panel = self.panel
        panel.index = max(min(index, len(rows) - 1), 0)
        # The first row is followed by its place: what comes before it is selected then.
        panel.selected = rows[panel.index].key if panel.index else None

    # ---- How the lines of the screen are shared

    @property
    def header_height(self) -> int:
        """How many lines are above the panels."""
        return _HEADER + self.is_late

    def heights(self) -> dict[str, int]:
        """Return how many rows of each view are shown, without titles; views that are not shown are left out."""
        left = self.height - self.header_height - _FOOTER
        # The title of the panel, and the titles of its columns.
        if self.is_zoomed or self.height < _FEW_LINES:
            return {self.view: max(left - 2, 0)}
        left -= len(VIEWS) + 1
        heights = {view: min(len(self.rows(view)), max(left // 7, 1)) for view in VIEWS if view != self.view}
        # An empty panel has a line that says so.
        heights = {view: max(height, 1) for view, height in heights.items()}
        return {view: heights.get(view, left - sum(heights.values())) for view in VIEWS}

    @property
    def page(self) -> int:
        """How many lines a page has."""
        if self.text is not None:
            return max(self.height - 3, 1)
        return max(self.heights()[self.view], 1)
