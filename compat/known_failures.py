"""The tests of RQ that fail on plain RQ too, always or now and then, and why."""

from __future__ import annotations

from typing import NamedTuple


class KnownFailure(NamedTuple):
    """A test that always fails with these releases of RQ and redis-py."""

    test: str
    rq: tuple[str, ...]
    redis: tuple[str, ...]
    reason: str


KNOWN_FAILURES: tuple[KnownFailure, ...] = ()

# Those that plain RQ was seen both to pass and to fail, here, and what they depend on.
SEEN_UNSTEADY: dict[str, str] = {
    'tests/test_job_dependency.py::TestJobDependency::test_execution_order_with_sole_dependency': (
        'which of two workers takes a job first, with half a second between them'
    ),
    'tests/test_worker_pool.py::TestWorkerPool::test_check_workers': 'workers that start or end within a second',
    'tests/test_worker_pool.py::TestWorkerPool::test_reap_workers': 'workers that start or end within a second',
}


def reasons(rq: str, redis: str) -> dict[str, str]:
    """Return the reason of each test that is known to fail with these releases."""
    return {known.test: known.reason for known in KNOWN_FAILURES if rq in known.rq and redis in known.redis}
