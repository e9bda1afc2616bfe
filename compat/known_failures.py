"""The tests of RQ that fail on plain RQ too, always or now and then, and why."""

from __future__ import annotations

from typing import NamedTuple


class KnownFailure(NamedTuple):
    """A test that always fails with these releases of RQ and redis-py."""

    test: str
    rq: tuple[str, ...]
    redis: tuple[str, ...]
    reason: str


# redis-py 8 keeps the state of a running pool among the arguments of its connections (`himport_registry`, ...). RQ 2.12
# and 3 leave it out where they take these to another client; earlier releases and their tests do not, or not all of it.
RUNTIME_ARGUMENTS = {
    'tests/test_commands.py::TestCommands::test_kill_horse_command': 'a process of the test makes a client of them',
    'tests/test_commands.py::TestCommands::test_shutdown_command': 'a process of the test makes a client of them',
    'tests/test_commands.py::TestCommands::test_stop_job_command': 'a process of the test makes a client of them',
    'tests/test_connection.py::TestConnectionInheritance::test_parse_connection': 'the test expects no others',
    'tests/test_cron.py::TestCronScheduler::test_sigint_handling': 'a process of the test makes a client of them',
    'tests/test_dependencies.py::TestDependencies::test_allow_failures_when_work_horse_killed': (
        'a process of the test makes a client of them'
    ),
    'tests/test_executions.py::TestRegistry::test_execution_added_to_started_job_registry': (
        'a process of the test makes a client of them'
    ),
    'tests/test_fixtures.py::TestFixtures::test_rpush_fixture': 'the test makes a client of them',
    'tests/test_fixtures.py::TestFixtures::test_start_worker_fixture': 'the test makes a client of them',
    'tests/test_job.py::TestJob::test_blocking_result_fetch': 'a process of the test makes a client of them',
    'tests/test_job_dependency.py::TestJobDependency::test_execution_order_with_dual_dependency': (
        'they are arguments of a job, and cannot be pickled'
    ),
    'tests/test_job_dependency.py::TestJobDependency::test_execution_order_with_sole_dependency': (
        'they are arguments of a job, and cannot be pickled'
    ),
    'tests/test_scheduler.py::TestScheduler::test_prepare_registries': (
        'registries of two clients are equal where these have equal arguments'
    ),
    'tests/test_spawn_worker.py::TestWorker::test_work_and_quit': 'they are written into a program that is spawned',
    'tests/test_spawn_worker.py::WorkerShutdownTestCase::test_working_worker_cold_shutdown': (
        'they are written into a program that is spawned'
    ),
    'tests/test_worker.py::TestWorker::test_suspend_worker_execution': 'a process of the test makes a client of them',
    'tests/test_worker_pool.py::TestWorkerPool::test_check_workers': 'the test makes a client of them',
    'tests/test_worker_pool.py::TestWorkerPool::test_reap_workers': 'the test makes a client of them',
}

# redis-py 7 has a DriverInfo among the arguments of its connections, whose repr() RQ 2.6.1 writes into a program.
DRIVER_INFO = (
    'tests/test_spawn_worker.py::TestWorker::test_work_and_quit',
    'tests/test_spawn_worker.py::WorkerShutdownTestCase::test_working_worker_cold_shutdown',
)

# RQ 2.9 and 2.10 compare clients without what redis-py 8.0 keeps there.
COMPARED = 'tests/test_scheduler.py::TestScheduler::test_prepare_registries'

KNOWN_FAILURES = (
    *(
        KnownFailure(
            test,
            ('2.6.1',) if test == COMPARED else ('2.6.1', '2.9.1', '2.10.0'),
            ('8.1.0',),
            f'arguments of a running pool of redis-py 8: {place}',
        )
        for test, place in RUNTIME_ARGUMENTS.items()
    ),
    *(
        KnownFailure(
            test, ('2.6.1',), ('7.4.1',), 'a DriverInfo of redis-py 7 is written into a program that is spawned'
        )
        for test in DRIVER_INFO
    ),
)

# Those that plain RQ was seen both to pass and to fail, here, or that failed in code of others; what they depend on.
SEEN_UNSTEADY: dict[str, str] = {
    # Seen in a traceback: the collector ran within get_connection(), which holds the lock of the pool.
    'tests/test_commands.py::TestCommands::test_pubsub_thread_survives_connection_error': (
        "redis-py 5's PubSub.__del__ waits for ever if the garbage collector runs it while a connection is taken"
    ),
    'tests/test_job_dependency.py::TestJobDependency::test_execution_order_with_sole_dependency': (
        'which of two workers takes a job first, with half a second between them'
    ),
    'tests/test_timeouts.py::TestTimeouts::test_timer_death_penalty': 'jobs that end a second before or after a timer',
    'tests/test_worker_pool.py::TestWorkerPool::test_check_workers': 'workers that start or end within a second',
    'tests/test_worker_pool.py::TestWorkerPool::test_reap_workers': 'workers that start or end within a second',
}


def reasons(rq: str, redis: str) -> dict[str, str]:
    """Return the reason of each test that is known to fail with these releases."""
    return {known.test: known.reason for known in KNOWN_FAILURES if rq in known.rq and redis in known.redis}
