-- How the scripts requeue a job whose fields job_hash.inc.lua has found plain.
-- arguments: job_prefix queue_prefix default_timeout empty_exc_info enqueued_at push_command
-- The prefixes are those of keys. The timeout is in seconds, the other two are as RQ stores them, and the command is
-- LPUSH or RPUSH.

local function has_requeueable_status(fields)
    local status = fields[STATUS]
    return status == 'failed' or status == 'stopped' or status == 'finished' or status == 'canceled'
        or status == 'queued' or status == 'created' or status == 'scheduled'
end

-- A job's fields with its data, or without where that is long.
local function get_fields_to_requeue(key)
    if is_long(key, 'data') then
        return get_fields(key), true
    end
    return get_fields(key, 'data'), false
end

-- Whether RQ would write the data back as it is: compressed by zlib's default.
local function is_compressed(data)
    return sub(data, 1, 2) == 'x\156'
end

-- Whether a job can be pushed, by the key of a queue: all jobs of one origin share the answer.
local pushable = {}

local function can_push(queue)
    local is_list = pushable[queue]
    if is_list == nil then
        local kind = call('TYPE', queue).ok
        is_list = kind == 'list' or kind == 'none'
        pushable[queue] = is_list
    end
    return is_list
end

-- Whether the job with these fields is plain, and RQ can requeue it; if so, also its metadata, its ttl and its rate
-- limit, if it has them. Data that is not among the fields is not judged: it may be uncompressed.
local function can_requeue(key, fields)
    local is_plain_job, has_rare, rate_limit = is_plain(key, fields)
    if not is_plain_job or not has_requeueable_status(fields) or not is_given(fields[ORIGIN])
        or not is_given(fields[CREATED_AT]) or (fields[DATA] and not is_compressed(fields[DATA]))
    then
        return false
    end
    local meta, ttl
    if has_rare then
        -- RQ unpickles and pickles results and metadata again, which only Python can do.
        if call('HSTRLEN', key, 'result') > 0 or is_long(key, 'meta') then
            return false
        end
        meta, ttl = unpack(call('HMGET', key, 'meta', 'ttl'))
    end
    if ttl == '0' or not can_push(queue_prefix .. fields[ORIGIN]) then
        return false
    end
    return true, is_given(meta) and meta, ttl, rate_limit
end

-- Whether the job has the fields that RQ writes with every job, empty if they have no value.
local function has_all(fields)
    return fields[SUCCESS_CALLBACK_NAME] and fields[FAILURE_CALLBACK_NAME] and fields[STOPPED_CALLBACK_NAME]
        and fields[LAST_HEARTBEAT] and fields[WORKER_NAME] and fields[GROUP_ID]
end

local function write_missing(key, fields)
    local NAMES = {
        [SUCCESS_CALLBACK_NAME] = 'success_callback_name', [FAILURE_CALLBACK_NAME] = 'failure_callback_name',
        [STOPPED_CALLBACK_NAME] = 'stopped_callback_name', [LAST_HEARTBEAT] = 'last_heartbeat',
        [WORKER_NAME] = 'worker_name', [GROUP_ID] = 'group_id',
    }
    for index, name in pairs(NAMES) do
        if not fields[index] then
            call('HSET', key, name, '')
        end
    end
end

-- The further arguments are other fields and their values.
local function write(key, fields, ...)
    call(
        'HSET', key, 'started_at', '', 'ended_at', '', 'exc_info', empty_exc_info,
        'timeout', is_given(fields[TIMEOUT]) and fields[TIMEOUT] or default_timeout, ...
    )
    if not has_all(fields) then
        write_missing(key, fields)
    end
end

local function expire(id, key, ttl)
    call('EXPIRE', key, ttl)
    call('EXPIRE', key .. ':dependents', ttl)
    call('EXPIRE', job_prefix .. ':' .. id .. ':dependencies', ttl)
end

local function has_ttl(ttl)
    return is_given(ttl) and tonumber(ttl) > 0
end

local may_write, may_expire = false, false

-- An error now if the user may not write a job, before anything has changed. Only the first job is asked for.
local function check_rights_to_write(key, fields, ttl)
    if not may_write then
        call('HSET', key, 'status', fields[STATUS])
        may_write = true
    end
    if has_ttl(ttl) and not may_expire then
        -- No job has such an id.
        call('EXPIRE', job_prefix .. ' ', ttl)
        may_expire = true
    end
end

-- Write the rest of a job: `meta_again` is its metadata as RQ would store it again.
local function write_rare(id, key, meta_again, ttl)
    if meta_again then
        call('HSET', key, 'meta', meta_again)
    end
    if has_ttl(ttl) then
        expire(id, key, ttl)
    end
end

-- Write a job that is on its queue.
local function write_requeued(id, key, fields, meta_again, ttl)
    write(key, fields, 'status', 'queued', 'enqueued_at', enqueued_at)
    write_rare(id, key, meta_again, ttl)
end
