"""`rq.Queue` whose registries are ours."""

from __future__ import annotations

import rq

from . import registry


class Queue(rq.Queue):
    @property
    def failed_job_registry(self):
        return registry.FailedJobRegistry(queue=self, job_class=self.job_class, serializer=self.serializer)
