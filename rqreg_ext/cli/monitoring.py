"""`rqreg check`: a line and an exit status for Nagios, Icinga and the like, and for Kubernetes."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from enum import IntEnum
from functools import partial
from typing import Any, NamedTuple

import click

from .._all_queues.count_by import count_by
from .._all_queues.snapshot import Snapshot, snapshot
from .._fastpath.server_errors import Meaning, describe, meaning_of
from .filters import queue_options
from .output import counted, duration_text, printable
from .parameters import Seconds, seconds_of
from .server import Server, mistyped_queues, server_options
from .statuses import is_of_server

UNITS = {'s': 1, 'm': 60, 'h': 3600, 'd': 86400}


class State(IntEnum):
    """The exit statuses of monitoring plugins."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


# The worst last.
_BY_SEVERITY = (State.OK, State.WARNING, State.UNKNOWN, State.CRITICAL)


class Threshold(NamedTuple):
    """What WARNING:CRITICAL gives, None for a bound that was left out; and of which queue, None for all of them."""

    queue: str | None
    warning: float | None
    critical: float | None
    # Of a rate: how many seconds it is of.
    window: int = 0

    def state(self, value: float, is_least: bool = False) -> State:
        """Return the state of a value: more than a bound is wrong, or less if the bounds are the least."""
        for bound, state in ((self.critical, State.CRITICAL), (self.warning, State.WARNING)):
            if bound is not None and (value < bound if is_least else value > bound):
                return state
        return State.OK


class _Bounds(click.ParamType):  # type: ignore[type-arg]
    """[QUEUE=]WARNING:CRITICAL, or CRITICAL only."""

    name = 'bounds'

    def __init__(self, parse: Callable[[str], tuple[float, int]], example: str, has_queue: bool = True) -> None:
        self._parse = parse
        self._example = example
        self._has_queue = has_queue

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Threshold:
        """Return the threshold."""
        if isinstance(value, Threshold):
            return value
        queue, equals, bounds = value.rpartition('=')
        warning, colon, critical = bounds.partition(':')
        if not colon:
            warning, critical = '', bounds
        try:
            if (equals and not (queue and self._has_queue)) or not (warning or critical):
                raise ValueError
            parsed = [self._parse(text) if text else None for text in (warning, critical)]
            windows = {found[1] for found in parsed if found is not None}
            if len(windows) > 1 or any(found is not None and not math.isfinite(found[0]) for found in parsed):
                raise ValueError
        except ValueError:
            self.fail(f'{value!r}: give WARNING:CRITICAL, like {self._example}', param, ctx)
        low, high = (None if found is None else found[0] for found in parsed)
        return Threshold(queue or None, low, high, windows.pop())


def _number(text: str) -> tuple[float, int]:
    return float(text), 0


def _seconds(text: str) -> tuple[float, int]:
    return seconds_of(text), 0


def _rate(text: str) -> tuple[float, int]:
    number, _, unit = text.partition('/')
    if unit not in UNITS:
        raise ValueError
    return float(number), UNITS[unit]


class Measure(NamedTuple):
    """What was measured.

    Attributes:
        label: Its name in the performance data.
        value: Its value.
        unit: 's' for seconds, '' for a number.
        text: What is said of it.
        threshold: Its bounds, None if it has none.
        is_least: Whether these are the least, not the most.
    """

    label: str
    value: float
    unit: str
    text: str
    threshold: Threshold | None = None
    is_least: bool = False

    @property
    def state(self) -> State:
        """Its state."""
        return State.OK if self.threshold is None else self.threshold.state(self.value, self.is_least)

    @property
    def performance(self) -> str:
        """It as performance data of monitoring plugins."""
        # A label must have no quote and no equals sign.
        label = printable(self.label).translate({ord("'"): '_', ord('='): '_'})
        bounds = (None, None) if self.threshold is None else (self.threshold.warning, self.threshold.critical)
        ranges = ['' if bound is None else f'{_shown(bound)}{":" * self.is_least}' for bound in bounds]
        return f"'{label}'={_shown(self.value)}{self.unit};{ranges[0]};{ranges[1]};0"


