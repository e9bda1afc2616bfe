-- requires clock.inc.lua statuses.inc.lua
-- What the scripts share that go through many jobs of a registry: how long they go on, what they answer, and
-- how they take jobs out of queues and other registries.
--
-- KEYS: the registry.
-- arguments: microseconds dry_run registry_name known_queue short_queue job_prefix queue_prefix
-- The job ids are last. The script begins no job after that many microseconds. dry_run: not empty to change nothing.
-- known_queue: the key of a queue that the caller has searched for the jobs; may be empty. An id '<id' is in that
-- queue, nearer to its head; '>id' is nearer to its tail; other ids are not in it. '=id' is for requeue_many.
-- short_queue: the script searches another queue for a job only if it has at most this number of entries. The prefixes
-- are those of keys.
-- Returns {ids processed, microseconds, index, code, index, code, ...}: a pair for each id whose job was not done, with
-- its index among the ids, from 0. requeue_many returns metadata that it needs in place of a code.

local call, find, byte, sub = redis.call, string.find, string.byte, string.sub

local BUDGET, IS_DRY, SHORT = tonumber(microseconds), dry_run ~= '', tonumber(short_queue)

local NOT_IN_REGISTRY, FOR_RQ, NO_SUCH_JOB, QUEUE_UNKNOWN, ALREADY_CANCELED, DATA_UNKNOWN = 0, 1, 2, 3, 4, 5

-- Send commands that RQ's loop sends and the script does not need: if the user may not send them, this is an error
-- before anything has changed, and RQ's own methods go on. No job has the id ' ', so that these commands change
-- nothing.
-- HSTRLEN is here because the script sends it for each job.
local function check_rights_of_rq(...)
    call('HSTRLEN', job_prefix .. ' ', 'data')
    if not IS_DRY then
        call('HGETALL', job_prefix .. ' ')
        for _, words in ipairs({...}) do
            call(words[1], job_prefix .. ' ', unpack(words, 2))
        end
    end
end

-- What is known of a queue and of the registries of its name: all jobs of one origin share it.
local origins = {}

local function make_origin(name)
    -- RQ decodes the name; if that fails, RQ must raise the error.
    if name ~= registry_name and find(name, '[^\1-\127]') then
        return {is_usable = false}
    end
    local queue = queue_prefix .. name
    local kind = call('TYPE', queue).ok
    return {
        name = name, queue = queue, registries = {}, is_usable = kind == 'list' or kind == 'none',
        length = kind == 'list' and call('LLEN', queue) or 0,
    }
end

local function get_origin(name)
    local origin = origins[name]
    if not origin then
        origin = make_origin(name)
        origins[name] = origin
    end
    return origin
end

-- The key of the registry that jobs of this origin and status are in; '' if there is none, nil if only RQ knows.
local function find_registry(origin, status)
    local prefix = prefix_of_status(status)
    if not prefix then
        return nil
    end
    if prefix == '' then
        return ''
    end
    local key = prefix .. origin.name
    local kind = call('TYPE', key).ok
    if kind == 'none' then
        return ''
    end
    return kind == 'zset' and key or nil
end

-- An error now if the user may not remove entries from it, before anything has changed: no job has the id ' '.
local function get_registry(origin, status)
    local registry = origin.registries[status]
    if registry == nil then
        registry = find_registry(origin, status) or false
        if registry and registry ~= '' and not IS_DRY then
            call('ZREM', registry, ' ')
        end
        origin.registries[status] = registry
    end
    return registry or nil
end

-- Set if a job has just cost as much as hundreds of others: it was in a long queue, or had long data to free.
local was_long = false

-- Whether the job's queue is too long to be searched here, and the caller has not searched it.
local function is_queue_unknown(origin)
    return origin.length > SHORT and origin.queue ~= known_queue and not IS_DRY
end

-- The job's first entry in its queue, as LREM takes it out.
local function remove_from_queue(origin, id, mark)
    if origin.length == 0 or IS_DRY then
        return
    end
    if origin.queue ~= known_queue then
        call('LREM', origin.queue, 1, id)
    elseif mark then
        call('LREM', origin.queue, mark == '<' and 1 or -1, id)
        was_long = true
    end
end

local answer = {0, 0}

