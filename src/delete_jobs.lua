-- requires job_hash.inc.lua
-- What RQ's registry.remove(job_id, delete_job=True) does, for each plain job.
-- KEYS: the registry.
-- ARGV: the key prefixes of jobs, queues, executions and results (empty: this RQ keeps results elsewhere),
-- of the registries of finished, deferred, scheduled, failed and canceled jobs; then 'fetch', or the origin of
-- the one job after 'origin:', whose hash is not restored then; then the job ids.
-- Returns, for each id, what ZREM said; or -1 for a job that was not touched, and is RQ's own to delete.

local JOBS, QUEUES, EXECUTIONS, RESULTS = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local KNOWN_ORIGIN = ARGV[10] ~= 'fetch' and ARGV[10]:sub(8) or nil
local FIRST_ID = 11

-- The key prefix of the registry that holds jobs of this status; '' where there is none to think of.
local function registry_of(status)
    if status == 'failed' or status == 'stopped' then
        return ARGV[8]
    elseif status == 'finished' then
        return ARGV[5]
    elseif status == 'queued' or status == 'created' then
        return ''
    elseif status == 'canceled' then
        return ARGV[9]
    elseif status == 'scheduled' then
        return ARGV[7]
    elseif status == 'deferred' then
        return ARGV[6]
    end
end

-- The origin and the status of a job that is plain; nil for any other.
local function examine(key)
    if KNOWN_ORIGIN then
        return KNOWN_ORIGIN, call('HGET', key, 'status')
    end
    local fields = get_fields(key)
    if is_plain(key, fields) and call('HEXISTS', key, 'data') == 1 then
        return fields[ORIGIN] or '', fields[STATUS]
    end
end

-- What an error must not leave half done: everything that may fail is tried before the first change. No job has the
-- id ' ', so that these commands change nothing.
local function check_rights(other)
    call('DEL', JOBS .. ' ', (RESULTS ~= '' and RESULTS or JOBS) .. ' ')
    call('ZREM', KEYS[1], ' ')
    if other then
        call('ZREM', other, ' ')
    end
end

local function delete(id)
    local key = JOBS .. id
    -- Looked at for all jobs: while a slot of a cluster moves, a key that is not here is an error.
    local has_execution = call('EXISTS', EXECUTIONS .. id) == 1
    local origin, status = examine(key)
    local registry = status and registry_of(status)
    if not registry or has_execution then
        return -1
    end
    local other = registry ~= '' and registry .. origin ~= KEYS[1] and registry .. origin
    check_rights(other)
    -- The first change: where this fails, nothing was done.
    call('LREM', QUEUES .. origin, 1, id)
    -- A key that is named twice is no matter.
    call(
        'DEL', key, key .. ':dependents', JOBS .. ':' .. id .. ':dependencies',
        RESULTS ~= '' and RESULTS .. id or key
    )
    if other then
        call('ZREM', other, id)
    end
    return call('ZREM', KEYS[1], id)
end

local answers = {}
for i = FIRST_ID, #ARGV do
    answers[i - FIRST_ID + 1] = delete(ARGV[i])
end
return answers
