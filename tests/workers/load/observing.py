"""What the server tells of a load: what waits, what runs, and which jobs a kill would touch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import redis
from rq import Queue

from workers.runs import RUNS, Run, runs

from .enqueuing import FORKED, SIMPLE

NAMES = (FORKED, SIMPLE)


class Observer:
    """Looks at the server of one side."""

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

    def in_work(self, name: str) -> set[str]:
        """Return the jobs of a queue that a worker has in its hands, with the last one that began."""
        queue = self.queues[name]
        # RQ's own calls would clean up.
        entries = self.client.zrange(f'rq:wip:{name}', 0, -1) + self.client.lrange(queue.intermediate_queue_key, 0, -1)
        held = {entry.decode().partition(':')[0] for entry in entries}
        begun = next((run.job_id for run in reversed(self.runs()) if self._is_of(run.job_id, name)), None)
        return held | ({begun} if begun else set())

    def _is_of(self, job_id: str, name: str) -> bool:
        return bool(self.client.hget(f'rq:job:{job_id}', 'origin') in (name.encode(), None))

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

    def state(self) -> list[int]:
        """Return something that changes whenever a worker or a scheduler does something for a job."""
        with self.client.pipeline() as pipe:
            pipe.llen(RUNS)
            for name, queue in self.queues.items():
                pipe.llen(queue.key)
                pipe.llen(queue.intermediate_queue_key)
                pipe.zcard(f'rq:wip:{name}')
                pipe.zcard(f'rq:scheduled:{name}')
            counts: list[int] = pipe.execute()
        return counts