-- Set by a script that must not go on.
local is_over = false

local function note(place, code)
    local count = #answer
    answer[count + 1] = place
    answer[count + 2] = code
end

-- Make a take() for go_through() of a function of an id and its mark, which returns a code if it has not done the job.
local function taking_by(change)
    return function(place, id, mark)
        local code = change(id, mark)
        if code then
            note(place, code)
        end
    end
end

-- How many jobs are done before the clock is looked at; fewer after a job that took long.
local BATCH, SHORT_BATCH = 64, 4

-- The ids of a batch, and their marks.
local ids, marks = {}, {}

local function read_ids(first, last)
    for i = first, last do
        local id = ARGV[i]
        local first_byte = byte(id)
        local is_marked = first_byte >= 60 and first_byte <= 62
        ids[i - first + 1] = is_marked and sub(id, 2) or id
        marks[i - first + 1] = is_marked and sub(id, 1, 1) or nil
    end
    return last - first + 1
end

-- Which ids of a batch are in the registry. Most callers pass ids in the order of the registry: reading the range by
-- rank takes a fifth of the time of a look-up for each, and mostly the range is the batch.
local are_members, is_member = false, {}
local are_consecutive = true

local function are_first_of(line, count)
    for i = 1, count do
        if line[i] ~= ids[i] then
            return false
        end
    end
    return true
end

local function read_by_rank(count)
    is_member = {}
    local rank = redis.pcall('ZRANK', KEYS[1], ids[1])
    local line = type(rank) == 'number' and redis.pcall('ZRANGE', KEYS[1], rank, rank + count - 1) or {}
    are_members = are_first_of(line, count)
    if are_members then
        return
    end
    for i = 1, #line do
        is_member[line[i]] = true
    end
    local found = 0
    for i = 1, count do
        if is_member[ids[i]] then
            found = found + 1
        end
    end
    are_consecutive = 2 * found >= count
end

local function read_scores(count)
    are_members, is_member = false, {}
    local scores = redis.pcall('ZMSCORE', KEYS[1], unpack(ids, 1, count))
    -- Before Redis 6.2, or for a key of another type.
    if not scores.err then
        for i = 1, count do
            is_member[ids[i]] = scores[i] ~= false
        end
    end
end

local function is_in_registry(id)
    if are_members then
        return true
    end
    local is_known = is_member[id]
    if is_known == nil then
        return call('ZSCORE', KEYS[1], id)
    end
    return is_known
end

-- Fails where something is wrong with the registry, or not allowed.
local function check_registry()
    call('ZSCORE', KEYS[1], ' ')
end

local function remove_entries(...)
    call('ZREM', KEYS[1], ...)
end

-- Call take(place, id, mark) for each job of ARGV from `first` on that is in the registry, until the time is over;
-- return the answer of the script. take() may set is_over and return true for a job that it has not done. An error in
-- take() comes before the job has changed: RQ's own methods must raise it. begin(count) is called before the ids of a
-- batch, and finish() after, if they are given.
local function go_through(first, take, begin, finish)
    -- An error now, and not after some of the jobs.
    check_registry()
    local clock = make_clock()
    local started = clock()
    local place, last, size = 0, #ARGV - first, BATCH
    local count, i

    local function take_next_ones()
        while i < count and not was_long and not is_over do
            i = i + 1
            if is_in_registry(ids[i]) then
                if take(place + i - 1, ids[i], marks[i]) then
                    i = i - 1
                end
            else
                note(place + i - 1, NOT_IN_REGISTRY)
            end
        end
    end

    repeat
        count, i = read_ids(first + place, first + math.min(place + size - 1, last)), 0
        local read_members = are_consecutive and read_by_rank or read_scores
        read_members(count)
        if begin then
            begin(count)
        end
        was_long = false
        -- One pcall() for many jobs: one for each takes as long as reading a field.
        while not pcall(take_next_ones) do
            note(place + i - 1, FOR_RQ)
        end
        if finish then
            finish()
        end
        place = place + i
        size = was_long and SHORT_BATCH or math.min(2 * size, BATCH)
        local spent = clock() - started
        answer[1], answer[2] = place, math.floor(spent)
    until place > last or is_over or spent >= BUDGET
    return answer
end
