-- requires mend.inc.lua
-- Take an entry out of a sorted set, if there is none of the jobs that it may mean.
-- KEYS: the sorted set, then the jobs. ARGV, after those of every mend: the entry.

if not call('ZSCORE', KEYS[1], ARGV[4]) or call('EXISTS', unpack(KEYS, 2)) > 0 then
    return GONE
end
if IS_MEND then
    call('ZREM', KEYS[1], ARGV[4])
end
return MENDED