def _shown(value: float) -> str:
    return f'{value:.0f}' if value == int(value) else f'{value:.3f}'


@click.command()
@queue_options
@click.option(
    '--latency', multiple=True, type=_Bounds(_seconds, 'mail=60:300 or 5m:1h'), help='How long a job may wait.'
)
@click.option(
    '--failed', multiple=True, type=_Bounds(_number, '100:1000 or mail=100:1000'), help='How many failed jobs.'
)
@click.option('--queued', multiple=True, type=_Bounds(_number, '100:1000 or mail=100:1000'), help='How many wait.')
@click.option(
    '--failed-rate', type=_Bounds(_rate, '10/m:50/m', has_queue=False), help='How many may fail in a minute (h, d).'
)
@click.option('--workers', multiple=True, type=_Bounds(_number, '2:1 or mail=1:'), help='How many workers at least.')
@click.option('--stuck', type=_Bounds(_seconds, '10m:1h', has_queue=False), help='How long a worker may run a job.')
@click.option('--probe', is_flag=True, help='End with 0 if it is OK or WARNING, else with 1.')
@click.option('--timeout', type=Seconds(), default='10', show_default=True, help='CRITICAL after so long.')
@server_options
def check(server: Server, probe: bool, timeout: float, **given: Any) -> None:
    """Compare queues with bounds, and end as monitoring plugins do: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.

    Bounds are [QUEUE=]WARNING:CRITICAL; one of the two may be left out, and a number alone is CRITICAL. Without a
    queue, they are of all queues, or those of --queue, together; for --latency, of each.
    """
    handler = signal.signal(signal.SIGALRM, _time_is_up)
    try:
        signal.setitimer(signal.ITIMER_REAL, timeout)
        state, text, performance = _outcome(server, **given)
    except click.ClickException:
        raise
    except _TimeIsUp:
        state, text, performance = State.CRITICAL, f'no answer within {timeout:g} s', ''
    except Exception as error:
        # Without an answer, the queues do not work either.
        state = State.CRITICAL if _is_unreachable(error) else State.UNKNOWN
        text, performance = describe(error), ''
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    # In the text, the bar begins the performance data.
    line = printable(f'RQ {state.name} - {text}').replace('|', '/')
    print(f'{line} | {performance}' if performance else line, flush=True)
    raise click.exceptions.Exit(int(state in (State.CRITICAL, State.UNKNOWN)) if probe else int(state))


class _TimeIsUp(BaseException):
    """The command took longer than it may. No handler of others takes it for an error of the server."""


def _time_is_up(*_: object) -> None:
    raise _TimeIsUp


def _is_unreachable(error: Exception) -> bool:
    return is_of_server(error) and meaning_of(error) is Meaning.NO_ANSWER


def _outcome(server: Server, **given: Any) -> tuple[State, str, str]:
    """Return the state, what is said of it, and the performance data."""
    with mistyped_queues():
        names = server.named(given['patterns'])
        of_one_queue = {t.queue for name in ('latency', 'failed', 'queued', 'workers') for t in given[name]} - {None}
        if names is not None:
            names = list(dict.fromkeys((*names, *sorted(map(str, of_one_queue)))))
        needs_details = given['stuck'] is not None or (names is not None and bool(given['workers']))
        taken = snapshot(server.client, names, oldest=True, worker_details=needs_details)
    for name in of_one_queue:
        if name not in taken and name not in taken.errors:
            raise click.UsageError(f'there is no queue {name!r}. RQ knows {", ".join(map(printable, taken)) or "none"}')
    measures = list(_measures(server, taken, names, given))
    state = max((measure.state for measure in measures), key=_BY_SEVERITY.index)
    wrong = [measure.text for measure in measures if measure.state is not State.OK]
    if taken.errors:
        state = max(state, State.UNKNOWN, key=_BY_SEVERITY.index)
        wrong += [f'queue {name} not read: {describe(error)}' for name, error in taken.errors.items()]
    text = ', '.join(wrong or [measure.text for measure in measures])
    return state, text, ' '.join(measure.performance for measure in measures)


