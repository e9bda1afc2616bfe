-- requires many_jobs.inc.lua
-- What RQ's job.cancel() does, for each plain job that is in the registry.
-- ARGV of its own: the Unix timestamp in seconds; 'dependents' where those are to be enqueued; 'dependencies' where
-- the job is to be taken out of its dependencies' dependents. Jobs that have such are left to RQ then.
-- A job is plain if RQ needs to know no more of it than where it is: other fields may be spoiled.

local TIMESTAMP, HAS_TO_ENQUEUE, HAS_TO_LET_GO
    = ARGV[FIRST_OWN], ARGV[FIRST_OWN + 1] ~= '', ARGV[FIRST_OWN + 2] ~= ''
local FIRST_ID = FIRST_OWN + 3
local CANCELED = ARGV[12]

local function has_ties(key, dependency_id, dependency_ids)
    return (HAS_TO_ENQUEUE and call('EXISTS', key .. ':dependents') == 1)
        or (HAS_TO_LET_GO and ((dependency_id and dependency_id ~= '') or (dependency_ids and dependency_ids ~= '')))
end

-- The key of the registry of canceled jobs of this origin; false for what is none. It is an error where the user may
-- not write there: no job has the id ' ', and XX adds none.
local function get_canceled(origin)
    if origin.canceled == nil then
        local key = CANCELED .. origin.name
        local kind = call('TYPE', key).ok
        local is_usable = kind == 'zset' or kind == 'none'
        if is_usable and not IS_DRY then
            call('ZADD', key, 'XX', TIMESTAMP, ' ')
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
    local key = JOBS .. id
    local status, name, rate_limit_key, dependency_id, dependency_ids, data
        = unpack(call('HMGET', key, 'status', 'origin', 'rate_limit_key', 'dependency_id', 'dependency_ids', 'data'))
    -- RQ says so too of a hash without data.
    if not data then
        return NO_SUCH_JOB
    end
    was_long = #data > LONG_DATA
    local origin = get_origin(name or '')
    if status == 'canceled' and origin.is_usable then
        return ALREADY_CANCELED
    end
    local registry = status and origin.is_usable and get_registry(origin, status)
    if not registry or not get_canceled(origin) or rate_limit_key or has_ties(key, dependency_id, dependency_ids) then
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
        call('ZADD', get_canceled(origin), TIMESTAMP, id)
    end
end

local function take(place, id, mark)
    local has_worked, code = pcall(cancel, id, mark)
    if not has_worked then
        code = FOR_RQ
    end
    if code then
        note(place, code)
    end
end

-- No job has such an id: this only asks whether the user may do what must not fail halfway.
if not IS_DRY then
    call('ZREM', KEYS[1], ' ')
end
return go_through(FIRST_ID, take)
