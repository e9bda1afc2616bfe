-- requires job_hash.inc.lua requeue.inc.lua
-- What RQ's registry.requeue(job_id) does, for each plain job.
-- KEYS: the registry.
-- arguments: metadata metadata_again
-- arguments: is_read
-- The job ids are last. Metadata as it is stored, and as RQ would store it again; both are empty if there is none.
-- is_read: not empty if the caller has read the metadata, and has seen that the data is compressed.
-- Returns, for each id, 1 for a job that is on its queue now; 0 for one that is not in the registry; or for one that
-- was not touched -2, where the caller must read it first, or -1, where it is RQ's own to requeue.

-- What an error must not leave half done: everything that may fail is tried before the first change. No job has the
-- id ' ', so that these commands change nothing. HGETALL: the caller reads the hash beside this script.
local function check_rights(key, fields, ttl)
    call('HGETALL', job_prefix .. ' ')
    call('ZREM', KEYS[1], ' ')
    check_rights_to_write(key, fields, ttl)
end

local function move_to_queue(id, key, fields, meta_again, ttl)
    check_rights(key, fields, ttl)
    -- The first change: where this fails, nothing was done.
    call(push_command, queue_prefix .. fields[ORIGIN], id)
    write_requeued(id, key, fields, meta_again, ttl)
    call('ZREM', KEYS[1], id)
end

local function requeue(id)
    local key = job_prefix .. id
    local fields, has_long_data = get_fields_to_requeue(key)
    if not fields or not (fields[DATA] or has_long_data) then
        return -1
    end
    local is_possible, meta, ttl, rate_limit = can_requeue(key, fields)
    if not is_possible or rate_limit then
        return -1
    end
    if not call('ZSCORE', KEYS[1], id) then
        return 0
    end
    if (meta and meta ~= metadata) or (has_long_data and is_read == '') then
        return -2
    end
    move_to_queue(id, key, fields, meta and metadata_again, ttl)
    return 1
end

local answers = {}
for i = REST, #ARGV do
    answers[i - REST + 1] = requeue(ARGV[i])
end
return answers
