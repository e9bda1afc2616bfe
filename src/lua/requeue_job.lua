-- requires job_hash.inc.lua requeue.inc.lua
-- What RQ's registry.requeue(job_id) does, for one plain job.
-- KEYS: the registry.
-- arguments: metadata metadata_again is_read job_id
-- metadata, metadata_again: as it is stored, and as RQ would store it again; both are empty if there is none.
-- is_read: not empty if the caller has read the metadata, and has seen that the data is compressed.
-- Returns 1 if the job is on its queue now, and 0 if it is not in the registry. Returns -2 if the caller must read the
-- job first, and -1 if RQ must requeue it: then nothing was changed.

-- Try everything that may fail before the first change, so that an error leaves nothing half done. No job has the
-- id ' ', so that these commands change nothing. HGETALL is here because the caller sends it together with this script.
local function check_rights(key, fields, ttl)
    call('HGETALL', job_prefix .. ' ')
    call('ZREM', KEYS[1], ' ')
    check_rights_to_write(key, fields, ttl)
end

local function move_to_queue(key, fields, meta_again, ttl)
    check_rights(key, fields, ttl)
    -- The first change: where this fails, nothing was done.
    call(push_command, queue_prefix .. fields[ORIGIN], job_id)
    write_requeued(job_id, key, fields, meta_again, ttl)
    call('ZREM', KEYS[1], job_id)
end

local key = job_prefix .. job_id
local fields, has_long_data = get_fields_to_requeue(key)
if not fields or not (fields[DATA] or has_long_data) then
    return -1
end
local is_possible, meta, ttl, rate_limit = can_requeue(key, fields)
if not is_possible or rate_limit then
    return -1
end
if not call('ZSCORE', KEYS[1], job_id) then
    -- RQ asks by ZREM, to which the user may have no right.
    call('ZREM', KEYS[1], ' ')
    return 0
end
if (meta and meta ~= metadata) or (has_long_data and is_read == '') then
    return -2
end
move_to_queue(key, fields, meta and metadata_again, ttl)
return 1
