-- How a job that waits in a queue is put on another one: it has not run, so that nothing of a run is reset.
-- Overrides three functions of requeue.inc.lua: requeue_many.lua calls these instead.

local get_fields_of_any = get_fields_to_requeue

-- A job of another queue is in the list by mistake.
get_fields_to_requeue = function(key)
    local fields, has_long_data = get_fields_of_any(key)
    if fields and fields[ORIGIN] ~= registry_name then
        fields[STATUS] = ''
    end
    return fields, has_long_data
end

local can_requeue_any = can_requeue

-- Its dependencies are met, and if it has a rate limit, it holds a slot. RQ stores the text of an earlier failure
-- compressed.
can_requeue = function(key, fields)
    if fields[STATUS] ~= 'queued' or (is_given(fields[EXC_INFO]) and fields[EXC_INFO] ~= empty_exc_info) then
        return false
    end
    -- Without the rate limit, the last value: the job is not to ask for a slot again.
    local is_possible, meta, ttl = can_requeue_any(key, fields)
    return is_possible, meta, ttl
end

write = function(key, fields, ...)
    call('HSET', key, 'timeout', is_given(fields[TIMEOUT]) and fields[TIMEOUT] or default_timeout, ...)
    if not has_all(fields) then
        write_missing(key, fields)
    end
end
