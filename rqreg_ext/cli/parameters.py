"""Values on the command line: durations, rates, and times."""

from __future__ import annotations

import re
import sys
from datetime import datetime, timedelta, timezone
from typing import Any

import click

_UNITS = {'s': 'seconds', 'm': 'minutes', 'h': 'hours', 'd': 'days', 'w': 'weeks'}
_PART = re.compile(r'(\d+(?:\.\d+)?)([smhdw])')
_DURATION = re.compile(rf'(?:{_PART.pattern})+')


# Ten years: what waits for a duration takes no longer one.
_LONGEST = 10 * 366 * 86400


def _duration_of(text: str) -> timedelta | None:
    """Return a duration such as '90s', '15m', '2h', '30d' or '1h30m'; None if it is none.

    Raises OverflowError for one that is too long.
    """
    if not _DURATION.fullmatch(text):
        return None
    parts = [timedelta(**{_UNITS[unit]: float(number)}) for number, unit in _PART.findall(text)]
    return sum(parts, timedelta())


def seconds_of(text: str) -> float:
    """Return the seconds of a duration, or of a number of seconds. Raises ValueError for what is none, or too long."""
    try:
        duration = _duration_of(text)
    except OverflowError as error:
        raise ValueError(str(error)) from error
    seconds = float(text) if duration is None else duration.total_seconds()
    if not -_LONGEST <= seconds <= _LONGEST:
        raise ValueError('too long')
    return seconds


class Seconds(click.ParamType):  # type: ignore[type-arg]
    """A duration, or a number of seconds. Its value is a float."""

    name = 'duration'

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds."""
        if isinstance(value, float):
            return value
        try:
            seconds = seconds_of(value)
        except ValueError:
            seconds = 0.0
        if seconds <= 0:
            self.fail(
                f'{value!r} is not a duration: give a number of seconds, or one like 90s, 15m or 2h, up to ten years',
                param,
                ctx,
            )
        return seconds


class Count(click.IntRange):
    """A number of at least 1. One that no computer can count to is as good as none."""

    def __init__(self) -> None:
        super().__init__(min=1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number."""
        return min(int(super().convert(value, param, ctx)), sys.maxsize)


class Rate(click.ParamType):  # type: ignore[type-arg]
    """How many per second, minute or hour: '10/s', '100/m', '5000/h'. Its value is a float, per second."""

    name = 'rate'

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return how many per second."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r'(\d+(?:\.\d+)?)(?:/([smh]))?', value)
        rate = float(found[1]) / {'s': 1, 'm': 60, 'h': 3600}[found[2] or 's'] if found else 0.0
        if not 0 < rate < float('inf'):
            self.fail(f'{value!r} is not a rate: give one like 10/s, 100/m or 5000/h', param, ctx)
        return rate


class Moment(click.ParamType):  # type: ignore[type-arg]
    """A time: a duration before now, or a date and time with a zone in ISO 8601. Its value is a datetime in UTC."""

    name = 'time'

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the time."""
        if isinstance(value, datetime):
            return value
        try:
            duration = _duration_of(value)
            if duration is not None:
                return datetime.now(timezone.utc) - duration
            # Python 3.10 knows no Z.
            moment = datetime.fromisoformat(re.sub('[zZ]$', '+00:00', value))
            in_utc = None if moment.utcoffset() is None else moment.astimezone(timezone.utc)
        except (ValueError, OverflowError):
            self.fail(
                f'{value!r} is not a time: give a duration before now, like 90s, 15m, 2h or 30d, or a time with a '
                'zone, like 2026-11-29T10:00Z',
                param,
                ctx,
            )
        if in_utc is None:
            self.fail(
                f'{value!r} has no time zone, and may be local time or UTC: give one with Z or an offset '
                'at its end, like 2026-11-29T10:00Z, or a duration before now, like 2h',
                param,
                ctx,
            )
        return in_utc


def check_name(option: str, name: str) -> None:
    """Raise click.UsageError if this is not a name of a file: a file cannot be stdout, too."""
    if name in ('', '-'):
        raise click.UsageError(f'{option} {name or repr(name)}: give the name of a file')
