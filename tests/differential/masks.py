"""What two equal calls cannot have in common: the microsecond they ran in, addresses of objects, and the database."""

from __future__ import annotations

import re
import time
from datetime import datetime, timezone

NEAR_SECONDS = 60

_DATES = re.compile(r'(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(\.\d{6})?(Z|\+00:00)?')
_ADDRESSES = re.compile(r'\b0x[0-9a-f]{6,}\b')
_DATABASES = re.compile(r'\bdb=\d+')


def is_near_now(moment: datetime) -> bool:
    if moment.tzinfo is None:
        moment = moment.astimezone()
    return abs(moment.timestamp() - time.time()) < NEAR_SECONDS


def _mask_date(match: re.Match[str]) -> str:
    day_and_time, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(day_and_time).replace(tzinfo=timezone.utc)
    except ValueError:
        return match[0]
    if not is_near_now(moment):
        return match[0]
    # The shape stays, so that a date written in another format is still a difference.
    return f'<now{day_and_time[10]}{".f" if fraction else ""}{zone or ""}>'


def mask_text(text: str) -> str:
    """Return the text with this minute's dates replaced by their shape, without addresses and database numbers."""
    return _DATABASES.sub('db=..', _ADDRESSES.sub('0x..', _DATES.sub(_mask_date, text)))


def mask_bytes(value: bytes) -> bytes:
    return mask_text(value.decode('latin-1')).encode('latin-1')
