-- requires repair.inc.lua
-- Add an orphan to the jobs that wait for a slot of its rate limit, as RQ does.
-- KEYS: the waiting jobs, the job, the settings of the rate limit, the set of rate limits.
-- ARGV from the fourth on: the job's id, status and origin, the name of the rate limit.

local id, status, origin, rate_limit = unpack(ARGV, 4)
if not is_unchanged(KEYS[2], status, origin) or call('ZSCORE', KEYS[1], id) then
    return GONE
end
local concurrency = call('HGET', KEYS[2], 'rate_limit_concurrency')
if not concurrency then
    return 'its field rate_limit_concurrency is missing'
end
if IS_REPAIR then
    -- Use each key first without a change, so that an error comes before the first change. XX adds nothing.
    call('ZADD', KEYS[1], 'XX', NOW, ' ')
    call('HSET', KEYS[2], 'status', status)
    call('SCARD', KEYS[4])
    call('HLEN', KEYS[3])
    call('SADD', KEYS[4], rate_limit)
    call('HSET', KEYS[3], 'concurrency', concurrency)
    call('ZADD', KEYS[1], NOW, id)
end
return REPAIRED
