-- requires mend.inc.lua
-- Enter a job that no worker runs as one whose execution is over, for RQ's clean-up to retry or fail.
-- KEYS: the registry of started jobs, the job, its executions.
-- ARGV, after those of every mend: the job's id, its status and origin, when it started and last had a heartbeat.

local id, status, origin, started_at, last_heartbeat = unpack(ARGV, 4)
local fields = call('HMGET', KEYS[2], 'started_at', 'last_heartbeat')
if not says(KEYS[2], status, origin) or (fields[1] or '') ~= started_at or (fields[2] or '') ~= last_heartbeat
    or is_running(KEYS[3])
then
    return GONE
end
if IS_MEND then
    call('ZADD', KEYS[1], NOW, id .. ':abandoned')
end
return MENDED
