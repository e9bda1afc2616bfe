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

local function get_registry(origin, status)
    local registry = origin.registries[status]
    if registry == nil then
        registry = find_registry(origin, status) or false
        origin.registries[status] = registry
    end
    return registry or nil
end

-- Whether a job has just been taken out of a long queue, which may have cost as much as hundreds of others.
local was_long = false

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

-- Call take(place, id, mark) for each job of ARGV from `first` on until the time is over; return the answer. The
-- clock is looked at after each `batch` of jobs. Where they are given, begin(first, last) is called before a batch,
-- and finish() after it.
local function go_through(first, batch, take, begin, finish)
    local clock = make_clock()
    local started = clock()
    local i, last = first, #ARGV
    repeat
        local stop = math.min(i + batch - 1, last)
        if begin then
            begin(i, stop)
        end
        was_long = false
        while i <= stop and not was_long do
            local id, mark = ARGV[i], nil
            local first_byte = byte(id)
            if first_byte == 60 or first_byte == 62 then
                id, mark = sub(id, 2), sub(id, 1, 1)
            end
            take(i - first, id, mark)
            i = i + 1
        end
        if finish then
            finish()
        end
        local spent = clock() - started
        answer[1], answer[2] = i - first, math.floor(spent)
    until i > last or is_over or spent >= BUDGET
    return answer
end
