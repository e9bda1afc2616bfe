-- requires many_jobs.inc.lua
-- Moves jobs to the registry of the same kind of another queue, with their scores.
-- arguments: to_queue to_registry queues_key statuses rate_limit_prefix
-- The name of the other queue, the keys of its registry and of the set of all queues. statuses: of the jobs that belong
-- into such registries, each with a comma before and after it. The prefix is not used.

local is_ready = false

-- An error now if the user may not write, or a key is of another type, before anything has changed.
local function get_ready(key, origin)
    local kind = call('TYPE', to_registry).ok
    if kind ~= 'zset' and kind ~= 'none' then
        return false
    end
    if not is_ready then
        call('ZADD', to_registry, 'XX', 0, ' ')
        call('HSET', key, 'origin', origin)
        call('SADD', queues_key, queue_prefix .. to_queue)
        is_ready = true
    end
    return true
end

local function move(id)
    local key = job_prefix .. id
    -- To RQ, a hash without data is not a job either.
    if call('HEXISTS', key, 'data') == 0 then
        return NO_SUCH_JOB
    end
    local status, origin = unpack(call('HMGET', key, 'status', 'origin'))
    if not status or not find(statuses, ',' .. status .. ',', 1, true) then
        return FOR_RQ
    end
    if IS_DRY then
        return nil
    end
    local score = call('ZSCORE', KEYS[1], id)
    if not get_ready(key, origin or '') then
        return FOR_RQ
    end
    call('HSET', key, 'origin', to_queue)
    call('ZADD', to_registry, score, id)
    call('ZREM', KEYS[1], id)
end

check_rights_of_rq()
-- An error now if the user may not remove entries, and not halfway: no job has this id.
if not IS_DRY then
    call('ZREM', KEYS[1], ' ')
end
return go_through(REST, taking_by(move))
