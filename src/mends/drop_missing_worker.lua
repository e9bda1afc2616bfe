-- requires mend.inc.lua
-- Take a worker out of a set, if there is no such worker.
-- KEYS: the set, the worker.

if call('EXISTS', KEYS[2]) == 1 or call('SISMEMBER', KEYS[1], KEYS[2]) == 0 then
    return GONE
end
if IS_MEND then
    call('SREM', KEYS[1], KEYS[2])
end
return MENDED
