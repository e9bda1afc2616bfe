-- requires mend.inc.lua
-- Take an entry out of a sorted set, if it has expired, as RQ's clean-up does; or leave that to RQ's clean-up.
-- KEYS: the sorted set. ARGV, after those of every mend: the entry; 'drop' or 'leave'.

local score = tonumber(call('ZSCORE', KEYS[1], ARGV[4]) or -1)
if score < 0 or score > NOW then
    return GONE
end
if IS_MEND and ARGV[5] == 'drop' then
    call('ZREM', KEYS[1], ARGV[4])
end
return MENDED
