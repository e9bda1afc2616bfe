-- requires mend.inc.lua
-- Take a group that is gone out of a job, as RQ writes a job without a group.
-- KEYS: the job, the group. ARGV, after those of every mend: the group's id.

if call('EXISTS', KEYS[2]) == 1 or call('HGET', KEYS[1], 'group_id') ~= ARGV[4] then
    return GONE
end
if IS_MEND then
    call('HSET', KEYS[1], 'group_id', '')
end
return MENDED
