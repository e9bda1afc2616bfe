"""States with data, for tests of what is drawn and of what keys do."""

from __future__ import annotations

from typing import Any

from rqreg_ext._all_queues.snapshot import NAMES
from rqreg_ext.cli.top.data import FailureRow, FailuresView, GroupRow, Groups, Overview, QueueRow, WorkerRow
from rqreg_ext.cli.top.draw import draw
from rqreg_ext.cli.top.state import State

NOW = 1_790_000_000.0


def queue(name: str, rates: dict[str, float] | None = None, oldest: float | None = None, **counts: int) -> QueueRow:
    given = {**dict.fromkeys(NAMES, 0), **counts}
    return QueueRow(name, given, None if oldest is None else NOW - oldest, 1, rates or {})


def worker(name: str, state: str = 'idle', **values: Any) -> WorkerRow:
    given = {'job_id': None, 'func_name': None, 'since': None, 'heartbeat': NOW - 5, 'succeeded': 0, 'failed': 0}
    return WorkerRow(name, state, ('mail',), **{**given, **values})


def failure(job_id: str, queue: str = 'mail', ago: float = 60.0, **values: Any) -> FailureRow:
    given = {'func_name': 'shop.send_mail', 'exc_type': 'shop.MailServerDown', 'exc_message': 'refused'}
    return FailureRow(job_id, queue, **{**given, 'worker_name': 'w1', **values}, end=NOW - ago)


def group(func_name: str | None, exc_type: str | None, count: int, *queues: str) -> GroupRow:
    return GroupRow(func_name, exc_type, count, NOW - 7200, NOW - 60, queues or ('mail',), 'job-1', '▁ █')


def overview(*queues: QueueRow, workers: tuple[WorkerRow, ...] = (), **values: Any) -> Overview:
    total = {name: sum(row.counts[name] for row in queues) for name in NAMES}
    states: dict[str, int] = {}
    for row in workers:
        states[row.state] = states.get(row.state, 0) + 1
    return Overview(NOW, queues, workers, total, states=states, **values)


def state(**values: Any) -> State:
    """Return a state of a web shop."""
    found = State(server='localhost:6379, database 0', now=NOW)
    found.overview = overview(
        queue('labels', failed=40),
        queue('mail', {**dict.fromkeys(NAMES, 0.0), 'queued': 2.5}, 90.0, queued=12_345, failed=40, started=1),
        queue('supply', failed=3, finished=3),
        workers=(
            worker('w1', 'busy', job_id='job-9', func_name='shop.send_mail', since=NOW - 12, succeeded=20, failed=3),
            worker('w2'),
        ),
    )
    found.failures = FailuresView('', tuple(failure(f'job-{number}', ago=60.0 + number) for number in range(30)))
    found.groups = Groups(
        NOW, (group('shop.print_label', 'KeyError', 40, 'labels'), group('shop.send_mail', 'shop.MailServerDown', 30))
    )
    for name, value in values.items():
        setattr(found, name, value)
    return found


def lines(of: State) -> list[str]:
    """Return the screen as text."""
    return [''.join(text for text, _ in line).rstrip() for line in draw(of)]
