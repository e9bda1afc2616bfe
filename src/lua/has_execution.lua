-- Whether one of the job's executions is in the registry of started jobs.
-- KEYS: the registry, the job's index of executions.
-- arguments: job_id
for _, execution_id in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
    if redis.call('ZSCORE', KEYS[1], job_id .. ':' .. execution_id) then
        return 1
    end
end
return 0
