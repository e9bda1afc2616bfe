-- requires repair.inc.lua
-- Remove a worker from a set, if the worker does not exist.
-- KEYS: the set, the worker.

if call('EXISTS', KEYS[2]) == 1 or call('SISMEMBER', KEYS[1], KEYS[2]) == 0 then
    return GONE
end
if IS_REPAIR then
    call('SREM', KEYS[1], KEYS[2])
end
return REPAIRED
