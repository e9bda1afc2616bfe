-- requires mend.inc.lua
-- Delete an execution, or a registry of executions, if there is no such job, and no worker is at it.
-- KEYS: the execution or the registry, the job.

-- Seconds in which a worker gives a sign of life.
local SILENCE = 600

local function is_alive()
    if call('TYPE', KEYS[1]).ok == 'zset' then
        return is_running(KEYS[1])
    end
    return tonumber(call('HGET', KEYS[1], 'last_heartbeat') or 0) + SILENCE > NOW
end

if call('EXISTS', KEYS[2]) == 1 or call('EXISTS', KEYS[1]) == 0 then
    return GONE
end
if is_alive() then
    return 'a worker may still be at it'
end
if IS_MEND then
    call('DEL', KEYS[1])
end
return MENDED
