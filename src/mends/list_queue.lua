-- requires mend.inc.lua
-- Enter a queue among all queues.
-- KEYS: all queues, the queue.

if call('SISMEMBER', KEYS[1], KEYS[2]) == 1 then
    return GONE
end
if IS_MEND then
    call('SADD', KEYS[1], KEYS[2])
end
return MENDED
