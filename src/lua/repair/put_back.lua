-- requires repair.inc.lua
-- Add an orphan to the registry of its status.
-- KEYS: the registry, the job, its executions, the other registries of its queue.
-- ARGV from the fourth on: the job's id, status and origin; and 'now' if RQ's score is the current time, or
-- the score of a job that never expires. For a job that expires, the score is the time when it does.

local id, status, origin, score = unpack(ARGV, 4)
if not is_unchanged(KEYS[2], status, origin) or is_running(KEYS[3]) or call('ZSCORE', KEYS[1], id)
    or is_in_any(id, 4, #KEYS)
then
    return GONE
end
if IS_REPAIR then
    call('ZADD', KEYS[1], score_of(KEYS[2], score), id)
end
return REPAIRED
