-- What the scripts know of a job's hash. A field is judged only as far as needed to be sure that RQ would
-- restore the job from it, and write it back, unchanged; a job with any other field is RQ's own to handle.

local DATES = {'created_at', 'enqueued_at', 'started_at', 'ended_at', 'last_heartbeat'}
local TEXTS = {
    'origin', 'description', 'worker_name', 'dependency_id',
    'success_callback_name', 'failure_callback_name', 'stopped_callback_name',
}
local NUMBERS = {
    'timeout', 'result_ttl', 'failure_ttl', 'ttl', 'number_of_retries', 'retries_left', 'repeats_left',
}
-- RQ reads these wherever they exist, the empty ones included.
local REQUIRED_NUMBERS = {'success_callback_timeout', 'failure_callback_timeout', 'stopped_callback_timeout'}
local NUMBER_LISTS = {'retry_intervals', 'repeat_intervals'}
-- Written back as 0 or 1.
local FLAGS = {'allow_dependency_failures', 'enqueue_at_front_on_retry'}
-- Rate limits, groups and webhooks are RQ's own matter.
local RESERVED = {'group_id', 'rate_limit_key', 'webhooks'}

local DAYS = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

local function is_given(value)
    return value and value ~= ''
end

local function is_continuation(text, first, last)
    for i = first, last do
        local octet = text:byte(i)
        if not octet or octet < 128 or octet > 191 then
            return false
        end
    end
    return true
end

-- The length of the UTF-8 sequence that begins with these two octets; nil for none.
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

local function is_utf8(text)
    if not text:find('[\128-\255]') then
        return true
    end
    local i = 1
    while i <= #text do
        local length = sequence_length(text:byte(i), text:byte(i + 1) or 0)
        if not length or not is_continuation(text, i + 1, i + length - 1) then
            return false
        end
        i = i + length
    end
    return true
end

local function is_date(text)
    local year, month, day, hour, minute, second =
        text:match('^([1-9]%d%d%d)%-(%d%d)%-(%d%d)T(%d%d):(%d%d):(%d%d)%.%d%d%d%d%d%dZ$')
    if not year then
        return false
    end
    year, month, day = tonumber(year), tonumber(month), tonumber(day)
    local leap = year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
    return DAYS[month] and day >= 1 and day <= DAYS[month] and (month ~= 2 or day < 29 or leap)
        and tonumber(hour) <= 23 and tonumber(minute) <= 59 and tonumber(second) <= 59
end

-- An integer as Python writes it.
local function is_number(text)
    return #text <= 18 and (text == '0' or text:find('^%-?[1-9]%d*$') ~= nil)
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
    return is_list(text, '%d+') and not text:find('[%[ ]0%d')
end

local function all(hash, names, is_valid)
    for _, name in ipairs(names) do
        local value = hash[name]
        if is_given(value) and not is_valid(value) then
            return false
        end
    end
    return true
end

local function has_any(hash, names)
    for _, name in ipairs(names) do
        if is_given(hash[name]) then
            return true
        end
    end
    return false
end

local function is_flag(text)
    return text == '0' or text == '1'
end

local function are_required_numbers(hash)
    for _, name in ipairs(REQUIRED_NUMBERS) do
        if hash[name] and not is_number(hash[name]) then
            return false
        end
    end
    return not hash.enqueue_at_front or is_flag(hash.enqueue_at_front)
end

-- The ids that the job waits for, where they are written as RQ writes them.
local function are_dependencies(hash)
    local ids = hash.dependency_ids
    if not is_given(ids) then
        return not is_given(hash.dependency_id)
    end
    return is_list(ids, '"[%w_-]+"') and is_given(hash.dependency_id)
        and ids:find('["' .. hash.dependency_id .. '"', 1, true) == 1
end

local function is_exception(text)
    return text:sub(1, 1) == 'x' or is_utf8(text)
end

-- Whether RQ restores the job from this hash without a complaint, and it is none of RQ's special cases.
local function is_plain(hash)
    return hash.data and not has_any(hash, RESERVED)
        and all(hash, DATES, is_date) and all(hash, TEXTS, is_utf8) and all(hash, NUMBERS, is_number)
        and all(hash, NUMBER_LISTS, is_number_list) and all(hash, FLAGS, is_flag)
        and all(hash, {'exc_info'}, is_exception)
        and are_required_numbers(hash) and are_dependencies(hash)
end
