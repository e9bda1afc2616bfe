"""The dates in the hashes of jobs: RQ writes them by utcformat(), and reads them by str_to_date()."""

from __future__ import annotations

import re
from datetime import datetime

from rq.utils import str_to_date


def moment_of(date: bytes) -> datetime:
    """Return rq.utils.str_to_date(date), by a much faster way for dates in RQ's current format."""
    if is_sortable(date):
        return datetime.fromisoformat(f'{date[:-1].decode()}+00:00')
    return str_to_date(date)


def moment_if_any(date: bytes | None) -> datetime | None:
    """Return the same as moment_of(), or None for a date that is missing, as str_to_date() before RQ 2.6."""
    return moment_of(date) if date else None


# Dates in RQ's current format, in which the order of the bytes is the order of the times. This leaves out February 29,
# which not every year has: str_to_date() parses it.
_is_sortable = re.compile(
    rb"""
    (?!0000)\d{4}-
    (?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)
    T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}Z
    """,
    re.VERBOSE,
).fullmatch


def is_sortable(date: bytes) -> bool:
    """Return whether this is a date in RQ's current format; it may be False for one on February 29."""
    return _is_sortable(date) is not None


def sortable(date: bytes | None) -> bytes:
    """Return the date in RQ's current format; b'' if there is none, or if it cannot be parsed."""
    if not date:
        return b''
    if is_sortable(date):
        return date
    try:
        return written(str_to_date(date))
    except ValueError:
        return b''


def written(moment: datetime) -> bytes:
    """Format a time in UTC as rq.utils.utcformat() does, with four digits for every year."""
    return f'{moment.replace(tzinfo=None).isoformat(timespec="microseconds")}Z'.encode()
