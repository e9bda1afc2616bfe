-- requires repair.inc.lua
-- Remove a job from a list, if it does not exist.
-- KEYS: the list, the job. ARGV from the fourth on: the job's id, and its index when it was read.

if call('EXISTS', KEYS[2]) == 1 then
    return GONE
end
return remove_from_list(KEYS[1], ARGV[4], tonumber(ARGV[5]))
