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

-- What an error must not leave half done: everything that may fail is tried before the first change. No job has the
-- id ' ', so that these commands change nothing. HGETALL: the caller reads the hash beside this script.
local function check_rights(key, fields, ttl)
    call('HGETALL', JOBS .. ' ')
    call('ZREM', KEYS[1], ' ')
    check_rights_to_write(key, fields, ttl)
end

local function move_to_queue(id, key, fields, meta_again, ttl)
    check_rights(key, fields, ttl)
    -- The first change: where this fails, nothing was done.
    call(PUSH, QUEUES .. fields[ORIGIN], id)
    write_requeued(id, key, fields, meta_again, ttl)
    call('ZREM', KEYS[1], id)
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
    if not call('ZSCORE', KEYS[1], id) then
        return 0
    end
    if meta and meta ~= META then
        return -2
    end
    move_to_queue(id, key, fields, meta and META_AGAIN, ttl)
    return 1
end

local answers = {}
for i = FIRST_ID, #ARGV do
    answers[i - FIRST_ID + 1] = requeue(ARGV[i])
end
return answers
