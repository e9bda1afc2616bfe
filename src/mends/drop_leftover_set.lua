-- requires mend.inc.lua
-- Delete a set of job ids, if its job is gone.
-- KEYS: the set, the job.
-- ARGV, after those of every mend: the key prefix of jobs, where the set is one of jobs that wait, and is left if one
-- of them still does; empty for any other set.

local MOST = 1000
local JOBS = ARGV[4]

if call('EXISTS', KEYS[2]) == 1 or call('EXISTS', KEYS[1]) == 0 then
    return GONE
end
if JOBS ~= '' then
    if call('SCARD', KEYS[1]) > MOST then
        return 'there are too many jobs in it to look at them all'
    end
    for _, id in ipairs(call('SMEMBERS', KEYS[1])) do
        if call('HGET', JOBS .. id, 'status') == 'deferred' then
            return 'a deferred job is in it'
        end
    end
end
if IS_MEND then
    call('DEL', KEYS[1])
end
return MENDED
