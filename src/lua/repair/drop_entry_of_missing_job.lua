-- requires repair.inc.lua
-- Remove an entry from a sorted set, if none of the jobs that it may name exists.
-- KEYS: the sorted set, then the jobs. ARGV from the fourth on: the entry.

if not call('ZSCORE', KEYS[1], ARGV[4]) or call('EXISTS', unpack(KEYS, 2)) > 0 then
    return GONE
end
if IS_REPAIR then
    call('ZREM', KEYS[1], ARGV[4])
end
return REPAIRED
