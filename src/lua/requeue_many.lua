-- requires many_jobs.inc.lua job_hash.inc.lua rate_limits.inc.lua requeue.inc.lua
-- What RQ's registry.requeue(job_id) does, for each plain job that is in the registry.
-- arguments: rate_limits_key timestamp metadata_count to_queue queues_key
-- rate_limits_key: the key of the set of all rate limits. timestamp: Unix, in seconds. metadata_count: the number of
-- pairs before the job ids: metadata as it is stored, and as RQ would store it again. '=id' is a job whose data the
-- caller has seen to be compressed.
-- If a job's metadata is not among the pairs, the answer has the metadata instead of a code. If its data is long, and
-- the caller has not seen it, the code is DATA_UNKNOWN. Such a job and all later jobs are left undone.
-- to_queue: the name of the queue to put the jobs on, empty for each job's own queue. queues_key: the key of the set of
-- all queues, to which to_queue is added.

local FIRST_ID = REST + 2 * metadata_count

local meta_again = {}
for i = REST, FIRST_ID - 1, 2 do
    meta_again[ARGV[i]] = ARGV[i + 1]
end

local is_queue_listed = false

-- The result of get_fields_to_requeue(), with the queue that the job is to be put on.
local function get_fields_to_move(key)
    local fields, has_long_data = get_fields_to_requeue(key)
    if fields and to_queue ~= '' then
        fields[ORIGIN] = to_queue
    end
    return fields, has_long_data
end

local function list_queue()
    if to_queue ~= '' and not is_queue_listed then
        call('SADD', queues_key, queue_prefix .. to_queue)
        is_queue_listed = true
    end
end

local function write_queue(key)
    if to_queue ~= '' then
        call('HSET', key, 'origin', to_queue)
    end
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

-- Whether a job was left to RQ. Jobs are requeued in their order: only jobs that are RQ's too may be done after it.
local is_left = false

local function leave_to_rq(place)
    note(place, FOR_RQ)
    is_left = not IS_DRY
end

-- Put jobs on their queue; return the ids of the jobs that are on it. If the push fails, these are none: then RQ's own
-- methods do all of them.
local function enqueue(queue, jobs)
    if not pcall(call, push_command, queue, unpack(jobs.ids)) then
        for _, place in ipairs(jobs.places) do
            leave_to_rq(place)
        end
        return {}
    end
    for i, id in ipairs(jobs.ids) do
        write_requeued(id, job_prefix .. id, jobs.fields[i], jobs.metas[i], jobs.ttls[i])
        write_queue(job_prefix .. id)
    end
    return jobs.ids
end

-- The queues first, and the entries last.
local function finish()
    for queue, jobs in pairs(of_queue) do
        local done = enqueue(queue, jobs)
        if #done > 0 then
            remove_entries(unpack(done))
        end
    end
    of_queue = {}
end

-- An error now if the user may not write to the rate limit, before anything has changed: no job has the id ' ', and XX
-- adds none.
local function check_rights_to_limit(limit)
    if not limit.is_checked then
        call('ZADD', limit.waiting, 'XX', timestamp, ' ')
        call('ZADD', limit.allowed, 'XX', timestamp, ' ')
        call('SADD', rate_limits_key, limit.name)
        limit.is_checked = true
    end
end

-- Requeue a job with a rate limit: it takes a free slot, or waits for one. False if RQ would give the free slot to a
-- job that has waited for longer.
local function requeue_limited(id, key, fields, meta_again, ttl, limit, concurrency)
    local is_free = call('ZCARD', limit.allowed) < tonumber(concurrency)
    if is_free and call('ZCARD', limit.waiting) > 0 then
        return false
    end
    check_rights_to_limit(limit)
    if is_free then
        -- The first change: where this fails, nothing was done.
        call(push_command, queue_prefix .. fields[ORIGIN], id)
    end
    call('ZADD', is_free and limit.allowed or limit.waiting, timestamp, id)
    call('HSET', limit.key, 'concurrency', concurrency)
    local at_front = push_command == 'LPUSH' and '1' or '0'
    if is_free then
        write(key, fields, 'enqueue_at_front', at_front, 'status', 'queued', 'enqueued_at', enqueued_at)
    else
        write(key, fields, 'enqueue_at_front', at_front, 'status', 'rate_limited')
    end
    write_rare(id, key, meta_again, ttl)
    write_queue(key)
    remove_entries(id)
    return true
