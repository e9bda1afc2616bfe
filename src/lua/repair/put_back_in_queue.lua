-- requires repair.inc.lua
-- Push an orphan to its queue, a minute after it was first found missing there: a worker may be starting it until then.
-- RQ waits as long for the jobs of its intermediate queue, and writes the time when it first saw them to the same key.
-- KEYS: the queue, the job, its executions, the key of that time, the intermediate queue, the set of queues, the
-- registries of the queue.
-- ARGV from the fourth on: the job's id, status and origin; when it was enqueued, in RQ's format and as a Unix
-- timestamp; when it was found missing, as a Unix timestamp.

local MINUTE, DAY = 60, 86400
local id, status, origin, enqueued_at, enqueued, first_seen = unpack(ARGV, 4)

local function is_taken()
    for _, taken in ipairs(call('LRANGE', KEYS[5], 0, 9999)) do
        if taken == id then
            return true
        end
    end
    return false
end

-- If the job was enqueued again since it was checked, enqueued_at has changed.
if not is_unchanged(KEYS[2], status, origin) or (call('HGET', KEYS[2], 'enqueued_at') or '') ~= enqueued_at
    or is_running(KEYS[3]) or is_in_any(id, 7, #KEYS) or is_taken()
then
    return GONE
end
local known = tonumber(call('GET', KEYS[4]) or '')
if known and known >= tonumber(enqueued) then
    first_seen = math.min(known, tonumber(first_seen))
end
if NOW - first_seen <= MINUTE then
    if IS_REPAIR then
        call('SET', KEYS[4], first_seen, 'EX', DAY)
    end
    return 'it was first found missing less than a minute ago, and a worker may be starting it: repair it after that'
end
if IS_REPAIR then
    -- Do what may fail before the job is pushed. These three writes change nothing that matters if RPUSH fails.
    call('HSET', KEYS[2], 'status', status)
    call('SADD', KEYS[6], KEYS[1])
    call('DEL', KEYS[4])
    call('RPUSH', KEYS[1], id)
    call('HSET', KEYS[2], 'enqueued_at', DATE)
end
return REPAIRED
