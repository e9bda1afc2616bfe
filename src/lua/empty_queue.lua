-- requires clock.inc.lua
-- What RQ's queue.empty() does, for jobs at the head of the queue.
-- KEYS: the queue.
-- arguments: microseconds most last job_prefix result_prefix
-- The script begins no further batch after that many microseconds, nor after `most` entries. last: the entry that was
-- the last one when the caller began. The script ends after it if there are later entries; may be empty. The prefixes
-- are those of keys; result_prefix is empty if this RQ has no such keys.
-- Returns {entries removed, microseconds, entries of jobs that were gone, entries left, 1 if it ended after `last`}.

local call = redis.call

-- How many jobs are deleted before the clock is looked at; and how many octets of data, which take long to free.
local BATCH, LONG_DATA = 64, 1000000

-- How many octets of data the job has; nil if it is gone.
local function data_length(key)
    local length = redis.pcall('HSTRLEN', key, 'data')
    if type(length) == 'number' and length > 0 then
        return length
    end
    -- A key of any type is deleted.
    return call('EXISTS', key) == 1 and 0 or nil
end

local gone, has_ended = 0, false

-- Delete the first of these jobs; return how many.
local function delete(ids)
    local keys, is_seen, octets, count = {}, {}, 0, 0
    for _, id in ipairs(ids) do
        local key = job_prefix .. id
        local length = not is_seen[id] and data_length(key)
        is_seen[id] = true
        gone = gone + (length and 0 or 1)
        keys[#keys + 1] = key
        keys[#keys + 1] = key .. ':dependents'
        if result_prefix ~= '' then
            keys[#keys + 1] = result_prefix .. id
        end
        octets = octets + (length or 0)
        count = count + 1
        -- The entries behind it were enqueued after the caller began.
        has_ended = id == last and call('LINDEX', KEYS[1], -1) ~= last
        if has_ended or octets > LONG_DATA then
            break
        end
    end
    call('UNLINK', unpack(keys))
    return count
end

-- Try everything that may fail before the first change: no job has the id ' ', and LTRIM keeps the whole list. DEL is
-- here because RQ sends it.
call('DEL', job_prefix .. ' ')
call('UNLINK', job_prefix .. ' ')
call('HSTRLEN', job_prefix .. ' ', 'data')
call('EXISTS', job_prefix .. ' ')
call('LINDEX', KEYS[1], -1)
call('LLEN', KEYS[1])
call('LTRIM', KEYS[1], 0, -1)

local clock = make_clock()
local started = clock()
local removed, spent = 0, 0
repeat
    local ids = call('LRANGE', KEYS[1], 0, math.min(BATCH, most - removed) - 1)
    if #ids == 0 then
        break
    end
    local count = delete(ids)
    call('LTRIM', KEYS[1], count, -1)
    removed = removed + count
    spent = clock() - started
until has_ended or removed >= tonumber(most) or spent >= tonumber(microseconds)
return {removed, math.floor(spent), gone, call('LLEN', KEYS[1]), has_ended and 1 or 0}
