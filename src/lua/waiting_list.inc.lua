-- How the scripts of many_jobs.inc.lua take jobs out of the list of a queue, which is KEYS[1] then.
-- An id is given as '<place> <id>': the place where the caller has last seen it, counted from the tail; or as
-- '=<place> <id>' for requeue_many. The code of an id that is not near its place is QUEUE_UNKNOWN.
-- Overrides functions of many_jobs.inc.lua: the scripts call these instead.
--
-- LREM walks from an end of the list to the job, and would do so for each. So the entries to remove are overwritten
-- first, which takes no walk, and removed together at the end. No client sees that: a script is atomic.

-- How far from its place a job is searched; and the entry that overwrites an entry to be removed: no job has this id.
local NEAR, REMOVED = 64, ' '

local length = call('LLEN', KEYS[1])
-- The index of each job that was found, from the head.
local indexes = {}
-- How many entries were added at the tail since the caller has looked.
local drift = 0
local removed_count, first_removed, last_removed = 0, length, -1

local function find_index(id, place)
    local expected = length - place - drift
    if expected >= 0 and expected < length and call('LINDEX', KEYS[1], expected) == id then
        return expected
    end
    local first = math.max(expected - NEAR, 0)
    if expected + NEAR < 0 then
        return nil
    end
    for i, found in ipairs(call('LRANGE', KEYS[1], first, expected + NEAR)) do
        if found == id then
            drift = length - place - (first + i - 1)
            return first + i - 1
        end
    end
end

check_registry = function()
    -- Whether the user may write to the list, and remove what was overwritten.
    call('LREM', job_prefix .. ' ', 1, REMOVED)
    local last = call('LINDEX', KEYS[1], -1)
    if last and not IS_DRY then
        call('LSET', KEYS[1], -1, last)
    end
end

read_ids = function(first, last)
    for i = first, last do
        local mark, place, id = string.match(ARGV[i], '^(=?)(%d+) (.*)$')
        ids[i - first + 1] = id
        marks[i - first + 1] = mark
        if not indexes[id] then
            indexes[id] = find_index(id, tonumber(place))
        end
    end
    return last - first + 1
end

read_by_rank = function() end
read_scores = read_by_rank

is_in_registry = function()
    return true
end

is_queue_unknown = function()
    return false
end

-- Jobs of another queue are RQ's: they may be in both.
local get_any_origin = get_origin

get_origin = function(name)
    local origin = get_any_origin(name)
    if origin.queue ~= KEYS[1] then
        origin.is_usable = false
    end
    return origin
end

local function overwrite(id)
    local index = indexes[id]
    if index and not IS_DRY then
        call('LSET', KEYS[1], index, REMOVED)
        indexes[id] = nil
        removed_count = removed_count + 1
        first_removed, last_removed = math.min(first_removed, index), math.max(last_removed, index)
    end
end

remove_entries = function(...)
    for _, id in ipairs({...}) do
        overwrite(id)
    end
end

remove_from_queue = function(_, id)
    overwrite(id)
end

local function remove_overwritten()
    if removed_count > 0 then
        local is_near_head = last_removed < length - first_removed
        call('LREM', KEYS[1], is_near_head and removed_count or -removed_count, REMOVED)
    end
end

local go_through_registry = go_through

go_through = function(first, take, begin, finish)
    local clock = make_clock()
    local started = clock()

    local function take_listed(place, id, mark)
        if not indexes[id] then
            note(place, QUEUE_UNKNOWN)
            return nil
        end
        return take(place, id, mark)
    end

    local has_worked, found = pcall(go_through_registry, first, take_listed, begin, finish)
    remove_overwritten()
    if not has_worked then
        error(found, 0)
    end
    found[2] = math.floor(clock() - started)
    return found
end
