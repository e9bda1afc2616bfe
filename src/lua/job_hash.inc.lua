-- What the scripts know of a job's hash. A field is judged only as far as needed to be sure that RQ would
-- restore the job from it, and write it back, unchanged; a job with any other field is RQ's own to handle.
--
-- Redis makes a script's functions and tables anew for each call, which costs as much as the commands. So
-- functions and tables for rare jobs are made inside the function that looks at rare jobs.

local call, find, byte, sub = redis.call, string.find, string.byte, string.sub

-- The places in the result of get_fields(): the fields that RQ writes with every job; and the data, if asked for.
local CREATED_AT, ENQUEUED_AT, STARTED_AT, ENDED_AT, LAST_HEARTBEAT = 1, 2, 3, 4, 5
local ORIGIN, DESCRIPTION, WORKER_NAME = 6, 7, 8
local SUCCESS_CALLBACK_NAME, FAILURE_CALLBACK_NAME, STOPPED_CALLBACK_NAME = 9, 10, 11
local TIMEOUT, STATUS, EXC_INFO, GROUP_ID, DATA = 12, 13, 14, 15, 16

-- A longer text is not read here: Lua would take several times as long as RQ's command, and keep others waiting.
local LONG = 65536

local function is_long(key, name)
    return call('HSTRLEN', key, name) > LONG
end

-- The fields; nil if one of their texts is long.
local function get_fields(key, ...)
    if is_long(key, 'exc_info') or is_long(key, 'description') then
        return nil
    end
    return call(
        'HMGET', key, 'created_at', 'enqueued_at', 'started_at', 'ended_at', 'last_heartbeat', 'origin',
        'description', 'worker_name', 'success_callback_name', 'failure_callback_name', 'stopped_callback_name',
        'timeout', 'status', 'exc_info', 'group_id', ...
    )
end

local function is_given(value)
    return value and value ~= ''
end

-- Whether a month has a day after the 28th. RQ parses dates by datetime.strptime(), which raises ValueError for the
-- 31st of April. Redis's Lua has no calendar.
local function is_late_day(year, month, day)
    if month == 2 then
        return day == 29 and year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
    end
    local has_31 = (month > 7 and month + 1 or month) % 2 == 1
    return day < 31 or (day == 31 and has_31)
end

local function is_minute(text)
    if not find(text, '^[1-9]%d%d%d%-[01]%d%-[0-3]%dT[0-2]%d:[0-5]%d:$') then
        return false
    end
    local month_ten, month_one, _, day_ten, day_one, _, hour_ten, hour_one = byte(text, 6, 13)
    local month, day = month_ten * 10 + month_one - 528, day_ten * 10 + day_one - 528
    return month > 0 and month < 13 and day > 0 and (hour_ten < 50 or hour_one < 52)
        and (day < 29 or is_late_day(tonumber(sub(text, 1, 4)), month, day))
end

-- Most dates of a job, and of its neighbours, are of the same minute.
local minutes = {}

local function is_date(text)
    local minute = sub(text, 1, 17)
    local is_known = minutes[minute]
    if is_known == nil then
        is_known = is_minute(minute)
        minutes[minute] = is_known
    end
    return is_known and find(text, '^[0-5]%d%.%d%d%d%d%d%dZ$', 18) ~= nil
end

-- RQ decodes texts by bytes.decode(), which raises UnicodeDecodeError. Texts that are not ASCII are common, as the
-- description of a job has its arguments, and RQ's methods take 30 times as long as this script.
local function is_encoded_as_utf8(text)
    -- The length of the sequence that begins with these two octets; nil if none does.
    local function sequence_length(first, second)
        if first < 128 then
            return 1
        elseif first >= 194 and first <= 223 then
            return 2
        elseif first >= 224 and first <= 239 then
            local overlong = first == 224 and second < 160
            local surrogate = first == 237 and second > 159
            return not overlong and not surrogate and 3 or nil
        elseif first >= 240 and first <= 244 then
            local overlong = first == 240 and second < 144
            local too_large = first == 244 and second > 143
            return not overlong and not too_large and 4 or nil
        end
    end
    local i = 1
    while i <= #text do
        local length = sequence_length(byte(text, i), byte(text, i + 1) or 0)
        if not length then
            return false
        end
        for j = i + 1, i + length - 1 do
            local octet = byte(text, j)
            if not octet or octet < 128 or octet > 191 then
                return false
            end
        end
        i = i + length
    end
    return true
end

local function is_utf8(text)
    return find(text, '^[\1-\127]*$') ~= nil or is_encoded_as_utf8(text)
end

-- An integer as Python writes it.
local function is_number(text)
    return #text <= 18 and (text == '0' or find(text, '^%-?[1-9]%d*$') ~= nil)
end

