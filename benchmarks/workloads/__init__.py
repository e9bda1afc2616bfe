"""What is measured: each workload a small declaration."""

from . import counting, many_queues, one_call, pages, special_jobs, threads, whole_registry
from .workload import Axis, Kind, Library, Sample, Workload, failed, library

ALL: tuple[Workload, ...] = (
    *one_call.ALL,
    *whole_registry.ALL,
    *many_queues.ALL,
    *threads.ALL,
    *counting.ALL,
    *pages.ALL,
    *special_jobs.ALL,
)
BY_NAME = {workload.name: workload for workload in ALL}

__all__ = ['ALL', 'BY_NAME', 'Axis', 'Kind', 'Library', 'Sample', 'Workload', 'failed', 'library']
