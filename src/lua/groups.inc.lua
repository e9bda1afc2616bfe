-- How the scripts take a job out of its group.
-- arguments: job_prefix group_prefix
-- The prefixes are those of keys.

local group_keys = {}

-- The key of the group of this name; nil where there is none, of which RQ complains. is_dry: whether to write nothing.
local function get_group(name, is_dry)
    local key = group_keys[name]
    if key == nil then
        key = group_prefix .. name
        if find(name, '[^\1-\127]') or call('TYPE', key).ok ~= 'set' then
            return nil
        end
        if not is_dry then
            -- An error where the user may not do so, before anything has changed: no job has the id ' '.
            call('SREM', key, ' ')
        end
        group_keys[name] = key
        return key
    end
    -- It is gone with its last job.
    return call('EXISTS', key) == 1 and key or nil
end
