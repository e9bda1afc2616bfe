-- requires mend.inc.lua
-- Take a job out of a list, if there is no such job.
-- KEYS: the list, the job. ARGV, after those of every mend: the job's id, and the index at which it was.

if call('EXISTS', KEYS[2]) == 1 then
    return GONE
end
return take_from_list(KEYS[1], ARGV[4], tonumber(ARGV[5]))
