-- requires mend.inc.lua
-- Enter a job that nothing holds into the registry of deferred jobs, and with the jobs that it waits for, as RQ does.
-- KEYS: the registry, the job, the jobs that it waits for, the other registries of its queue.
-- ARGV, after those of every mend: the job's id, its status and origin; 'now' for RQ's score of this moment, or the
-- score of a job that never expires; the key prefix of jobs.

local id, status, origin, score, JOBS = unpack(ARGV, 4)
if not says(KEYS[2], status, origin) or call('ZSCORE', KEYS[1], id) or is_in_any(id, 4, #KEYS) then
    return GONE
end
local is_list, dependency_ids = pcall(cjson.decode, call('HGET', KEYS[2], 'dependency_ids') or '[]')
if not is_list or type(dependency_ids) ~= 'table' then
    return 'what it waits for cannot be read'
end
if not IS_MEND then
    return MENDED
end
local ttl = call('PTTL', KEYS[2])
if score == 'now' then
    score = NOW
elseif ttl >= 0 then
    score = NOW + math.ceil(ttl / 1000)
end

-- What an error must not leave half done is tried before the first change. XX adds nothing.
call('ZADD', KEYS[1], 'XX', score, ' ')
call('SCARD', KEYS[3])
for _, dependency_id in ipairs(dependency_ids) do
    call('SCARD', JOBS .. dependency_id .. ':dependents')
end
for _, dependency_id in ipairs(dependency_ids) do
    call('SADD', KEYS[3], dependency_id)
    if call('EXISTS', JOBS .. dependency_id) == 1 then
        call('SADD', JOBS .. dependency_id .. ':dependents', id)
    end
end
call('ZADD', KEYS[1], score, id)
return MENDED
