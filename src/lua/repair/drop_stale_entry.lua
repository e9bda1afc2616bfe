-- requires repair.inc.lua
-- Remove an entry from a sorted set, if its job is unchanged and is still in the other location.
-- KEYS: the sorted set, the job, the other location: a sorted set or a list.
-- ARGV from the fourth on: the entry; the job's status and origin; its member in the other location,
-- and its index there if that is a list.

local entry, status, origin, member, position = unpack(ARGV, 4)
if not call('ZSCORE', KEYS[1], entry) or not is_unchanged(KEYS[2], status, origin) then
    return GONE
end
if not contains(KEYS[3], member, tonumber(position)) then
    return 'the job is not where it was: a worker may be moving it'
end
if IS_REPAIR then
    call('ZREM', KEYS[1], entry)
end
return REPAIRED
