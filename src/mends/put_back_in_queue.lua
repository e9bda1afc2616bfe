-- requires mend.inc.lua
-- Push a job that nothing holds to its queue, once it has been seen so for a minute: a worker may just be starting it.
-- RQ gives the jobs of its intermediate queue the same minute, and notes in the same key when it began.
-- KEYS: the queue, the job, its executions, when it was first seen so, the intermediate queue, all queues, the
-- registries of the queue.
-- ARGV, after those of every mend: the job's id, its status and origin; when it was enqueued, as RQ writes it and as a
-- Unix timestamp; when it was seen so, as a Unix timestamp.

local MINUTE, DAY = 60, 86400
local id, status, origin, enqueued_at, enqueued, seen = unpack(ARGV, 4)

local function is_taken()
    for _, taken in ipairs(call('LRANGE', KEYS[5], 0, 9999)) do
        if taken == id then
            return true
        end
    end
    return false
end

-- Whoever enqueues it writes another date.
if not says(KEYS[2], status, origin) or (call('HGET', KEYS[2], 'enqueued_at') or '') ~= enqueued_at
    or is_running(KEYS[3]) or is_in_any(id, 7, #KEYS) or is_taken()
then
    return GONE
end
local noted = tonumber(call('GET', KEYS[4]) or '')
if noted and noted >= tonumber(enqueued) then
    seen = math.min(noted, tonumber(seen))
end
if NOW - seen <= MINUTE then
    if IS_MEND then
        call('SET', KEYS[4], seen, 'EX', DAY)
    end
    return 'it was seen so for less than a minute, and a worker may just be starting it: repair it again after that'
end
if IS_MEND then
    -- What an error must not leave half done is tried before the job is pushed. A queue that is listed, and a note
    -- that is gone, harm nobody.
    call('HSET', KEYS[2], 'status', status)
    call('SADD', KEYS[6], KEYS[1])
    call('DEL', KEYS[4])
    call('RPUSH', KEYS[1], id)
    call('HSET', KEYS[2], 'enqueued_at', DATE)
end
return MENDED
