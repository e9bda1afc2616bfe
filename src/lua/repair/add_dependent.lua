-- requires repair.inc.lua
-- Add a deferred job to the dependents of its dependencies, as RQ does when the job is enqueued.
-- KEYS: the registry of deferred jobs, the job, its set of dependencies; the dependencies; the sets of dependents of
-- each dependency.
-- ARGV from the fourth on: the ids of the job and of the dependencies.

local FIRST, FIRST_ID = 4, 5
local COUNT = (#KEYS - FIRST + 1) / 2

if not call('ZSCORE', KEYS[1], ARGV[4]) or call('HGET', KEYS[2], 'status') ~= 'deferred' then
    return GONE
end
-- Read the set first: if its type is wrong, the error comes before the first change.
call('SCARD', KEYS[3])
local result = GONE
for i = 0, COUNT - 1 do
    local status, dependents = call('HGET', KEYS[FIRST + i], 'status'), KEYS[FIRST + COUNT + i]
    if status and status ~= 'finished' and call('SISMEMBER', dependents, ARGV[4]) == 0 then
        result = REPAIRED
        if IS_REPAIR then
            call('SADD', dependents, ARGV[4])
            call('SADD', KEYS[3], ARGV[FIRST_ID + i])
        end
    end
end
return result
