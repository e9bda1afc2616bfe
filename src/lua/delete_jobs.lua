-- requires job_hash.inc.lua groups.inc.lua statuses.inc.lua
-- What RQ's registry.remove(job_id, delete_job=True) does, for each plain job.
-- KEYS: the registry.
-- arguments: job_prefix queue_prefix execution_prefix result_prefix origin
-- The job ids are last. The prefixes are those of keys; result_prefix is empty if this RQ has no such keys. origin:
-- 'fetch', or the origin of the one job after 'origin:', whose hash RQ would not load then.
-- Returns, for each id, what ZREM said; or -1 for a job that was not touched, and is RQ's own to delete.

local KNOWN_ORIGIN = origin ~= 'fetch' and origin:sub(8) or nil

-- The origin and the status of a job that is plain, and the key of its group if it has one; nil for any other.
local function examine(key)
    if KNOWN_ORIGIN then
        return KNOWN_ORIGIN, call('HGET', key, 'status')
    end
    local fields = get_fields(key)
    if not fields or call('HEXISTS', key, 'data') == 0 then
        return nil
    end
    local is_plain_job, _, rate_limit = is_plain(key, fields)
    local group = is_given(fields[GROUP_ID]) and get_group(fields[GROUP_ID], false)
    if is_plain_job and not rate_limit and (group or not is_given(fields[GROUP_ID])) then
        return fields[ORIGIN] or '', fields[STATUS], group
    end
end

-- What an error must not leave half done: everything that may fail is tried before the first change. No job has the
-- id ' ', so that these commands change nothing. DEL is what RQ sends.
local function check_rights(other)
    call('DEL', job_prefix .. ' ')
    call('UNLINK', job_prefix .. ' ', (result_prefix ~= '' and result_prefix or job_prefix) .. ' ')
    call('ZREM', KEYS[1], ' ')
    if other then
        call('ZREM', other, ' ')
    end
end

local function delete(id)
    local key = job_prefix .. id
    -- Looked at for all jobs: while a slot of a cluster moves, a key that is not here is an error.
    local has_execution = call('EXISTS', execution_prefix .. id) == 1
    local origin, status, group = examine(key)
    local registry = status and prefix_of_status(status)
    if not registry or has_execution then
        return -1
    end
    local other = registry ~= '' and registry .. origin ~= KEYS[1] and registry .. origin
    check_rights(other)
    -- The first change: where this fails, nothing was done.
    call('LREM', queue_prefix .. origin, 1, id)
    -- A key that is named twice is no matter.
    call(
        'UNLINK', key, key .. ':dependents', job_prefix .. ':' .. id .. ':dependencies',
        result_prefix ~= '' and result_prefix .. id or key
    )
    if group then
        call('SREM', group, id)
    end
    if other then
        call('ZREM', other, id)
    end
    return call('ZREM', KEYS[1], id)
end

local answers = {}
for i = REST, #ARGV do
    answers[i - REST + 1] = delete(ARGV[i])
end
return answers
