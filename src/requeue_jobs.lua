-- requires job_hash.inc.lua
-- What RQ's registry.requeue(job_id) does, for each plain job.
-- KEYS: the registry.
-- ARGV: the key prefixes of jobs and queues; the default timeout in seconds; an empty exc_info as RQ stores it;
-- enqueued_at; LPUSH or RPUSH; then the job ids.
-- Returns, for each id, the job's hash as it was (field, value, ...); or 0 for a job that is not in the
-- registry; or -1 for one that was not touched, and is RQ's own to requeue.

local JOBS, QUEUES, DEFAULT_TIMEOUT, NO_EXC_INFO, ENQUEUED_AT, PUSH = unpack(ARGV, 1, 6)
local FIRST_ID = 7

local STATUSES = {
    queued = true, created = true, finished = true, scheduled = true, failed = true, stopped = true,
    canceled = true,
}
-- What RQ writes with every job, empty where there is nothing to say.
local ALWAYS_WRITTEN = {
    'success_callback_name', 'failure_callback_name', 'stopped_callback_name', 'last_heartbeat', 'worker_name',
    'group_id',
}

local function to_hash(fields)
    local hash = {}
    for i = 1, #fields, 2 do
        hash[fields[i]] = fields[i + 1]
    end
    return hash
end

-- RQ unpickles and pickles these again, which only RQ can do.
local function needs_serializer(hash)
    return is_given(hash.result) or is_given(hash.meta)
end

-- Whether RQ would write the data back as it is: compressed by zlib's default.
local function is_compressed(data)
    return data:sub(1, 2) == 'x\156'
end

local function can_requeue(hash)
    return is_plain(hash) and STATUSES[hash.status] and is_given(hash.origin) and is_given(hash.created_at)
        and is_compressed(hash.data) and not needs_serializer(hash) and hash.ttl ~= '0'
end

local function can_push(queue)
    local kind = redis.call('TYPE', queue).ok
    return kind == 'list' or kind == 'none'
end

local function write(key, hash)
    local changes = {
        'status', 'queued', 'started_at', '', 'ended_at', '', 'exc_info', NO_EXC_INFO, 'enqueued_at', ENQUEUED_AT,
    }
    for _, name in ipairs(ALWAYS_WRITTEN) do
        if not hash[name] then
            changes[#changes + 1] = name
            changes[#changes + 1] = ''
        end
    end
    if not is_given(hash.timeout) then
        changes[#changes + 1] = 'timeout'
        changes[#changes + 1] = DEFAULT_TIMEOUT
    end
    redis.call('HSET', key, unpack(changes))
end

local function expire(id, key, ttl)
    if is_given(ttl) and tonumber(ttl) > 0 then
        redis.call('EXPIRE', key, ttl)
        redis.call('EXPIRE', key .. ':dependents', ttl)
        redis.call('EXPIRE', JOBS .. ':' .. id .. ':dependencies', ttl)
    end
end

local function requeue(id)
    local key = JOBS .. id
    local fields = redis.call('HGETALL', key)
    local hash = to_hash(fields)
    if not can_requeue(hash) or not can_push(QUEUES .. hash.origin) then
        return -1
    end
    if redis.call('ZREM', KEYS[1], id) == 0 then
        return 0
    end
    write(key, hash)
    expire(id, key, hash.ttl)
    redis.call(PUSH, QUEUES .. hash.origin, id)
    return fields
end

local answers = {}
for i = FIRST_ID, #ARGV do
    answers[#answers + 1] = requeue(ARGV[i])
end
return answers
