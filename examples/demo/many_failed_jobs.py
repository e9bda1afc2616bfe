"""Creates many failed jobs in seconds, by copying all keys of one that failed in the worker."""

from __future__ import annotations

from uuid import uuid4

from redis import Redis
from rq.job import Job
from rq.registry import FailedJobRegistry

from .comparison import Subject
from .database import content_of
from .interruption import check

CHUNK = 1000


class FailedJobs:
    """Copies of a failed job.

    Attributes:
        ids: The ids of the copies that take() has not returned yet.
    """

    def __init__(self, connection: Redis, model: str) -> None:
        self.connection = connection
        self.registry = FailedJobRegistry(connection=connection)
        self.model = model
        self.ids: list[str] = []
        # The job's hash, its results, and whatever else RQ stores in keys that end with the job's id.
        found = connection.scan_iter(match=f'*:{model}', count=1000)
        self.keys = [key.decode().removesuffix(model) for key in found]

    def add(self, number: int) -> None:
        """Add copies, a thousand per round trip."""
        copies = [(key, *self._dumped(key + self.model)) for key in self.keys]
        expiry = self.connection.zscore(self.registry.key, self.model)
        for start in range(0, number, CHUNK):
            check()
            ids = [str(uuid4()) for _ in range(min(CHUNK, number - start))]
            with self.connection.pipeline(transaction=False) as pipeline:
                for job_id in ids:
                    for key, dump, milliseconds in copies:
                        pipeline.restore(key + job_id, milliseconds, dump)
                # They expire one after the other, like jobs that failed one after the other.
                pipeline.zadd(self.registry.key, {job_id: expiry + start + n for n, job_id in enumerate(ids)})
                pipeline.execute()
            self.ids += ids

    def _dumped(self, key: str) -> tuple[bytes, int]:
        return self.connection.dump(key), max(0, self.connection.pttl(key))

    def left(self, subject: Subject) -> object:
        """Return what Redis holds of the subject's job: its keys, and whether it is in the registry and the queue."""
        job_id = subject.job.id
        contents = [content_of(self.connection, (key + job_id).encode()) for key in self.keys]
        is_failed = self.connection.zscore(self.registry.key, job_id) is not None
        queued = self.connection.lrange(self.registry.get_queue().key, 0, -1).count(job_id.encode())
        return contents, is_failed, queued

    def take(self, number: int) -> list[Job]:
        """Return that many copies from the middle of the registry, each only once."""
        return [Job(self.ids.pop(len(self.ids) // 2), connection=self.connection) for _ in range(number)]
