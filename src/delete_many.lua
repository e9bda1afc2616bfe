-- requires many_jobs.inc.lua
-- What RQ's registry.remove(job_id, delete_job=True) does, for each plain job that is in the registry.
-- ARGV of its own: the key prefixes of executions and of results (empty: this RQ keeps results elsewhere).
-- A job is plain if RQ needs to know no more of it than where it is: other fields may be spoiled.

local EXECUTIONS, RESULTS = ARGV[FIRST_OWN], ARGV[FIRST_OWN + 1]
local FIRST_ID = FIRST_OWN + 2

-- Keys to delete and entries to remove, in one command each for a batch. The tables are used again.
local keys, key_count, entries, entry_count = {}, 0, {}, 0
local has_executions

local function add_entry(id)
    entry_count = entry_count + 1
    entries[entry_count] = id
end

local function add_keys(id, key)
    keys[key_count + 1] = key
    keys[key_count + 2] = key .. ':dependents'
    keys[key_count + 3] = JOBS .. ':' .. id .. ':dependencies'
    key_count = key_count + 3
    if RESULTS ~= '' then
        key_count = key_count + 1
        keys[key_count] = RESULTS .. id
    end
end

-- Get a job of the registry ready for finish(); the code for one that is not plain.
local function prepare(id, mark)
    local key = JOBS .. id
    local fields = call('HMGET', key, 'status', 'origin', 'group_id', 'rate_limit_key', 'data')
    local status, name, group_id, data = fields[1], fields[2] or '', fields[3], fields[5]
    -- RQ says so too of a hash without data.
    if not data then
        add_entry(id)
        return NO_SUCH_JOB
    end
    was_long = #data > LONG_DATA
    local origin = get_origin(name)
    local registry = status and origin.is_usable and get_registry(origin, status)
    if not registry or fields[4] or (group_id and group_id ~= '')
        or (has_executions and call('EXISTS', EXECUTIONS .. id) == 1)
    then
        return FOR_RQ
    end
    if is_queue_unknown(origin) then
        return QUEUE_UNKNOWN
    end
    remove_from_queue(origin, id, mark)
    if registry ~= '' and registry ~= KEYS[1] and not IS_DRY then
        call('ZREM', registry, id)
    end
    add_keys(id, key)
    add_entry(id)
end

local function begin(count)
    local names = {}
    for i = 1, count do
        names[i] = EXECUTIONS .. ids[i]
    end
    has_executions = call('EXISTS', unpack(names)) > 0
end

-- What fails does so before the job has changed: RQ's own path is to say it.
local function take(place, id, mark)
    local has_worked, code = pcall(prepare, id, mark)
    if not has_worked then
        code = FOR_RQ
    end
    if code then
        note(place, code)
    end
end

-- The jobs before their entries: what the user may not do fails before anything has changed.
local function finish()
    if not IS_DRY then
        if key_count > 0 then
            call('UNLINK', unpack(keys, 1, key_count))
        end
        if entry_count > 0 then
            call('ZREM', KEYS[1], unpack(entries, 1, entry_count))
        end
    end
    key_count, entry_count = 0, 0
end

-- No job has such an id: this only asks whether the user may do what must not fail halfway.
if not IS_DRY then
    add_keys(' ', JOBS .. ' ')
    add_entry(' ')
    finish()
end
return go_through(FIRST_ID, take, begin, finish)
