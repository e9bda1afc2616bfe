-- What the scripts share that go through many jobs of a registry: how long they go on, what they answer, and
-- how they take jobs out of queues and other registries.
--
-- KEYS: the registry.
-- ARGV: for how many microseconds to go on; 'dry' to change nothing; the registry's name; the key of a queue
-- that was looked through ('': none); how many entries a queue may have to be looked through here, for each
-- job; the key prefixes of jobs and queues, and of the registries of finished, deferred, scheduled, failed and
-- canceled jobs; then what the script itself is given; then the job ids. In the queue that was looked through
-- are none of the jobs but those whose id is marked: '<id' is nearer to its head, '>id' nearer to its tail.
-- Returns how many ids were come to, in how many microseconds, and for each of these whose job is not done,
-- its place among the ids, from 0, and one of the codes, or what the script wants to be told first.

local call, find, byte, sub = redis.call, string.find, string.byte, string.sub

local BUDGET, IS_DRY, NAME = tonumber(ARGV[1]), ARGV[2] == 'dry', ARGV[3]
local KNOWN_QUEUE, SHORT, JOBS, QUEUES = ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7]
local FIRST_OWN = 13

local NOT_IN_REGISTRY, FOR_RQ, NO_SUCH_JOB, QUEUE_UNKNOWN, ALREADY_CANCELED = 0, 1, 2, 3, 4

-- Redis 7.2 stops the clock of TIME in scripts, and later ones have Lua's; where there is neither, the caller
-- gives few ids.
local function make_clock()
    local has_clock, clock = pcall(function()
        return os.clock
    end)
    if has_clock then
        return function()
            return clock() * 1000000
        end
    end
    return function()
        local time = call('TIME')
        return time[1] * 1000000 + time[2]
    end
end

-- What is known of a queue and of the registries of its name: all jobs of one origin share it.
local PREFIX_OF_STATUS = {
    finished = ARGV[8], deferred = ARGV[9], scheduled = ARGV[10], failed = ARGV[11], stopped = ARGV[11],
    canceled = ARGV[12], queued = '', created = '',
}
local origins = {}

local function make_origin(name)
    -- RQ decodes the name, which only RQ has the words for where that fails.
    if name ~= NAME and find(name, '[^\1-\127]') then
        return {is_usable = false}
    end
    local queue = QUEUES .. name
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

-- The key of the registry that jobs of this origin and status are in; '' for none, nil for what only RQ knows.
local function find_registry(origin, status)
    local prefix = PREFIX_OF_STATUS[status]
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

-- It is an error where the user may not remove entries from it, before anything has changed: no job has the id ' '.
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

-- Set where a job has just cost as much as hundreds of others: taken out of a long queue, or with long data.
local was_long = false
local LONG_DATA = 65536

-- Whether nobody has looked for the job in its queue, which is too long to do that here.
local function is_queue_unknown(origin)
    return origin.length > SHORT and origin.queue ~= KNOWN_QUEUE and not IS_DRY
end

-- The job's first entry in its queue, as LREM takes it out.
local function remove_from_queue(origin, id, mark)
    if origin.length == 0 or IS_DRY then
        return
    end
    if origin.queue ~= KNOWN_QUEUE then
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

-- How many jobs are done before the clock is looked at.
local BATCH = 64

-- The ids of a batch, and where in the queue that was looked through each is marked to be.
local ids, marks = {}, {}

local function read_ids(first, last)
    for i = first, last do
        local id = ARGV[i]
        local first_byte = byte(id)
        local is_marked = first_byte == 60 or first_byte == 62
        ids[i - first + 1] = is_marked and sub(id, 2) or id
        marks[i - first + 1] = is_marked and sub(id, 1, 1) or nil
    end
    return last - first + 1
end

-- Which ids of a batch are in the registry. Most callers give them as they stand there, one behind the other, and to
-- read that part of the registry takes a fifth of the time of a look at each.
local is_member = {}
local are_in_line = true

local function read_line(count)
    is_member = {}
    local rank = redis.pcall('ZRANK', KEYS[1], ids[1])
    local line = type(rank) == 'number' and redis.pcall('ZRANGE', KEYS[1], rank, rank + count - 1) or {}
    for i = 1, #line do
        is_member[line[i]] = true
    end
    local found = 0
    for i = 1, count do
        if is_member[ids[i]] then
            found = found + 1
        end
    end
    are_in_line = 2 * found >= count
end

local function read_scores(count)
    is_member = {}
    local scores = redis.pcall('ZMSCORE', KEYS[1], unpack(ids, 1, count))
    -- Before Redis 6.2, or for a key of another type.
    if not scores.err then
        for i = 1, count do
            is_member[ids[i]] = scores[i] ~= false
        end
    end
end

local function is_in_registry(id)
    local is_known = is_member[id]
    if is_known == nil then
        return call('ZSCORE', KEYS[1], id)
    end
    return is_known
end

-- Call take(place, id, mark) for each job of ARGV from `first` on that is in the registry, until the time is over;
-- return the answer. Where they are given, begin(count) is called before the ids of a batch, and finish() after.
local function go_through(first, take, begin, finish)
    -- What is wrong with the registry, or not allowed, is an error now and not after some of the jobs.
    call('ZSCORE', KEYS[1], ' ')
    local clock = make_clock()
    local started = clock()
    local place, last = 0, #ARGV - first
    repeat
        local count = read_ids(first + place, first + math.min(place + BATCH - 1, last))
        local read_members = are_in_line and read_line or read_scores
        read_members(count)
        if begin then
            begin(count)
        end
        was_long = false
        local i = 0
        while i < count and not was_long and not is_over do
            i = i + 1
            if is_in_registry(ids[i]) then
                take(place + i - 1, ids[i], marks[i])
            else
                note(place + i - 1, NOT_IN_REGISTRY)
            end
        end
        if finish then
            finish()
        end
        place = place + i
        local spent = clock() - started
        answer[1], answer[2] = place, math.floor(spent)
    until place > last or is_over or spent >= BUDGET
    return answer
end
