"""What is left in Redis: both sides' databases, compared key by key."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from tests.differential.database import NOTHING, Dump, Key, differences, dump

Fields = dict[bytes, bytes]
Pairs = list[tuple[bytes, bytes]]
Entries = list[tuple[bytes, Fields]]

LINES_SHOWN = 20
# As RQ writes them, and as it prints them.
DATES = re.compile(rb'(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(\.\d{6})?(Z|\+00:00)?')

# The server looks at hundreds of thousands of keys, and tells those that are worth a closer look.
SUSPECTS_SCRIPT = """
local BATCH = 1000
local suspects = {}

redis.call('SELECT', ARGV[2])
local theirs = redis.call('DBSIZE')
redis.call('SELECT', ARGV[1])
local keys = redis.call('KEYS', '*')
for first = 1, #keys, BATCH do
  local last = math.min(first + BATCH - 1, #keys)
  local values, expiries = {}, {}
  redis.call('SELECT', ARGV[1])
  for number = first, last do
    values[number], expiries[number] = redis.call('DUMP', keys[number]), redis.call('PTTL', keys[number])
  end
  redis.call('SELECT', ARGV[2])
  for number = first, last do
    local value, expiry = redis.call('DUMP', keys[number]), redis.call('PTTL', keys[number])
    theirs = theirs - (value and 1 or 0)
    if value ~= values[number] or math.abs(expiry - expiries[number]) > 1000 then
      suspects[#suspects + 1] = keys[number]
    end
  end
end
-- What the other database has alone is looked for where there is any.
if theirs > 0 then
  local known = {}
  for _, key in ipairs(keys) do known[key] = true end
  for _, key in ipairs(redis.call('KEYS', '*')) do
    if not known[key] then suspects[#suspects + 1] = key end
  end
end
return suspects
"""
COPY_SCRIPT = """
for _, key in ipairs(KEYS) do
  redis.call('COPY', key, key, 'DB', ARGV[1])
end
"""


def key_differences(plain: Any, ours: Any, seconds: float) -> list[str]:
    """Return a line for each difference between two databases of a server; times may differ by this many seconds.

    Afterwards ours is as plain's: what comes next begins on equal databases, so that its differences are its own.
    """
    database, of_ours = (client.get_connection_kwargs()['db'] for client in (plain, ours))
    suspects = plain.eval(SUSPECTS_SCRIPT, 0, database, of_ours)
    if not suspects:
        return []
    expected = dump(plain, suspects, NOTHING)
    found = differences(expected, with_near_times(expected, dump(ours, suspects, NOTHING), seconds))
    if len(found) > LINES_SHOWN:
        found = [*found[:LINES_SHOWN], f'and {len(found) - LINES_SHOWN} differences more']
    ours.delete(*suspects)
    plain.eval(COPY_SCRIPT, len(suspects), *suspects, of_ours)
    return found


def with_near_times(plain: Dump, ours: Dump, seconds: float) -> Dump:
    """Return our keys with plain's expiries, scores, stream ids and dates where ours are not further from them."""
    return {key: _near_key(plain[key], value, seconds) if key in plain else value for key, value in ours.items()}


def _near_key(plain: Key, ours: Key, seconds: float) -> Key:
    if plain.expires is not None and ours.expires is not None and abs(plain.expires - ours.expires) <= seconds * 1000:
        ours = replace(ours, expires=plain.expires)
    if plain.kind != ours.kind or plain.kind not in NEAR:
        return ours
    return replace(ours, content=NEAR[plain.kind](plain.content, ours.content, seconds))


def _near_hash(plain: Fields, ours: Fields, seconds: float) -> Fields:
    return {name: _near_text(plain.get(name, value), value, seconds) for name, value in ours.items()}


def _near_scores(plain: Pairs, ours: Pairs, seconds: float) -> Pairs:
    scores = dict(plain)
    near = [(member, _near_number(scores.get(member, score), score, seconds)) for member, score in ours]
    return sorted(near, key=lambda pair: (float(pair[1]), pair[0]))


def _near_stream(plain: Entries, ours: Entries, seconds: float) -> Entries:
    return [
        (_near_stream_id(theirs, entry, seconds), _near_hash(expected, fields, seconds))
        for (theirs, expected), (entry, fields) in zip(plain, ours, strict=False)
    ] + ours[len(plain) :]


def _near_stream_id(plain: bytes, ours: bytes, seconds: float) -> bytes:
    # Milliseconds, and a number that counts the entries of the same one.
    return plain if abs(_milliseconds(plain) - _milliseconds(ours)) <= seconds * 1000 else ours


def _milliseconds(stream_id: bytes) -> int:
    return int(stream_id.partition(b'-')[0])


def _near_number(plain: bytes, ours: bytes, seconds: float) -> bytes:
    return plain if abs(float(plain) - float(ours)) <= seconds else ours


def _near_text(plain: bytes, ours: bytes, seconds: float) -> bytes:
    """Return plain's text where ours is the same but for dates, written in the same way, so near to plain's."""
    moments = [[_moment(found) for found in DATES.finditer(text)] for text in (plain, ours)]
    if DATES.sub(_shape, plain) != DATES.sub(_shape, ours):
        return ours
    return plain if all(abs(one - other) <= seconds for one, other in zip(*moments, strict=True)) else ours


def _moment(found: re.Match[bytes]) -> float:
    day_and_time, fraction, _ = found.groups()
    return datetime.fromisoformat((day_and_time + (fraction or b'')).decode()).replace(tzinfo=timezone.utc).timestamp()


def _shape(found: re.Match[bytes]) -> bytes:
    day_and_time, fraction, zone = found.groups()
    return b'<date%c%s%s>' % (day_and_time[10], b'.f' if fraction else b'', zone or b'')


NEAR: dict[str, Callable[[Any, Any, float], Any]] = {
    'hash': _near_hash,
    'zset': _near_scores,
    'stream': _near_stream,
    'string': _near_text,
}
