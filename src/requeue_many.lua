-- requires many_jobs.inc.lua job_hash.inc.lua requeue.inc.lua
-- What RQ's registry.requeue(job_id) does, for each plain job that is in the registry.
-- ARGV of its own: the default timeout, an empty exc_info, enqueued_at, LPUSH or RPUSH, as for requeue.inc.lua; how
-- many pairs follow; pairs of metadata as it is stored, and as RQ would store it again.
-- For a job whose metadata is not among these, it stands in the answer in place of a code: neither this job nor any
-- behind it is done then.

JOBS, QUEUES = ARGV[6], ARGV[7]
DEFAULT_TIMEOUT, NO_EXC_INFO, ENQUEUED_AT, PUSH = unpack(ARGV, FIRST_OWN, FIRST_OWN + 3)
local FIRST_META = FIRST_OWN + 5
local FIRST_ID = FIRST_META + 2 * ARGV[FIRST_OWN + 4]

local meta_again = {}
for i = FIRST_META, FIRST_ID - 1, 2 do
    meta_again[ARGV[i]] = ARGV[i + 1]
end

local function requeue(id, score)
    local key = JOBS .. id
    local data = call('HGET', key, 'data')
    -- RQ says so too of a hash without data.
    if not data then
        return NO_SUCH_JOB
    end
    was_long = #data > LONG_DATA
    local fields, meta, ttl = get_requeueable(key, data)
    if not fields then
        return FOR_RQ
    end
    if IS_DRY then
        return nil
    end
    if meta and not meta_again[meta] then
        return meta
    end
    if not move_to_queue(id, key, score, fields, meta and meta_again[meta], ttl) then
        return FOR_RQ
    end
end

-- The jobs are requeued in their order, and so none behind one that is not done yet: where that is for want of its
-- metadata, that of the jobs behind it is asked for too, up to so many octets.
local MOST_METADATA = 1000000
local asked = 0

local function ask(place, meta)
    note(place, meta)
    asked = asked + #meta + 1
    is_over = asked > MOST_METADATA
end

local function look_ahead(place, id)
    local meta = redis.pcall('HGET', JOBS .. id, 'meta')
    if type(meta) == 'string' and meta ~= '' and not meta_again[meta] then
        ask(place, meta)
    end
end

local function take(place, id, _, score)
    if asked > 0 then
        return look_ahead(place, id)
    end
    -- What fails does so at a key of another type, before anything has changed.
    local has_worked, code = pcall(requeue, id, score)
    if not has_worked then
        code = FOR_RQ
    end
    if type(code) == 'string' then
        ask(place, code)
    elseif code then
        note(place, code)
        is_over = code == FOR_RQ and not IS_DRY
    end
end

return go_through(FIRST_ID, take)
