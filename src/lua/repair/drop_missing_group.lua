-- requires repair.inc.lua
-- Remove the group from a job, if the group does not exist: RQ writes an empty field for no group.
-- KEYS: the job, the group. ARGV from the fourth on: the group's id.

if call('EXISTS', KEYS[2]) == 1 or call('HGET', KEYS[1], 'group_id') ~= ARGV[4] then
    return GONE
end
if IS_REPAIR then
    call('HSET', KEYS[1], 'group_id', '')
end
return REPAIRED
