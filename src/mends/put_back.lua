-- requires mend.inc.lua
-- Enter a job that nothing holds into the registry of its status.
-- KEYS: the registry, the job, its executions, the other registries of its queue.
-- ARGV, after those of every mend: the job's id, its status and origin; and 'now' for RQ's score of this moment, or
-- the score of a job that never expires. RQ gives an entry the time to live of its job, so that is read off the job.

local id, status, origin, score = unpack(ARGV, 4)
if not says(KEYS[2], status, origin) or is_running(KEYS[3]) or call('ZSCORE', KEYS[1], id)
    or is_in_any(id, 4, #KEYS)
then
    return GONE
end
if IS_MEND then
    local ttl = call('PTTL', KEYS[2])
    if score == 'now' then
        score = NOW
    elseif ttl >= 0 then
        score = NOW + math.ceil(ttl / 1000)
    end
    call('ZADD', KEYS[1], score, id)
end
return MENDED
