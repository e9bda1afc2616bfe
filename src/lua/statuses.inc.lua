-- Which registry has the jobs of a status.
-- arguments: finished_prefix deferred_prefix scheduled_prefix failed_prefix canceled_prefix
-- The prefixes are those of keys.

-- The key prefix of the registry that has the jobs of this status; '' if they are in no such registry, nil if only RQ
-- knows the status.
local function prefix_of_status(status)
    if status == 'failed' or status == 'stopped' then
        return failed_prefix
    elseif status == 'finished' then
        return finished_prefix
    elseif status == 'queued' or status == 'created' then
        return ''
    elseif status == 'canceled' then
        return canceled_prefix
    elseif status == 'scheduled' then
        return scheduled_prefix
    elseif status == 'deferred' then
        return deferred_prefix
    end
end
