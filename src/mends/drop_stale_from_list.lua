-- requires mend.inc.lua
-- Take a job out of a list, if it still is what it was, and stands elsewhere.
-- KEYS: the list, the job, where it stands.
-- ARGV, after those of every mend: the job's id, its status and origin, and as what it stands there, at which index;
-- the index at which it was in the list.

local id, status, origin, member, place_position, position = unpack(ARGV, 4)
if not says(KEYS[2], status, origin) then
    return GONE
end
if not holds(KEYS[3], member, tonumber(place_position)) then
    return 'the job is not where it was: it may be on its way'
end
return take_from_list(KEYS[1], id, tonumber(position))
