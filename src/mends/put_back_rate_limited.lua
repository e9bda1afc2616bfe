-- requires mend.inc.lua
-- Enter a job that nothing holds among those that wait for a slot of its rate limit, as RQ does.
-- KEYS: those that wait, the job, the settings of the rate limit, all rate limits.
-- ARGV, after those of every mend: the job's id, its status and origin, the name of the rate limit.

local id, status, origin, rate_limit = unpack(ARGV, 4)
if not says(KEYS[2], status, origin) or call('ZSCORE', KEYS[1], id) then
    return GONE
end
local concurrency = call('HGET', KEYS[2], 'rate_limit_concurrency')
if not concurrency then
    return 'how many may run at a time is not written in the job'
end
if IS_MEND then
    -- What an error must not leave half done is tried before the first change. XX adds nothing.
    call('ZADD', KEYS[1], 'XX', NOW, ' ')
    call('HSET', KEYS[2], 'status', status)
    call('SCARD', KEYS[4])
    call('HLEN', KEYS[3])
    call('SADD', KEYS[4], rate_limit)
    call('HSET', KEYS[3], 'concurrency', concurrency)
    call('ZADD', KEYS[1], NOW, id)
end
return MENDED
