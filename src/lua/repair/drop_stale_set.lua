-- requires repair.inc.lua
-- Delete a set of dependents or dependencies, if its job is gone and no dependent is deferred.
-- KEYS: the set, the job.
-- ARGV from the fourth on: the key prefix of jobs for a set of dependents; empty for a set of
-- dependencies, whose jobs are not read.

local MOST = 1000
local JOBS = ARGV[4]

if call('EXISTS', KEYS[2]) == 1 or call('EXISTS', KEYS[1]) == 0 then
    return GONE
end
if JOBS ~= '' then
    if call('SCARD', KEYS[1]) > MOST then
        return 'it has too many jobs to read them all'
    end
    for _, id in ipairs(call('SMEMBERS', KEYS[1])) do
        if call('HGET', JOBS .. id, 'status') == 'deferred' then
            return 'a deferred job is in it'
        end
    end
end
if IS_REPAIR then
    call('DEL', KEYS[1])
end
return REPAIRED