-- The fields that only some jobs have, and for each whether its text is plain; made for the first such job.
local function make_rare_fields()
    local names, checks, is_read_when_empty = {}, {}, {}

    local function add(is_plain, ...)
        for _, name in ipairs({...}) do
            names[#names + 1] = name
            checks[#names] = is_plain
        end
    end

    local function is_flag(text)
        return text == '0' or text == '1'
    end

    -- A JSON list as Python writes it.
    local function is_list(text, item)
        local items = {}
        for found in text:gmatch(item) do
            items[#items + 1] = found
        end
        return '[' .. table.concat(items, ', ') .. ']' == text
    end

    local function is_number_list(text)
        return is_list(text, '%d+') and not find(text, '[%[ ]0%d')
    end

    local function is_id_list(text)
        return is_list(text, '"[%w_-]+"')
    end

    -- The headers of a webhook, without what JSON escapes. Python keeps the last of two with one name.
    local function are_headers(text)
        local found, names = {}, {}
        for name, value in text:gmatch('"([^"\\%c\128-\255]*)": "([^"\\%c\128-\255]*)"') do
            if names[name] then
                return false
            end
            names[name] = true
            found[#found + 1] = '"' .. name .. '": "' .. value .. '"'
        end
        return text == 'null' or '{' .. table.concat(found, ', ') .. '}' == text
    end

    -- A JSON list of webhooks as RQ writes it, and takes it back.
    local function are_webhooks(text)
        local found = {}
        for url, status, method, headers, timeout in text:gmatch(
            '{"url": "([^"]*)", "job_status": "([^"]*)", "method": "([^"]*)", "headers": (.-), "timeout": (%d+)}'
        ) do
            if not find(url, "^https?://[%w._-]+[%w._~:/?#@!$&'()*+,;=%%-]*$") or (method ~= 'GET' and method ~= 'POST')
                or (status ~= 'finished' and status ~= 'failed') or not find(timeout, '^[1-9]') or not is_number(timeout)
                or not are_headers(headers)
            then
                return false
            end
            found[#found + 1] = '{"url": "' .. url .. '", "job_status": "' .. status .. '", "method": "' .. method
                .. '", "headers": ' .. headers .. ', "timeout": ' .. timeout .. '}'
        end
        return #found > 0 and '[' .. table.concat(found, ', ') .. ']' == text
    end

    local function is_anything()
        return true
    end

    -- The first four are looked at together.
    add(is_utf8, 'dependency_id')
    add(is_id_list, 'dependency_ids')
    add(is_anything, 'rate_limit_key', 'rate_limit_concurrency')
    add(is_number, 'result_ttl', 'failure_ttl', 'ttl', 'number_of_retries', 'retries_left', 'repeats_left')
    add(is_number_list, 'retry_intervals', 'repeat_intervals')
    -- Written back as 0 or 1.
    add(is_flag, 'allow_dependency_failures', 'enqueue_at_front_on_retry')
    add(are_webhooks, 'webhooks')
    -- RQ reads these wherever they exist, the empty ones included.
    local first = #names + 1
    add(is_flag, 'enqueue_at_front')
    add(is_number, 'success_callback_timeout', 'failure_callback_timeout', 'stopped_callback_timeout')
    for i = first, #names do
        is_read_when_empty[i] = true
    end
    return {names = names, checks = checks, is_read_when_empty = is_read_when_empty}
end

-- The ids that the job waits for, where they are written as RQ writes them.
local function are_dependencies_plain(first, ids)
    if not is_given(ids) then
        return not is_given(first)
    end
    return is_given(first) and find(ids, '["' .. first .. '"', 1, true) == 1
end

local rare

-- Whether the fields that only some jobs have are plain too; and the name and the concurrency of the job's rate limit.
local function are_rare_fields_plain(key)
    rare = rare or make_rare_fields()
    local values = call('HMGET', key, unpack(rare.names))
    for i = 1, #values do
        local value = values[i]
        if value and (value ~= '' or rare.is_read_when_empty[i]) and not rare.checks[i](value) then
            return false
        end
    end
    if not are_dependencies_plain(values[1], values[2]) then
        return false
    end
    return true, (is_given(values[3]) or is_given(values[4])) and {values[3] or '', values[4] or ''}
end

-- What RQ stores for an exc_info without text, as of every job that was requeued.
local COMPRESSED_EMPTY = 'x\156\3\0\0\0\0\1'

-- RQ decompresses any exc_info that zlib can decompress, and only Python can tell whether the result is text.
local function is_exc_info_plain(text)
    if text == COMPRESSED_EMPTY then
        return true
    end
    local method, flags = byte(text, 1, 2)
    local may_be_compressed = method % 16 == 8 and flags and (method * 256 + flags) % 31 == 0
    return not may_be_compressed and is_utf8(text)
end

local function is_empty_or_date(value)
    return not value or value == '' or is_date(value)
end

local function is_empty_or_utf8(value)
    return not value or value == '' or is_utf8(value)
end

-- Whether the hash has other fields than the data and the fields of get_fields().
local function has_more_fields(key, fields)
    local count = 1
    for i = 1, GROUP_ID do
        if fields[i] then
            count = count + 1
        end
    end
    return call('HLEN', key) > count
end

-- Whether RQ restores a job with these fields, and with data, without an error; whether the job has other fields as
-- well; and its rate limit, if it has one, as are_rare_fields_plain() returns it.
local function is_plain(key, fields)
    local created_at, enqueued_at, started_at, ended_at, last_heartbeat, origin, description, worker_name,
        success_callback_name, failure_callback_name, stopped_callback_name, timeout, _, exc_info, group_id
        = unpack(fields, 1, GROUP_ID)
    if is_empty_or_date(created_at) and is_empty_or_date(enqueued_at) and is_empty_or_date(started_at)
        and is_empty_or_date(ended_at) and is_empty_or_date(last_heartbeat)
        and is_empty_or_utf8(origin) and is_empty_or_utf8(description) and is_empty_or_utf8(worker_name)
        and is_empty_or_utf8(success_callback_name) and is_empty_or_utf8(failure_callback_name)
        and is_empty_or_utf8(stopped_callback_name)
        and is_empty_or_utf8(group_id) and (not is_given(timeout) or is_number(timeout))
        and (not is_given(exc_info) or is_exc_info_plain(exc_info))
    then
        if not has_more_fields(key, fields) then
            return true, false
        end
        local are_plain, rate_limit = are_rare_fields_plain(key)
        return are_plain, true, rate_limit
    end
    return false
end
