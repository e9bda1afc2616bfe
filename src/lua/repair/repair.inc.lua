-- The common part of the repair scripts. Each checks first that the problem still exists, and only then repairs it.
-- ARGV: 'repair', or 'dry_run' to change nothing; the current time, as a Unix timestamp in seconds and in RQ's format.
-- Returns REPAIRED (also for 'dry_run'); GONE if the problem does not exist any more; or a text, why it was left.

local call = redis.call
local IS_REPAIR, NOW, DATE = ARGV[1] == 'repair', tonumber(ARGV[2]), ARGV[3]
local REPAIRED, GONE = 1, 0

-- Whether the job has the status and the queue that it had when it was checked.
local function is_unchanged(job, status, origin)
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

-- RQ's score for a job in a registry: the current time if `score` is 'now', or else the time when the job expires; and
-- `score` for a job that never does.
local function score_of(job, score)
    if score == 'now' then
        return NOW
    end
    local ttl = call('PTTL', job)
    return ttl < 0 and score or NOW + math.ceil(ttl / 1000)
end

-- How far from its last index a job is searched in a list: pops by workers move it.
local WINDOW = 1000

local function is_near(list, id, position)
    for _, found in ipairs(call('LRANGE', list, math.max(0, position - WINDOW), position + WINDOW)) do
        if found == id then
            return true
        end
    end
    return false
end

-- Whether a sorted set, or a list, has the member.
local function contains(key, member, position)
    if call('TYPE', key).ok == 'list' then
        return is_near(key, member, position)
    end
    return call('ZSCORE', key, member) ~= false
end

-- LREM and LRANGE walk through the list, at some ten million ids a second, and block the server while they do.
local LONG, DEEP = 100000, 300000

-- Remove an id from a list, searching from the nearer end.
local function remove_from_list(list, id, position)
    local length = call('LLEN', list)
    if length > LONG and not is_near(list, id, position) then
        return 'the queue is long, and the job is not near its last index: check the queue again'
    end
    if math.min(position, length - position) > DEEP then
        return 'it is so deep in the queue that removing it would block the server: repair it when it is near an end'
    end
    if not IS_REPAIR then
        return REPAIRED
    end
    return call('LREM', list, position * 2 < length and 1 or -1, id) == 1 and REPAIRED or GONE
end
