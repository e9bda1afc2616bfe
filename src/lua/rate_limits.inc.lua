-- What the scripts know of RQ's rate limits: jobs that wait for a slot, and those that hold one. A free slot is RQ's to
-- give to another job.
-- arguments: rate_limit_prefix
-- The prefix of the keys; empty if this RQ has no rate limits.

local function is_of_type(key, kind)
    local found = call('TYPE', key).ok
    return found == kind or found == 'none'
end

local function make_rate_limit(name)
    local key = rate_limit_prefix .. name
    local limit = {name = name, key = key, allowed = key .. ':allowed', waiting = key .. ':rate_limited'}
    if rate_limit_prefix == '' or name == '' or find(name, '[^\1-\127]')
        or not is_of_type(key, 'hash') or not is_of_type(limit.allowed, 'zset') or not is_of_type(limit.waiting, 'zset')
    then
        return false
    end
    -- RQ reads it, and raises where that is not a number.
    local concurrency = call('HGET', key, 'concurrency')
    if concurrency and concurrency ~= '' and not find(concurrency, '^%d+$') then
        return false
    end
    if not IS_DRY then
        -- An error where the user may not do so, before anything has changed: no job has the id ' '.
        call('ZREM', limit.waiting, ' ')
    end
    return limit
end

local rate_limits = {}

-- The rate limit of this name with a concurrency as a job has it; nil if only RQ can judge it.
local function get_rate_limit(name, concurrency)
    if #concurrency > 15 or not find(concurrency, '^[1-9]%d*$') then
        return nil
    end
    local limit = rate_limits[name]
    if limit == nil then
        limit = make_rate_limit(name)
        rate_limits[name] = limit
    end
    return limit or nil
end

-- Whether the job can leave its rate limit without freeing a slot.
local function can_leave(limit, id)
    return limit and not call('ZSCORE', limit.allowed, id)
end

local function leave(limit, id)
    call('ZREM', limit.waiting, id)
end
