-- requires many_jobs.inc.lua waiting_list.inc.lua
-- What RQ's queue.remove(job_id) does, for jobs that wait in a queue. They stay as they are.
-- arguments: rate_limit_prefix
-- The prefix is not used.

local function take(_, id)
    remove_entries(id)
end

check_rights_of_rq({'LREM', 1, ' '})
return go_through(REST, take)
