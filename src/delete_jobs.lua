-- requires job_hash.inc.lua
-- What RQ's registry.remove(job_id, delete_job=True) does, for each plain job.
-- KEYS: the registry.
-- ARGV: the key prefixes of jobs, queues, executions and results (empty: this RQ keeps results elsewhere),
-- of the registries of finished, deferred, scheduled, failed and canceled jobs; then 'fetch', or the origin of
-- the one job after 'origin:', whose hash is not restored then; then the job ids.
-- Returns, for each id, what ZREM said; or -1 for a job that was not touched, and is RQ's own to delete.

local JOBS, QUEUES, EXECUTIONS, RESULTS = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local REGISTRIES = {
    queued = '', created = '',
    finished = ARGV[5], deferred = ARGV[6], scheduled = ARGV[7],
    failed = ARGV[8], stopped = ARGV[8], canceled = ARGV[9],
}
local KNOWN_ORIGIN = ARGV[10] ~= 'fetch' and ARGV[10]:sub(8) or nil
local FIRST_ID = 11

local FIELDS = {'status', 'exc_info', 'dependency_ids', 'enqueue_at_front'}
for _, names in ipairs({DATES, TEXTS, NUMBERS, REQUIRED_NUMBERS, NUMBER_LISTS, FLAGS, RESERVED}) do
    for _, name in ipairs(names) do
        FIELDS[#FIELDS + 1] = name
    end
end

local function fetch(key)
    local hash = {}
    for i, value in ipairs(redis.call('HMGET', key, unpack(FIELDS))) do
        hash[FIELDS[i]] = value
    end
    -- It may be large, and is not looked into.
    hash.data = redis.call('HEXISTS', key, 'data') == 1
    return hash
end

-- The origin and the status of a job that is plain; nil for any other.
local function examine(key)
    if KNOWN_ORIGIN then
        return KNOWN_ORIGIN, redis.call('HGET', key, 'status')
    end
    local hash = fetch(key)
    if is_plain(hash) then
        return hash.origin or '', hash.status
    end
end

local function delete(id)
    local key = JOBS .. id
    local origin, status = examine(key)
    local registry = status and REGISTRIES[status]
    if not registry or redis.call('EXISTS', EXECUTIONS .. id) == 1 then
        return -1
    end
    local removed = redis.call('ZREM', KEYS[1], id)
    redis.call('LREM', QUEUES .. origin, 1, id)
    if registry ~= '' then
        redis.call('ZREM', registry .. origin, id)
    end
    redis.call('DEL', key, key .. ':dependents', JOBS .. ':' .. id .. ':dependencies')
    if RESULTS ~= '' then
        redis.call('DEL', RESULTS .. id)
    end
    return removed
end

local answers = {}
for i = FIRST_ID, #ARGV do
    answers[#answers + 1] = delete(ARGV[i])
end
return answers
