-- requires repair.inc.lua
-- Delete an execution, or a registry of executions, if its job does not exist and no worker runs it.
-- KEYS: the execution or the registry, the job.

-- Seconds without a heartbeat after which the worker counts as gone.
local HEARTBEAT_LIMIT = 600

local function is_alive()
    if call('TYPE', KEYS[1]).ok == 'zset' then
        return is_running(KEYS[1])
    end
    return tonumber(call('HGET', KEYS[1], 'last_heartbeat') or 0) + HEARTBEAT_LIMIT > NOW
end

if call('EXISTS', KEYS[2]) == 1 or call('EXISTS', KEYS[1]) == 0 then
    return GONE
end
if is_alive() then
    return 'a worker may still run it'
end
if IS_REPAIR then
    call('DEL', KEYS[1])
end
return REPAIRED
