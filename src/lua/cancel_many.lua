-- requires many_jobs.inc.lua job_hash.inc.lua rate_limits.inc.lua
-- What RQ's job.cancel() does, for each plain job that is in the registry.
-- arguments: timestamp enqueue_dependents remove_from_dependencies
-- The Unix timestamp in seconds. The others are those of RQ's cancel(), empty for False; jobs with dependents or
-- dependencies are left to RQ then.
-- A job is plain if RQ can load it; it may be in a group, which canceling does not change.

local function has_ties(key)
    if enqueue_dependents ~= '' and call('EXISTS', key .. ':dependents') == 1 then
        return true
    end
    local ids = remove_from_dependencies ~= '' and call('HMGET', key, 'dependency_id', 'dependency_ids')
    return ids and (is_given(ids[1]) or is_given(ids[2]))
end

-- The key of the registry of canceled jobs of this origin; false if there can be none. Raises an error if the user may
-- not write there: no job has the id ' ', and XX adds none.
local function get_canceled(origin)
    if origin.canceled == nil then
        local key = canceled_prefix .. origin.name
        local kind = call('TYPE', key).ok
        local is_usable = kind == 'zset' or kind == 'none'
        if is_usable and not IS_DRY then
            call('ZADD', key, 'XX', timestamp, ' ')
        end
        origin.canceled = is_usable and key
    end
    return origin.canceled
end

local may_write = false

local function check_right_to_write(key, status)
    if not may_write then
        call('HSET', key, 'status', status)
        may_write = true
    end
end

-- What may fail comes before the first change.
local function cancel(id, mark)
    local key = job_prefix .. id
    -- To RQ, a hash without data is not a job either.
    if call('HEXISTS', key, 'data') == 0 then
        return NO_SUCH_JOB
    end
    local fields = get_fields(key)
    local status, origin = fields and fields[STATUS], fields and get_origin(fields[ORIGIN] or '')
    if not status or not origin.is_usable then
        return FOR_RQ
    end
    local is_loadable, _, rate_limit = is_plain(key, fields)
    if not is_loadable then
        return FOR_RQ
    end
    if status == 'canceled' then
        return ALREADY_CANCELED
    end
    local registry = get_registry(origin, status)
    local limit = rate_limit and get_rate_limit(unpack(rate_limit))
    if not registry or not get_canceled(origin) or has_ties(key) or (rate_limit and not can_leave(limit, id)) then
        return FOR_RQ
    end
    if is_queue_unknown(origin) then
        return QUEUE_UNKNOWN
    end
    if not IS_DRY then
        check_right_to_write(key, status)
        remove_from_queue(origin, id, mark)
        call('HSET', key, 'status', 'canceled')
        if registry ~= '' then
            call('ZREM', registry, id)
        end
        call('ZADD', get_canceled(origin), timestamp, id)
        if limit then
            leave(limit, id)
        end
    end
end

check_rights_of_rq({'HGET', 'status'}, {'LREM', 1, ' '})
-- An error now if the user may not remove entries, and not halfway: no job has this id.
if not IS_DRY then
    remove_entries(' ')
end
return go_through(REST, taking_by(cancel))
