"""The jobs of the load, in families: what a job does and what its options are decides where it ends.

The same seed gives the same jobs, with the same ids and in the same order, on any server.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import redis
from rq import Repeat, Retry
from rq.job import Dependency

from . import jobs
from .enqueuing import Family, Load, queues

HOUR = 3600
# One family in this number is of a kind that takes seconds.
SLOW_EVERY = 100


def succeeds(family: Family) -> None:
    family.add('job', jobs.succeed)


def takes_a_moment(family: Family) -> None:
    family.add('job', jobs.take_a_moment)


def fails(family: Family) -> None:
    family.add('job', jobs.fail, ends='failed')


def lifetimes(family: Family) -> None:
    family.add('kept', jobs.succeed, result_ttl=2 * HOUR, ttl=HOUR)
    family.add('kept-for-ever', jobs.succeed, result_ttl=-1)
    family.add('not-kept', jobs.succeed, result_ttl=0, ends=None)
    family.add('failure', jobs.fail, failure_ttl=3 * HOUR, ends='failed')


def expires_in_the_queue(family: Family) -> None:
    family.add('job', jobs.succeed, ttl=1, ends=None, runs=0)


def recovers(family: Family) -> None:
    family.add('job', jobs.fail_until, 3, retry=Retry(3), runs=3, most_runs=4)


def recovers_later(family: Family) -> None:
    family.add('job', jobs.fail_until, 2, retry=Retry(2, interval=1), runs=2, most_runs=3)


def exhausts_its_retries(family: Family) -> None:
    family.add('job', jobs.fail, retry=Retry(2), ends='failed', runs=3)


def asks_for_other_runs(family: Family) -> None:
    family.add('job', jobs.ask_for_another_run, 2, ends='failed', runs=3)


def repeats(family: Family) -> None:
    family.add('at-once', jobs.succeed, repeat=Repeat(2), runs=3)
    family.add('later', jobs.succeed, repeat=Repeat(1, interval=1), runs=2)


def scheduled(family: Family) -> None:
    family.add('success', jobs.succeed, delay=1)
    family.add('failure', jobs.fail, delay=2, ends='failed')


def depends_on_success(family: Family) -> None:
    first = family.add('first', jobs.succeed)
    second = family.add('second', jobs.take_a_moment, needs=[first], depends_on=first)
    family.add('third', jobs.succeed, needs=[second], depends_on=second, queue=family.other_queue)


def depends_on_failure(family: Family) -> None:
    first = family.add('first', jobs.fail, ends='failed')
    family.add('waits-for-ever', jobs.succeed, needs=[first], depends_on=first, ends='deferred', runs=0)
    family.add('may', jobs.succeed, needs=[first], depends_on=Dependency([first], allow_failure=True))


def depends_on_both_queues(family: Family) -> None:
    here = family.add('here', jobs.succeed)
    there = family.add('there', jobs.take_a_moment, queue=family.other_queue)
    family.add('then', jobs.succeed, needs=[here, there], depends_on=[here, there])


def depends_on_retries(family: Family) -> None:
    first = family.add('first', jobs.fail_until, 2, retry=Retry(1), runs=2)
    family.add('then', jobs.succeed, needs=[first], depends_on=first)


def canceled(family: Family) -> None:
    family.add('in-the-queue', jobs.succeed, ends='canceled', runs=0).cancel()
    family.add('scheduled', jobs.succeed, delay=1, ends='canceled', runs=0).cancel()
    first = family.add('first', jobs.succeed)
    family.add('deferred', jobs.succeed, needs=[first], depends_on=first, ends='canceled', runs=0).cancel()


def canceled_before_others(family: Family) -> None:
    first = family.add('first', jobs.succeed, ends='canceled', runs=0)
    family.add('then', jobs.succeed, needs=[first], depends_on=first)
    first.cancel(enqueue_dependents=True)


def canceled_by_a_job(family: Family) -> None:
    canceling = family.add('canceling', jobs.cancel, family.job_id('canceled'))
    family.add('canceled', jobs.succeed, needs=[canceling], ends='canceled', runs=0, most_runs=1)


def dies(family: Family) -> None:
    family.add('once', jobs.die, ends='failed')
    family.add('again', jobs.die, retry=Retry(1), ends='failed', runs=2)


def times_out(family: Family) -> None:
    family.add('job', jobs.sleep_too_long, job_timeout=1, ends='failed')


def times_out_again(family: Family) -> None:
    first = family.add('job', jobs.sleep_too_long, job_timeout=1, retry=Retry(1), ends='failed', runs=2)
    family.add('then', jobs.succeed, needs=[first], depends_on=Dependency([first], allow_failure=True))


QUICK: list[Callable[[Family], None]] = [
    succeeds,
    takes_a_moment,
    fails,
    lifetimes,
    expires_in_the_queue,
    recovers,
    recovers_later,
    exhausts_its_retries,
    asks_for_other_runs,
    repeats,
    scheduled,
    depends_on_success,
    depends_on_failure,
    depends_on_both_queues,
    depends_on_retries,
    canceled,
    canceled_before_others,
    canceled_by_a_job,
]
SLOW = [times_out, times_out_again]
# Of a worker that does not fork, the job's death is the worker's.
FORKING = [dies]


def enqueue(client: redis.Redis, wanted: int, seed: int) -> Load:
    """Enqueue families until there are as many jobs as wanted, each kind of family at least once."""
    chance = random.Random(seed)
    load = Load()
    forked, simple = queues(client)
    number = 0
    while len(load.fates) < wanted:
        kinds = [SLOW[number // SLOW_EVERY % len(SLOW)]] if number % SLOW_EVERY == 0 else QUICK + FORKING
        kind = kinds[number % len(kinds)] if number <= len(kinds) else chance.choice(kinds)
        here, there = chance.choice([(forked, simple), (simple, forked)])
        if kind in FORKING:
            here, there = forked, simple
        kind(Family(load, f'{number:05d}-{kind.__name__}', here, there))
        number += 1
    return load
