-- requires repair.inc.lua
-- Add an orphan to the registry of deferred jobs, and to the dependents of its dependencies, as RQ does.
-- KEYS: the registry, the job, its set of dependencies, the other registries of its queue.
-- ARGV from the fourth on: the job's id, status and origin; 'now' if RQ's score is the current time, or the
-- score of a job that never expires; the key prefix of jobs.

local id, status, origin, score, JOBS = unpack(ARGV, 4)
if not is_unchanged(KEYS[2], status, origin) or call('ZSCORE', KEYS[1], id) or is_in_any(id, 4, #KEYS) then
    return GONE
end
local is_list, dependency_ids = pcall(cjson.decode, call('HGET', KEYS[2], 'dependency_ids') or '[]')
if not is_list or type(dependency_ids) ~= 'table' then
    return 'its dependency_ids cannot be read'
end
if not IS_REPAIR then
    return REPAIRED
end
score = score_of(KEYS[2], score)

-- Use each key first without a change, so that an error comes before the first change. XX adds nothing.
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
return REPAIRED
