-- requires job_hash.inc.lua requeue.inc.lua
-- What RQ's registry.requeue(job_id) does, for each plain job.
-- KEYS: the registry.
-- ARGV: what requeue.inc.lua needs; metadata as it is stored, and as RQ would store it again, or twice nothing where
-- none was read; then the job ids.
-- Returns, for each id, 1 for a job that is on its queue now; 0 for one that is not in the registry; or for one that
-- was not touched -2, where its metadata must be read first, or -1, where it is RQ's own to requeue.

local META, META_AGAIN
JOBS, QUEUES, DEFAULT_TIMEOUT, NO_EXC_INFO, ENQUEUED_AT, PUSH, META, META_AGAIN = unpack(ARGV, 1, 8)
local FIRST_ID = 9

-- The queue first: what may fail then comes before the job itself is written.
local function enqueue(id, key, queue, fields, meta_again, ttl)
    call(PUSH, queue, id)
    write_requeued(id, key, fields, meta_again, ttl)
end

-- Move a job from the registry, where it has this score, to its queue; return whether that was done.
local function move_to_queue(id, key, score, fields, meta_again, ttl)
    local queue = QUEUES .. fields[ORIGIN]
    call('ZREM', KEYS[1], id)
    if pcall(enqueue, id, key, queue, fields, meta_again, ttl) then
        return true
    end
    -- The user may not do all of this. RQ's own way through it begins with what we found.
    take_back(queue, id)
    call('ZADD', KEYS[1], score, id)
    return false
end

local function requeue(id)
    local key = JOBS .. id
    local fields = get_fields(key, 'data')
    if not fields[DATA] then
        return -1
    end
    local is_possible, meta, ttl = can_requeue(key, fields)
    if not is_possible then
        return -1
    end
    local score = call('ZSCORE', KEYS[1], id)
    if not score then
        return 0
    end
    if meta and meta ~= META then
        return -2
    end
    return move_to_queue(id, key, score, fields, meta and META_AGAIN, ttl) and 1 or -1
end

local answers = {}
for i = FIRST_ID, #ARGV do
    answers[i - FIRST_ID + 1] = requeue(ARGV[i])
end
return answers
