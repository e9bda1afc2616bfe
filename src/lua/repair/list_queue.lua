-- requires repair.inc.lua
-- Add a queue to RQ's set of queues.
-- KEYS: the set of queues, the queue.

if call('SISMEMBER', KEYS[1], KEYS[2]) == 1 then
    return GONE
end
if IS_REPAIR then
    call('SADD', KEYS[1], KEYS[2])
end
return REPAIRED