def _measures(
    server: Server, taken: Snapshot, names: Sequence[str] | None, given: Mapping[str, Any]
) -> Iterator[Measure]:
    for name, what in (('queued', 'waiting'), ('failed', 'failed')):
        for threshold in given[name] or [None]:
            queue = threshold and threshold.queue
            count = taken.total[name] if queue is None else _of(taken, queue, name)
            yield Measure(_label(name, queue), count, '', f'{count} {what}{_in(queue)}', threshold)
    for measure, thresholds in ((_latency, given['latency']), (partial(_workers, names), given['workers'])):
        for threshold in thresholds:
            yield measure(taken, threshold)
        if not thresholds:
            # A value without bounds is left out if the user may not read it.
            try:
                yield measure(taken, None)
            except Exception as error:
                if not is_of_server(error):
                    raise
    if given['stuck'] is not None:
        yield _stuck(taken, names, given['stuck'])
    if given['failed_rate'] is not None:
        yield _failed_rate(server, taken, names, given['failed_rate'])


def _of(taken: Snapshot, queue: str, name: str) -> int:
    return taken[queue][name] if queue in taken else 0


def _label(name: str, queue: str | None) -> str:
    return name if queue is None else f'{queue}_{name}'


def _in(queue: str | None) -> str:
    return '' if queue is None else f' in {queue}'


def _latency(taken: Snapshot, threshold: Threshold | None) -> Measure:
    queue = None if threshold is None else threshold.queue
    queues = [name for name in taken if queue in (None, name)]
    ages = {name: taken[name].oldest_age or 0.0 for name in queues}
    slowest = max(ages, key=lambda name: ages[name], default=None)
    age = max(0.0, ages[slowest]) if slowest is not None else 0.0
    text = f'oldest job waits {duration_text(age)} in {slowest}' if age else f'no job waits{_in(queue)}'
    return Measure(_label('latency', queue), age, 's', text, threshold)


def _workers(names: Sequence[str] | None, taken: Snapshot, threshold: Threshold | None) -> Measure:
    queue = None if threshold is None else threshold.queue
    if queue is not None:
        count = sum(taken[queue].workers.values()) if queue in taken else 0
    elif names is not None and threshold is not None:
        count = sum(bool({*worker.queues} & {*names}) for worker in taken.worker_details.values())
    else:
        count = sum(taken.workers.values())
    return Measure(
        _label('workers', queue), count, '', f'{counted(count, "worker")}{_in(queue)}', threshold, is_least=True
    )


def _stuck(taken: Snapshot, names: Sequence[str] | None, threshold: Threshold) -> Measure:
    running = {
        f'{worker.name} has run job {worker.current_job_id}': taken.timestamp
        - worker.current_job_started_at.timestamp()
        for worker in taken.worker_details.values()
        if worker.current_job_started_at is not None and (names is None or {*worker.queues} & {*names})
    }
    longest = max(running, key=lambda text: running[text], default=None)
    seconds = max(0.0, running[longest]) if longest is not None else 0.0
    text = 'no worker runs a job' if longest is None else f'worker {longest} for {duration_text(seconds)}'
    return Measure('longest_job', seconds, 's', text, threshold)


def _failed_rate(server: Server, taken: Snapshot, names: Sequence[str] | None, threshold: Threshold) -> Measure:
    since = datetime.now(timezone.utc) - timedelta(seconds=threshold.window)
    found = count_by(server.client, 'status', queues=names, ended_after=since)
    if found.errors and not taken.errors:
        raise next(iter(found.errors.values()))
    count = sum(group.count for group in found)
    unit = next(unit for unit, seconds in UNITS.items() if seconds == threshold.window)
    return Measure(f'failed_per_{unit}', count, '', f'{count} failed in the last {unit}', threshold)
