-- What every mend begins with. It looks again whether the problem still stands, and only then mends it.
-- ARGV: 'mend', or 'look' to change nothing; now, as a Unix timestamp in seconds and as RQ writes a date.
-- Returns MENDED (by 'look': it would be); GONE where there is nothing to mend any more; or why it is left, a text.

local call = redis.call
local IS_MEND, NOW, DATE = ARGV[1] == 'mend', tonumber(ARGV[2]), ARGV[3]
local MENDED, GONE = 1, 0

-- Whether the job still says of itself what it said when it was looked at.
local function says(job, status, origin)
    local fields = call('HMGET', job, 'status', 'origin')
    return fields[1] == status and fields[2] == origin
end

-- Whether one of the sorted sets has the member.
local function is_in_any(member, first, last)
    for i = first, last do
        if call('ZSCORE', KEYS[i], member) then
            return true
        end
    end
    return false
end

local function is_running(executions)
    return call('ZCOUNT', executions, '(' .. NOW, '+inf') > 0
end

-- How far from where it was a job is looked for in a list, from which others pop meanwhile.
local WINDOW = 1000

local function is_near(list, id, position)
    for _, found in ipairs(call('LRANGE', list, math.max(0, position - WINDOW), position + WINDOW)) do
        if found == id then
            return true
        end
    end
    return false
end

-- Whether a registry, or a list, holds the member.
local function holds(place, member, position)
    if call('TYPE', place).ok == 'list' then
        return is_near(place, member, position)
    end
    return call('ZSCORE', place, member) ~= false
end

-- Redis finds an id in a list by going through it, some ten million ids a second.
local LONG, DEEP = 100000, 300000

-- Take an id out of a list, beginning at the end that it is nearer to.
local function take_from_list(list, id, position)
    local length = call('LLEN', list)
    if length > LONG and not is_near(list, id, position) then
        return 'the queue is long, and has moved on meanwhile: check it again'
    end
    if math.min(position, length - position) > DEEP then
        return 'it is so deep in the queue that taking it out would hold the server: repair it when its turn is nearer'
    end
    if not IS_MEND then
        return MENDED
    end
    return call('LREM', list, position * 2 < length and 1 or -1, id) == 1 and MENDED or GONE
end
