-- requires repair.inc.lua
-- Remove a job from a list, if it is unchanged and is still in the other location.
-- KEYS: the list, the job, the other location: a sorted set or a list.
-- ARGV from the fourth on: the job's id, status and origin; its member in the other location, and its index
-- there if that is a list; its index in the list when it was read.

local id, status, origin, member, other_position, position = unpack(ARGV, 4)
if not is_unchanged(KEYS[2], status, origin) then
    return GONE
end
if not contains(KEYS[3], member, tonumber(other_position)) then
    return 'the job is not where it was: a worker may be moving it'
end
return remove_from_list(KEYS[1], id, tonumber(position))
