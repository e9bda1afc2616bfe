-- requires many_jobs.inc.lua groups.inc.lua rate_limits.inc.lua
-- What RQ's registry.remove(job_id, delete_job=True) does, for each plain job that is in the registry.
-- arguments: execution_prefix result_prefix
-- The prefixes of the keys of a job's executions, and of its results; that one is empty if this RQ has no such keys.
-- A job is plain if RQ reads only its status, its origin and its keys; other fields may be malformed.

local REGISTRY, DEPENDENCIES_PREFIX = KEYS[1], job_prefix .. ':'

-- Keys to delete and entries to remove, in one command each for a batch; and keys of executions. The tables are used
-- again.
local keys, key_count, entries, entry_count, execution_keys = {}, 0, {}, 0, {}
local has_executions

local function add_entry(id)
    entry_count = entry_count + 1
    entries[entry_count] = id
end

local function add_keys(id, key)
    keys[key_count + 1] = key
    keys[key_count + 2] = key .. ':dependents'
    keys[key_count + 3] = DEPENDENCIES_PREFIX .. id .. ':dependencies'
    key_count = key_count + 3
    if result_prefix ~= '' then
        key_count = key_count + 1
        keys[key_count] = result_prefix .. id
    end
end

-- Data of this many octets take longer to free than the rest of the job.
local LONG_DATA = 65536

-- Whether RQ would delete the job without a complaint and without a special case. If so, also the key of its group and
-- its rate limit, if it has them.
local function check_ties(id, key, group_id, limit_name)
    local group, limit
    if group_id and group_id ~= '' then
        group = get_group(group_id, IS_DRY)
        if not group then
            return false
        end
    end
    -- To RQ, a job without this name has no rate limit.
    if limit_name and limit_name ~= '' then
        limit = get_rate_limit(limit_name, call('HMGET', key, 'rate_limit_concurrency')[1] or '')
        if not can_leave(limit, id) then
            return false
        end
    end
    return not (has_executions and call('EXISTS', execution_prefix .. id) == 1), group, limit
end

local function remove_ties(id, group, limit)
    if group then
        call('SREM', group, id)
    end
    if limit then
        leave(limit, id)
    end
end

-- Get a job of the registry ready for finish(). Returns a code if the job is not plain.
local function prepare(id, mark)
    local key = job_prefix .. id
    local length = call('HSTRLEN', key, 'data')
    -- To RQ, a hash without data is not a job either.
    if length == 0 and call('HEXISTS', key, 'data') == 0 then
        add_entry(id)
        return NO_SUCH_JOB
    end
    local fields = call('HMGET', key, 'status', 'origin', 'group_id', 'rate_limit_key')
    local status, origin = fields[1], get_origin(fields[2] or '')
    local registry = status and origin.is_usable and get_registry(origin, status)
    if not registry then
        return FOR_RQ
    end
    -- Most jobs have none, and the calls for ties take two percent of the time of a job.
    local has_ties, can_delete, group, limit = fields[3] or fields[4] or has_executions, true, nil, nil
    if has_ties then
        can_delete, group, limit = check_ties(id, key, fields[3], fields[4])
    end
    if not can_delete then
        return FOR_RQ
    end
    if origin.length > 0 then
        if is_queue_unknown(origin) then
            return QUEUE_UNKNOWN
        end
        remove_from_queue(origin, id, mark)
    end
    if not IS_DRY then
        if registry ~= '' and registry ~= REGISTRY then
            call('ZREM', registry, id)
        end
        if has_ties then
            remove_ties(id, group, limit)
        end
    end
    add_keys(id, key)
    add_entry(id)
    was_long = was_long or length > LONG_DATA
end

local function begin(count)
    for i = 1, count do
        execution_keys[i] = execution_prefix .. ids[i]
    end
    has_executions = call('EXISTS', unpack(execution_keys, 1, count)) > 0
end

-- The jobs before their entries: a command that the user may not send fails before anything has changed.
local function finish()
    if not IS_DRY then
        if key_count > 0 then
            call('UNLINK', unpack(keys, 1, key_count))
        end
        if entry_count > 0 then
            remove_entries(unpack(entries, 1, entry_count))
        end
    end
    key_count, entry_count = 0, 0
end

check_rights_of_rq(
    {'HGET', 'status'}, {'LREM', '1', ' '}, {'DEL'}, {'ZRANGE', '0', '0'}, {'ZREMRANGEBYSCORE', '0', '0'}
)
-- An error now if the user may not remove entries, and not halfway: no job has this id.
if not IS_DRY then
    add_keys(' ', job_prefix .. ' ')
    add_entry(' ')
    finish()
end
return go_through(REST, taking_by(prepare), begin, finish)
