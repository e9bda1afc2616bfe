"""What RQ waits for, as if the time had passed."""

from __future__ import annotations

import redis

# Keys that RQ lets expire by themselves; what is kept for a job's sake is not among them.
KEPT = ('rq:job:', 'rq:results:')

AN_HOUR_LATER = """
for _, key in ipairs(redis.call('KEYS', 'rq:*')) do
  if key:find('^rq:wip:') or key:find('^rq:scheduled:') then
    for _, entry in ipairs(redis.call('ZRANGE', key, 0, -1)) do redis.call('ZINCRBY', key, -3600, entry) end
  end
  local kept = false
  for _, prefix in ipairs(ARGV) do kept = kept or key:sub(1, #prefix) == prefix end
  if key:find(':first_seen:', 1, true) then
    redis.call('SET', key, string.format('%f', redis.call('GET', key) - 3600), 'KEEPTTL')
  elseif not kept and redis.call('PTTL', key) >= 0 then
    redis.call('DEL', key)
  end
end
"""


def let_an_hour_pass(client: redis.Redis) -> None:
    """Make it an hour later for leases, locks, heartbeats and schedules. No worker may run on this server."""
    client.eval(AN_HOUR_LATER, 0, *KEPT)
