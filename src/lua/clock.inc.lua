-- A clock in microseconds. From Redis 7.2 on, TIME stands still in scripts; later releases have Lua's clock. If neither
-- runs, the caller gives few ids.
local function make_clock()
    local has_clock, clock = pcall(function()
        return os.clock
    end)
    if has_clock then
        return function()
            return clock() * 1000000
        end
    end
    return function()
        local time = redis.call('TIME')
        return time[1] * 1000000 + time[2]
    end
end

