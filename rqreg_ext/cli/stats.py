"""`rqreg stats`: the jobs of queues and registries, and the workers."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from .._all_queues.snapshot import NAMES, QueueSnapshot, Snapshot, snapshot
from .._fastpath.server_errors import describe
from . import statuses
from .output import Column, counted, duration_text, output_option, print_json, print_json_lines, table_lines
from .parameters import Seconds
from .server import Server, mistyped_queues, queue_names, server_options
from .terminal import has_colours, say, width_of

# What is left out of the table if no queue has any.
_RARE = ('deferred', 'scheduled', 'canceled', 'ready')
_SHORT = {
    'queued': 'queue',
    'started': 'start',
    'finished': 'finish',
    'failed': 'fail',
    'deferred': 'defer',
    'scheduled': 'sched',
    'canceled': 'cancel',
    'ready': 'ready',
}
SORTS = ('name', *NAMES, 'oldest', 'workers')


@click.command()
@click.argument('queues', nargs=-1, shell_complete=queue_names)
@click.option(
    '--sort',
    type=click.Choice(SORTS),
    default='name',
    show_default=True,
    metavar='COLUMN',
    help=f'The largest, or oldest, first: {", ".join(SORTS)}.',
)
@click.option('--watch', type=Seconds(), metavar='SECONDS', help='Count again and again, and show what has changed.')
@output_option('table', 'json', 'jsonl')
@server_options
def stats(server: Server, queues: Sequence[str], sort: str, watch: float | None, output: str) -> None:
    """Count the jobs of QUEUES (names or globs; all by default) and of their registries, and the workers.

    Nothing is changed. `oldest` is how long the job has waited that waits longest. With --watch, the numbers in
    brackets are the differences to the count before; --output jsonl then prints the queues of each count.
    """
    before = None
    while True:
        with mistyped_queues():
            taken = snapshot(server.client, server.named(queues), oldest=True)
        _print(taken, before, _sorted(taken.values(), sort), output, clear=watch is not None)
        if watch is None:
            raise click.exceptions.Exit(statuses.INCOMPLETE if taken.errors else statuses.DONE)
        before = taken
        time.sleep(watch)


def _sorted(queues: Iterable[QueueSnapshot], sort: str) -> list[QueueSnapshot]:
    def key(queue: QueueSnapshot) -> Any:
        if sort == 'oldest':
            return -(_age(queue) or 0.0)
        return -_worker_count(queue) if sort == 'workers' else -queue[sort]

    by_name = sorted(queues, key=lambda queue: queue.name)
    return by_name if sort == 'name' else sorted(by_name, key=key)


def _age(queue: QueueSnapshot) -> float | None:
    try:
        return queue.oldest_age
    except Exception:
        # The user may not read jobs: counts are still of use.
        return None


def _workers(of: QueueSnapshot | Snapshot) -> dict[str, int] | None:
    try:
        return dict(of.workers)
    except Exception:
        # Nor workers.
        return None


def _worker_count(of: QueueSnapshot | Snapshot) -> int:
    return sum((_workers(of) or {}).values())


def _print(taken: Snapshot, before: Snapshot | None, queues: Sequence[QueueSnapshot], output: str, clear: bool) -> None:
    if output == 'json':
        print_json(_as_json(taken, before, queues))
    elif output == 'jsonl':
        print_json_lines({'time': taken.time, **_queue_as_json(queue, taken, before)} for queue in queues)
    else:
        if clear and sys.stdout.isatty():
            sys.stdout.write('\x1b[H\x1b[2J\x1b[3J')
        _print_table(taken, before, queues)
    for name, error in taken.errors.items():
        say(f'queue {name!r} was left out: {describe(error)}')


# ---- JSON


def _as_json(taken: Snapshot, before: Snapshot | None, queues: Sequence[QueueSnapshot]) -> dict[str, Any]:
    return {
        'time': taken.time,
        'queues': [_queue_as_json(queue, taken, before) for queue in queues],
        'total': dict(taken.total),
        'workers': _workers(taken),
        'errors': {name: describe(error) for name, error in taken.errors.items()},
    }


def _queue_as_json(queue: QueueSnapshot, taken: Snapshot, before: Snapshot | None) -> dict[str, Any]:
    age = _age(queue)
    found: dict[str, Any] = {
        'queue': queue.name,
        **queue,
        'oldest': None if age is None else queue.oldest,
        'oldest_age': age,
        'workers': _workers(queue),
    }
    if before is not None:
        seconds = taken.timestamp - before.timestamp
        changes = _changes(queue, before.get(queue.name))
        found['changes'] = changes
        found['rates'] = {name: change / seconds if seconds > 0 else None for name, change in changes.items()}
    return found


def _changes(counts: Mapping[str, int], earlier: Mapping[str, int] | None) -> dict[str, int]:
    """Return the differences to the count before; 0 if there was none."""
    return {name: 0 if earlier is None else counts[name] - earlier[name] for name in NAMES}


# ---- The table


def _print_table(taken: Snapshot, before: Snapshot | None, queues: Sequence[QueueSnapshot]) -> None:
    shown = [name for name in NAMES if name not in _RARE or taken.total[name]]
    columns = [Column('queue')]
    for name in shown:
        columns.append(Column(name, _SHORT[name], is_number=True))
        if name == 'queued':
            columns.append(Column('oldest', is_number=True))
    columns.append(Column('workers', 'work', is_number=True))
    rows = [_row(queue, shown, before) for queue in queues]
    if len(queues) > 1:
        total = None if before is None else before.total
        rows.append(['total', *_counts(taken.total, shown, total, '-'), str(_worker_count(taken))])
    for line in table_lines(columns, rows, width_of(sys.stdout), has_colours(sys.stdout)):
        print(line)
    print(_footer(taken, before), flush=True)


def _row(queue: QueueSnapshot, shown: Sequence[str], before: Snapshot | None) -> list[str]:
    earlier = None if before is None else before.get(queue.name)
    oldest = duration_text(_age(queue))
    return [queue.name, *_counts(queue, shown, earlier, oldest), str(_worker_count(queue))]


def _counts(
    counts: Mapping[str, int], shown: Sequence[str], before: Mapping[str, int] | None, oldest: str
) -> list[str]:
    changes = _changes(counts, before)
    cells = []
    for name in shown:
        cells.append(f'{counts[name]} ({changes[name]:+})' if changes[name] else str(counts[name]))
        if name == 'queued':
            cells.append(oldest)
    return cells


def _footer(taken: Snapshot, before: Snapshot | None) -> str:
    try:
        states = ', '.join(f'{count} {state}' for state, count in sorted(taken.workers.items()))
        line = f'{counted(sum(taken.workers.values()), "worker")}{f": {states}" if states else ""}'
    except Exception as error:
        line = f'workers not read ({describe(error)})'
    if before is None:
        return line
    seconds = taken.timestamp - before.timestamp
    rates = [
        f'{name} {change / seconds:+.1f}/s'
        for name, change in _changes(taken.total, before.total).items()
        if change and seconds > 0
    ]
    return f'{line}\nin {seconds:.1f} s: {", ".join(rates) or "no change"}'
