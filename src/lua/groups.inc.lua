-- How the scripts take a job out of its group.
-- arguments: job_prefix group_prefix
-- The prefixes are those of keys.

local group_keys = {}

-- The key of the group of this name; nil if it does not exist: RQ raises an error then. is_dry: whether to write nothing.
local function get_group(name, is_dry)
    local key = group_keys[name]
    if key == nil then
        key = group_prefix .. name
        if find(name, '[^\1-\127]') or call('TYPE', key).ok ~= 'set' then
            return nil
        end
        if not is_dry then
            -- An error now if the user may not remove the job, before anything has changed: no job has the id ' '.
            call('SREM', key, ' ')
        end
        group_keys[name] = key
        return key
    end
    -- A group that has lost its last job does not exist any more.
    return call('EXISTS', key) == 1 and key or nil
end
