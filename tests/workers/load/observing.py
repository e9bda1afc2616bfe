"""What the server tells of a load: what waits, what runs, and which jobs a kill would touch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import redis
from rq import Queue

from workers.runs import RUNS, Run, runs

from .enqueuing import FORKED, SIMPLE
from .touches import State

NAMES = (FORKED, SIMPLE)


class Observer:
    """Looks at the server of one side. RQ's own calls would clean up, so these are none of them."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.queues = {name: Queue(name, connection=client) for name in NAMES}

    def runs(self) -> list[Run]:
        return runs(self.client)

    def run_count(self) -> int:
        return int(self.client.llen(RUNS))

    def counts(self) -> Counter[str]:
        """Return how many times each job has begun."""
        return Counter(run.job_id for run in self.runs())

    def held(self, name: str) -> dict[str, State]:
        """Return the jobs of a queue that are in the hands of a worker, or were left there by one that died."""
        with self.client.pipeline() as pipe:
            pipe.zrange(f'rq:wip:{name}', 0, -1)
            pipe.lrange(self.queues[name].intermediate_queue_key, 0, -1)
            entries = [entry.decode() for entries in pipe.execute() for entry in entries]
        states = {job_id: self.state_of(job_id, name) for job_id in {entry.partition(':')[0] for entry in entries}}
        return {job_id: state for job_id, state in states.items() if state.status}

    def state_of(self, job_id: str, name: str) -> State:
        """Return where a job of the queue is."""
        with self.client.pipeline() as pipe:
            pipe.hmget(f'rq:job:{job_id}', 'status', 'enqueued_at')
            pipe.zrange(f'rq:wip:{name}', 0, -1)
            pipe.lrange(self.queues[name].intermediate_queue_key, 0, -1)
            pipe.lrange(self.queues[name].key, 0, -1)
            pipe.zscore(f'rq:scheduled:{name}', job_id)
            (status, enqueued_at), started, taken, line, scheduled = pipe.execute()
        entry = job_id.encode()
        executions = tuple(entry.decode() for entry in started if entry.decode().partition(':')[0] == job_id)
        waits = entry in line or scheduled is not None
        return State(status and status.decode(), str(enqueued_at), executions, entry in taken, waits)

    def last_begun(self, worker: str) -> str | None:
        """Return the job that the worker of this name began last."""
        return next((run.job_id for run in reversed(self.runs()) if run.worker == worker), None)

    def waiters(self) -> set[str]:
        """Return the names of the connections on which the server is to answer when a queue gets a job."""
        return {client['name'] for client in self.client.client_list() if 'b' in client['flags']}

    def waiting(self, abandoned: Collection[str] = ()) -> list[str]:
        """Return the entries of queues, and of registries that are not last ones, but those of abandoned jobs."""
        with self.client.pipeline() as pipe:
            for queue in self.queues.values():
                pipe.lrange(queue.key, 0, -1)
                pipe.lrange(queue.intermediate_queue_key, 0, -1)
            for kind in ('wip', 'scheduled', 'ready'):
                for name in NAMES:
                    pipe.zrange(f'rq:{kind}:{name}', 0, -1)
            entries = [entry.decode() for collection in pipe.execute() for entry in collection]
        return [entry for entry in entries if entry.partition(':')[0] not in abandoned]

    def counters(self) -> list[int]:
        """Return numbers of which one changes whenever a worker or a scheduler does something for a job."""
        with self.client.pipeline() as pipe:
            pipe.llen(RUNS)
            for name, queue in self.queues.items():
                pipe.llen(queue.key)
                pipe.llen(queue.intermediate_queue_key)
                pipe.zcard(f'rq:wip:{name}')
                pipe.zcard(f'rq:scheduled:{name}')
            counts: list[int] = pipe.execute()
        return counts
