-- How the scripts requeue a job whose fields job_hash.inc.lua has found plain. The script that requires this sets
-- these: the key prefixes of jobs and queues; the default timeout in seconds; an empty exc_info as RQ stores it;
-- enqueued_at; LPUSH or RPUSH.
local JOBS, QUEUES, DEFAULT_TIMEOUT, NO_EXC_INFO, ENQUEUED_AT, PUSH

local function can_requeue(status)
    return status == 'failed' or status == 'stopped' or status == 'finished' or status == 'canceled'
        or status == 'queued' or status == 'created' or status == 'scheduled'
end

-- Whether RQ would write the data back as it is: compressed by zlib's default.
local function is_compressed(data)
    return data:sub(1, 2) == 'x\156'
end

-- What is known of queues: all jobs of one origin share it.
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

-- What RQ writes back of a plain job with this data that it can requeue: its fields, its metadata and its ttl, where it
-- has any; nil for any other job.
local function get_requeueable(key, data)
    local fields, has_rare = get_plain_fields(key)
    if not fields or not can_requeue(fields[STATUS]) or not is_given(fields[ORIGIN])
        or not is_given(fields[CREATED_AT]) or not is_compressed(data)
    then
        return nil
    end
    local result, meta, ttl
    if has_rare then
        result, meta, ttl = unpack(call('HMGET', key, 'result', 'meta', 'ttl'))
    end
    -- RQ unpickles and pickles results and metadata again, which only Python can do.
    if is_given(result) or ttl == '0' or not can_push(QUEUES .. fields[ORIGIN]) then
        return nil
    end
    return fields, is_given(meta) and meta, ttl
end

-- Write what RQ writes with every job, empty where there is nothing to say, and this hash has not.
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

local function write(key, fields)
    call(
        'HSET', key, 'status', 'queued', 'started_at', '', 'ended_at', '', 'exc_info', NO_EXC_INFO,
        'enqueued_at', ENQUEUED_AT, 'timeout', is_given(fields[TIMEOUT]) and fields[TIMEOUT] or DEFAULT_TIMEOUT
    )
    for i = 1, GROUP_ID do
        if not fields[i] then
            return write_missing(key, fields)
        end
    end
end

local function expire(id, key, ttl)
    if is_given(ttl) and tonumber(ttl) > 0 then
        call('EXPIRE', key, ttl)
        call('EXPIRE', key .. ':dependents', ttl)
        call('EXPIRE', JOBS .. ':' .. id .. ':dependencies', ttl)
    end
end

-- The queue first: what may fail then comes before the job itself is written.
local function enqueue(id, key, queue, fields, meta_again, ttl)
    call(PUSH, queue, id)
    write(key, fields)
    if meta_again then
        call('HSET', key, 'meta', meta_again)
    end
    expire(id, key, ttl)
end

-- Move a job from the registry, where it has this score, to its queue; return whether that was done. `meta_again` is
-- its metadata as RQ would store it again.
local function move_to_queue(id, key, score, fields, meta_again, ttl)
    local queue = QUEUES .. fields[ORIGIN]
    call('ZREM', KEYS[1], id)
    if pcall(enqueue, id, key, queue, fields, meta_again, ttl) then
        return true
    end
    -- The user may not do all of this. RQ's own way through it begins with what we found.
    redis.pcall('LREM', queue, PUSH == 'LPUSH' and 1 or -1, id)
    call('ZADD', KEYS[1], score, id)
    return false
end
