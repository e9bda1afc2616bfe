-- requires mend.inc.lua
-- Take an entry out of a sorted set, if its job still is what it was, and stands elsewhere.
-- KEYS: the sorted set, the job, where it stands.
-- ARGV, after those of every mend: the entry, the job's status and origin, and as what it stands there, at which index.

local entry, status, origin, member, position = unpack(ARGV, 4)
if not call('ZSCORE', KEYS[1], entry) or not says(KEYS[2], status, origin) then
    return GONE
end
if not holds(KEYS[3], member, tonumber(position)) then
    return 'the job is not where it was: it may be on its way'
end
if IS_MEND then
    call('ZREM', KEYS[1], entry)
end
return MENDED
