-- requires job_hash.inc.lua groups.inc.lua statuses.inc.lua
-- What RQ's registry.remove(job_id, delete_job=True) does, for one plain job.
-- KEYS: the registry.
-- arguments: job_prefix queue_prefix execution_prefix result_prefix origin job_id
-- The prefixes are those of keys; result_prefix is empty if this RQ has no such keys. origin: 'fetch' to read it from
-- the job's hash; or 'origin:' and the origin of a Job object, whose hash RQ would not load.
-- Returns the reply to ZREM; or -1, with nothing changed, if RQ must delete the job.

local KNOWN_ORIGIN = origin ~= 'fetch' and origin:sub(8) or nil

-- The origin and the status of a plain job, and the key of its group if it has one; nil for any other job.
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

-- Try everything that may fail before the first change, so that an error leaves nothing half done. No job has the
-- id ' ', so that these commands change nothing. DEL is here because RQ sends it.
local function check_rights(other)
    call('DEL', job_prefix .. ' ')
    call('UNLINK', job_prefix .. ' ', (result_prefix ~= '' and result_prefix or job_prefix) .. ' ')
    call('ZREM', KEYS[1], ' ')
    if other then
        call('ZREM', other, ' ')
    end
end

local key = job_prefix .. job_id
-- Looked at for every job: while a slot of a cluster moves, a key that is not here is an error.
local has_execution = call('EXISTS', execution_prefix .. job_id) == 1
local queue, status, group = examine(key)
local registry = status and prefix_of_status(status)
if not registry or has_execution then
    return -1
end
local other = registry ~= '' and registry .. queue ~= KEYS[1] and registry .. queue
check_rights(other)
-- The first change: where this fails, nothing was done.
call('LREM', queue_prefix .. queue, 1, job_id)
-- UNLINK ignores a key that is given twice: `key` stands in for the results where this RQ has none.
call(
    'UNLINK', key, key .. ':dependents', job_prefix .. ':' .. job_id .. ':dependencies',
    result_prefix ~= '' and result_prefix .. job_id or key
)
if group then
    call('SREM', group, job_id)
end
if other then
    call('ZREM', other, job_id)
end
return call('ZREM', KEYS[1], job_id)
