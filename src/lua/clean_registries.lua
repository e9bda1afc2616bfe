-- What RQ's clean_registries(queue) does, up to the first registry that has work for RQ itself.
-- KEYS: the keys to clean, in RQ's order.
-- arguments: now
-- The Unix timestamp in seconds. Then, for each of the keys, one of STEPS.
-- Returns 1 when all is clean; 0 where RQ has work to do, with all later registries untouched.

-- Each tells whether there is work for RQ.
local STEPS = {
    drop_expired = function(key)
        redis.call('ZREMRANGEBYSCORE', key, 0, now)
        return false
    end,
    if_expired = function(key)
        return #redis.call('ZRANGEBYSCORE', key, 0, now, 'LIMIT', 0, 1) > 0
    end,
    if_any = function(key)
        return #redis.call('ZRANGE', key, 0, 0) > 0
    end,
    if_rate_limits = function(key)
        return redis.call('SCARD', key) > 0
    end,
}

for i, key in ipairs(KEYS) do
    if STEPS[ARGV[REST + i - 1]](key) then
        return 0
    end
end
return 1
