-- requires repair.inc.lua
-- Remove an entry from a sorted set, if it has expired, as RQ's cleanup does; or only check it, for RQ's cleanup.
-- KEYS: the sorted set. ARGV from the fourth on: the entry; 'drop', or 'leave' to change nothing.

local score = tonumber(call('ZSCORE', KEYS[1], ARGV[4]) or -1)
if score < 0 or score > NOW then
    return GONE
end
if IS_REPAIR and ARGV[5] == 'drop' then
    call('ZREM', KEYS[1], ARGV[4])
end
return REPAIRED