end

-- Returns a code if the job is not to be requeued here. Else nil, its fields, whether its data is long and not among
-- the fields, its metadata, its ttl and its rate limit.
local function examine(key)
    local fields, has_long_data = get_fields_to_move(key)
    if not fields then
        return FOR_RQ
    end
    -- To RQ, a hash without data is not a job either.
    if not fields[DATA] and not has_long_data then
        return NO_SUCH_JOB
    end
    local is_possible, meta, ttl, rate_limit = can_requeue(key, fields)
    if not is_possible then
        return FOR_RQ
    end
    return nil, fields, has_long_data, meta, ttl, rate_limit
end

-- Get a job of the registry ready for finish(), or requeue it. Returns its metadata if that is not known yet, and a
-- code if the job is not plain.
local function prepare(place, id, mark)
    local key = job_prefix .. id
    local code, fields, has_long_data, meta, ttl, rate_limit = examine(key)
    if code then
        return code
    end
    local limit = rate_limit and get_rate_limit(unpack(rate_limit))
    if rate_limit and not limit then
        return FOR_RQ
    end
    if IS_DRY then
        return nil
    end
    if has_long_data and mark ~= '=' then
        return DATA_UNKNOWN
    end
    if meta and not meta_again[meta] then
        return meta
    end
    meta = meta and meta_again[meta]
    check_rights_to_write(key, fields, ttl)
    list_queue()
    if not limit then
        return add(queue_prefix .. fields[ORIGIN], place, id, fields, meta, ttl)
    end
    -- The jobs before it come before it on the queue.
    finish()
    if is_left or not requeue_limited(id, key, fields, meta, ttl, limit, rate_limit[2]) then
        return FOR_RQ
    end
end

-- Jobs are requeued in their order, and so no job after an undone one. Besides the metadata of the undone job, the
-- caller gets the metadata of the next jobs, up to this many octets.
local MOST_METADATA = 1000000
local asked = 0

local function ask(place, meta)
    note(place, meta)
    asked = asked + (meta == DATA_UNKNOWN and 0 or #meta) + 1
    is_over = asked > MOST_METADATA
end

local function look_ahead(place, id, mark)
    local key = job_prefix .. id
    if mark ~= '=' and is_long(key, 'data') then
        return ask(place, DATA_UNKNOWN)
    end
    local meta = not is_long(key, 'meta') and call('HGET', key, 'meta')
    if is_given(meta) and not meta_again[meta] then
        ask(place, meta)
    end
end

-- For a job after one that is left to RQ: its code; or true if the script could requeue it, and leaves it undone.
local function leave_next(_, id)
    local code = examine(job_prefix .. id)
    is_over = not code
    return code or true
end

-- Return whether the job is undone, and must be given again.
local function take(place, id, mark)
    if asked > 0 then
        pcall(look_ahead, place, id, mark)
        return false
    end
    local has_worked, code = pcall(is_left and leave_next or prepare, place, id, mark)
    -- An error comes from a key of another type.
    if not has_worked or code == FOR_RQ then
        leave_to_rq(place)
    elseif code == true then
        return true
    elseif type(code) == 'string' or code == DATA_UNKNOWN then
        ask(place, code)
    elseif code then
        note(place, code)
    end
end

check_rights_of_rq()
-- An error now if the user may not remove entries, and not halfway: no job has this id.
if not IS_DRY then
    remove_entries(' ')
end
return go_through(FIRST_ID, take, nil, finish)
