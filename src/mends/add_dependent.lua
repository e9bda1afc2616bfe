-- requires mend.inc.lua
-- Enter a deferred job with the jobs that it waits for, as RQ does when it is enqueued.
-- KEYS: the registry of deferred jobs, the job, what it keeps of the jobs that it waits for; those, and as many sets of
-- the jobs that wait for them.
-- ARGV, after those of every mend: the job's id, then those that it waits for.

local FIRST, FIRST_ID = 4, 5
local COUNT = (#KEYS - FIRST + 1) / 2

if not call('ZSCORE', KEYS[1], ARGV[4]) or call('HGET', KEYS[2], 'status') ~= 'deferred' then
    return GONE
end
-- What is wrong with this set is an error before the first change.
call('SCARD', KEYS[3])
local result = GONE
for i = 0, COUNT - 1 do
    local status, dependents = call('HGET', KEYS[FIRST + i], 'status'), KEYS[FIRST + COUNT + i]
    if status and status ~= 'finished' and call('SISMEMBER', dependents, ARGV[4]) == 0 then
        result = MENDED
        if IS_MEND then
            call('SADD', dependents, ARGV[4])
            call('SADD', KEYS[3], ARGV[FIRST_ID + i])
        end
    end
end
return result
