-- requires repair.inc.lua
-- Enqueue a deferred job, if its dependencies have ended. From RQ 3 on, it becomes ready first, as RQ does it.
-- KEYS: the registry of deferred jobs, the job, the queue or the registry of ready jobs, its set of dependencies; the
-- dependencies; the sets of dependents of each dependency.
-- ARGV from the fourth on: the job's id and queue; 'ready' or 'queue'; the default timeout in seconds.

local FIRST = 5
local id, queue, target, default_timeout = unpack(ARGV, 4)
local COUNT = (#KEYS - FIRST + 1) / 2

if not call('ZSCORE', KEYS[1], id) or not is_unchanged(KEYS[2], 'deferred', queue) then
    return GONE
end
local allows_failures, timeout, ttl, at_front =
    unpack(call('HMGET', KEYS[2], 'allow_dependency_failures', 'timeout', 'ttl', 'enqueue_at_front'))
for i = FIRST, FIRST + COUNT - 1 do
    local status = call('HGET', KEYS[i], 'status')
    if status ~= 'finished' and not (status == 'failed' and allows_failures == '1') then
        return GONE
    end
end
if not IS_REPAIR then
    return REPAIRED
end
local expires = target ~= 'ready' and tonumber(ttl or '') and tonumber(ttl) > 0

-- Try each kind of write first, with an id that no job has, so that an error comes before the first change.
call('ZREM', KEYS[1], ' ')
for i = FIRST + COUNT, #KEYS do
    call('SREM', KEYS[i], ' ')
end
call('HSET', KEYS[2], 'status', 'deferred')
if expires then
    call('EXPIRE', KEYS[1] .. ' ', ttl)
end

-- The first change. If it fails, nothing was done.
if target == 'ready' then
    call('ZADD', KEYS[3], NOW, id)
    call('HSET', KEYS[2], 'status', 'ready_to_enqueue')
else
    call(at_front == '1' and 'LPUSH' or 'RPUSH', KEYS[3], id)
    call(
        'HSET', KEYS[2], 'status', 'queued', 'enqueued_at', DATE,
        'timeout', timeout and timeout ~= '' and timeout or default_timeout
    )
end
if expires then
    call('EXPIRE', KEYS[2], ttl)
    call('EXPIRE', KEYS[2] .. ':dependents', ttl)
    call('EXPIRE', KEYS[4], ttl)
end
call('ZREM', KEYS[1], id)
for i = FIRST + COUNT, #KEYS do
    call('SREM', KEYS[i], id)
end
return REPAIRED
