-- requires repair.inc.lua
-- Add a started orphan as expired to the registry of started jobs, for RQ's cleanup to retry or fail.
-- KEYS: the registry of started jobs, the job, its executions.
-- ARGV from the fourth on: the job's id, status and origin, and its fields started_at and last_heartbeat.

local id, status, origin, started_at, last_heartbeat = unpack(ARGV, 4)
local fields = call('HMGET', KEYS[2], 'started_at', 'last_heartbeat')
if not is_unchanged(KEYS[2], status, origin) or (fields[1] or '') ~= started_at or (fields[2] or '') ~= last_heartbeat
    or is_running(KEYS[3])
then
    return GONE
end
if IS_REPAIR then
    call('ZADD', KEYS[1], NOW, id .. ':abandoned')
end
return REPAIRED
