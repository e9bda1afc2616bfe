"""What is left in Redis: both sides' databases, compared key by key."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.differential.database import Dump, Key, differences, dump

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
    """Return a line for each difference between two databases of a server, changed within so many seconds.

    Afterwards ours is as plain's: what comes next begins on equal databases, so that its differences are its own, and
    the times to compare are of this minute.
    """
    database, of_ours = (client.get_connection_kwargs()['db'] for client in (plain, ours))
    suspects = plain.eval(SUSPECTS_SCRIPT, 0, database, of_ours)
    if not suspects:
        return []
    expected = dump(plain, suspects)
    found = differences(expected, with_near_scores(expected, dump(ours, suspects), seconds))
    ours.delete(*suspects)
    plain.eval(COPY_SCRIPT, len(suspects), *suspects, of_ours)
    return found


def with_near_scores(plain: Dump, ours: Dump, seconds: float) -> Dump:
    """Return our keys, with plain's score in sorted sets where ours is not further from it than the calls lay apart."""
    return {key: _near(plain[key], value, seconds) if key in plain else value for key, value in ours.items()}


def _near(plain: Key, ours: Key, seconds: float) -> Key:
    if not plain.kind == ours.kind == 'zset':
        return ours
    scores = dict(plain.content)
    content = [(member, _nearer(scores.get(member, score), score, seconds)) for member, score in ours.content]
    return replace(ours, content=sorted(content, key=lambda pair: (float(pair[1]), pair[0])))


def _nearer(plain: bytes, ours: bytes, seconds: float) -> bytes:
    return plain if abs(float(plain) - float(ours)) <= seconds else ours
