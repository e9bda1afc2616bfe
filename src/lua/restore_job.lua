-- Restores a job: runs commands, unless one of its keys exists.
-- KEYS: the keys of the job that must not exist, those that are replaced, and then those that may exist.
-- arguments: required replaced
-- required, replaced: how many keys must not exist, and how many are replaced. Then the commands: for each its index in
-- COMMANDS, how many arguments it has, and these. The command that adds the job to its queue or registry is last.
-- Returns 1; or 0 if one of the keys exists. After an error, all of these keys are as they were; only sets that existed
-- may keep new members, and replaced keys are gone.

local call, pcall = redis.call, redis.pcall

local COMMANDS = {
    function(...) return pcall('HSET', ...) end,
    function(...) return pcall('PEXPIREAT', ...) end,
    function(...) return pcall('XADD', ...) end,
    function(...) return pcall('SADD', ...) end,
    function(...) return pcall('ZADD', ...) end,
    function(...) return pcall('RPUSH', ...) end,
}

if call('EXISTS', unpack(KEYS, 1, required)) > 0 then
    return 0
end
local made = {unpack(KEYS, 1, required + replaced)}
for n = required + replaced + 1, #KEYS do
    if call('EXISTS', KEYS[n]) == 0 then
        made[#made + 1] = KEYS[n]
    end
end
-- An error now if the user may not undo it.
call('DEL', unpack(made))
local i, count = REST, #ARGV
while i < count do
    local last = i + 1 + ARGV[i + 1]
    local reply = COMMANDS[tonumber(ARGV[i])](unpack(ARGV, i + 2, last))
    if type(reply) == 'table' and reply.err then
        call('DEL', unpack(made))
        return reply
    end
    i = last + 1
end
return 1
