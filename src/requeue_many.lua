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

-- The jobs of a batch that are to be requeued, by their queue, in their order.
local of_queue = {}

local function add(queue, place, id, fields, meta, ttl)
    local jobs = of_queue[queue]
    if not jobs then
        jobs = {ids = {}, places = {}, fields = {}, metas = {}, ttls = {}}
        of_queue[queue] = jobs
    end
    local i = #jobs.ids + 1
    jobs.ids[i], jobs.places[i], jobs.fields[i], jobs.metas[i], jobs.ttls[i] = id, place, fields, meta, ttl
end

-- Get a job of the registry ready for finish(); its metadata if that is not known yet, the code for one that is not
-- plain.
local function prepare(place, id)
    local key = JOBS .. id
    local fields = get_fields(key, 'data')
    -- RQ says so too of a hash without data.
    if not fields[DATA] then
        return NO_SUCH_JOB
    end
    was_long = #fields[DATA] > LONG_DATA
    local is_possible, meta, ttl = can_requeue(key, fields)
    if not is_possible then
        return FOR_RQ
    end
    if IS_DRY then
        return nil
    end
    if meta and not meta_again[meta] then
        return meta
    end
    check_rights_to_write(key, fields, ttl)
    add(QUEUES .. fields[ORIGIN], place, id, fields, meta and meta_again[meta], ttl)
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

local function leave_to_rq(place)
    note(place, FOR_RQ)
    is_over = not IS_DRY
end

local function take(place, id)
    if asked > 0 then
        return look_ahead(place, id)
    end
    -- What fails does so at a key of another type.
    local has_worked, code = pcall(prepare, place, id)
    if not has_worked or code == FOR_RQ then
        leave_to_rq(place)
    elseif type(code) == 'string' then
        ask(place, code)
    elseif code then
        note(place, code)
    end
end

-- Put jobs on their queue; return the ids of those for which that could be done. RQ's own path begins with what we
-- found for the others.
local function enqueue(queue, jobs)
    if not pcall(call, PUSH, queue, unpack(jobs.ids)) then
        for _, place in ipairs(jobs.places) do
            leave_to_rq(place)
        end
        return {}
    end
    for i, id in ipairs(jobs.ids) do
        write_requeued(id, JOBS .. id, jobs.fields[i], jobs.metas[i], jobs.ttls[i])
    end
    return jobs.ids
end

-- The queues first, and the entries last.
local function finish()
    for queue, jobs in pairs(of_queue) do
        local done = enqueue(queue, jobs)
        if #done > 0 then
            call('ZREM', KEYS[1], unpack(done))
        end
    end
    of_queue = {}
end

-- No job has such an id: this only asks whether the user may do what must not fail halfway.
if not IS_DRY then
    call('ZREM', KEYS[1], ' ')
end
return go_through(FIRST_ID, take, nil, finish)
