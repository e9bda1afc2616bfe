"""How long the server is held: by the slowest command, and as another client sees it, during changes in bulk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import sleep
from typing import Any

from .legs import OURS, Server
from .measuring import DATABASE, Run
from .pinger import Latency, Pinger
from .populations import FailedJobs
from .workloads import BY_NAME, Workload

# Of workloads, on the populations below.
OPERATIONS = ('purge', 'requeue_all', 'cancel_many')
JOBS, QUICK_JOBS = 100_000, 10_000
BACKLOG, QUICK_BACKLOG = 1_000_000, 100_000
DEPENDENTS, QUICK_DEPENDENTS = 10_000, 1_000
IDLE_SECONDS = 1
SLOWLOG = {'slowlog-log-slower-than': 100, 'slowlog-max-len': 100_000}


@dataclass(frozen=True)
class Held:
    """What one operation did to others: seconds. `worst` commands are those of the operation itself."""

    seconds: float
    worst_command: float
    command: str
    idle: Latency
    during: Latency


def situations(is_quick: bool) -> dict[str, FailedJobs]:
    """Return what is found by the operations: plain jobs, and what makes a change of them expensive."""
    jobs = FailedJobs(QUICK_JOBS if is_quick else JOBS)
    backlog = QUICK_BACKLOG if is_quick else BACKLOG
    dependents = QUICK_DEPENDENTS if is_quick else DEPENDENTS
    return {
        f'{jobs.entries} jobs': jobs,
        f'{jobs.entries} jobs, {backlog} others on their queue': replace(jobs, backlog=backlog),
        f'{jobs.entries} jobs, {dependents} wait for one of them': replace(jobs, dependents=dependents),
    }


def workloads(population: FailedJobs) -> dict[str, Workload]:
    """Return what is done to them."""
    return {
        operation: replace(BY_NAME[f'{operation}-{population.entries}'], population=population)
        for operation in OPERATIONS
    }


def measure(run: Run, server: Server, workload: Workload) -> Held:
    """Make one call of ours with a second client looking on."""
    client = server.client(DATABASE)
    leg = run.legs[OURS]
    leg.set_to(workload, run.place(workload, server))
    leg.warm_up()
    with Pinger(server.port) as pinger:
        sleep(IDLE_SECONDS)
        idle = pinger.latency()
        for name, value in SLOWLOG.items():
            client.config_set(name, value)
        client.slowlog_reset()
        # What was in the log takes its time to be freed, which is not the operation's.
        pinger.latency()
        seconds = leg.elapsed(1)
        during = pinger.latency()
    logged = client.slowlog_get(SLOWLOG['slowlog-max-len'])
    slowest = max((entry for entry in logged if not _is_ours(entry)), key=_duration, default=None)
    client.config_set('slowlog-max-len', 0)
    return Held(
        seconds=seconds,
        worst_command=_duration(slowest) / 1e6 if slowest else 0.0,
        command=slowest['command'].split(b' ')[0].decode() if slowest else '',
        idle=idle,
        during=during,
    )


def _is_ours(entry: Any) -> bool:
    return bool(entry['command'].split(b' ')[0].upper() in (b'SLOWLOG', b'CONFIG'))


def _duration(entry: Any) -> int:
    return int(entry['duration'])
