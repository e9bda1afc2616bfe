"""Real jobs in every state that has a registry, produced by the worker."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from rq.job import Job
from rq.registry import StartedJobRegistry

from .interruption import wait_until
from .stage import Stage

COUNT_WORDS = 'somewhere.count_words_at_url'
ADDRESS = 'http://nvie.com'
# For each registry, the job that its questions are about.
JOB_IDS = {
    'StartedJobRegistry': 'running',
    'FinishedJobRegistry': 'done-1',
    'FailedJobRegistry': 'broken-1',
    'DeferredJobRegistry': 'waiting',
    'ScheduledJobRegistry': 'tomorrow',
    'CanceledJobRegistry': 'canceled',
    'ReadyJobRegistry': 'waiting',
    'ExecutionRegistry': 'running',
}


def populate(stage: Stage) -> Iterator[str]:
    """Bring one job after the other into its state. Yields a description before each step."""
    queue = stage.queue
    yield 'three jobs succeed'
    for number in (1, 2, 3):
        queue.enqueue(COUNT_WORDS, ADDRESS, job_id=f'done-{number}')
    finished = queue.finished_job_registry
    wait_until(lambda: finished.get_job_count(cleanup=False) == 3, 'three jobs to succeed')
    yield 'two jobs fail: their page does not exist'
    for number in (1, 2):
        queue.enqueue(COUNT_WORDS, f'{ADDRESS}/missing', job_id=f'broken-{number}')
    failed = queue.failed_job_registry
    wait_until(lambda: failed.get_job_count(cleanup=False) == 2, 'two jobs to fail')
    yield 'one job runs: its page is held back until the end'
    stage.page.hold()
    running = queue.enqueue(COUNT_WORDS, ADDRESS, job_id='running', job_timeout=3600)
    started = StartedJobRegistry(queue=queue)
    wait_until(lambda: stage.page.fetched.is_set() and 'running' in started, 'a job to run')
    yield 'one job waits for that one, one is scheduled for tomorrow, one is canceled'
    queue.enqueue(COUNT_WORDS, ADDRESS, job_id='waiting', depends_on=running)
    queue.enqueue_in(timedelta(days=1), COUNT_WORDS, ADDRESS, job_id='tomorrow')
    queue.enqueue(COUNT_WORDS, ADDRESS, job_id='canceled').cancel()


def job_of(stage: Stage, registry: str) -> Job:
    """Return the job that the registry's questions are about."""
    return Job.fetch(JOB_IDS[registry], connection=stage.connection)
