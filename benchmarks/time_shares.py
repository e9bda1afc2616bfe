"""Whose time it is: how long the server works during a call, how long the caller, and how long the caller waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .legs import BY_HAND_HIREDIS, KINDS, OURS, Cost, Server
from .measuring import DATABASE, Run, Spread, spread
from .workloads import BY_NAME, Workload

LEGS = (OURS, BY_HAND_HIREDIS)
FULL = (
    'get_job_ids-1000000',
    'iter_job_ids-1000000',
    'find-100000',
    'find-func_name-100000',
    'find-exc_info-100000',
    'count_by-200000',
    'count-by-find-200000',
    'purge-exc_info-200000',
    'purge-exc_info-dry-run-200000',
    'purge-100000',
    'requeue_all-100000',
    'snapshot-1000-queues',
    'batch-count-1000-queues',
)
QUICK = ('get_job_ids-10000', 'iter_job_ids-10000', 'find-10000', 'purge-10000', 'snapshot-100-queues')
ROUNDS = 3


@dataclass(frozen=True)
class Shares:
    """Seconds per call: by the clock, of the caller's CPU time and of the server's; of a sample, what all would take.

    `waiting` and `serving` are shares of the time by the clock: in which the caller did not work, and the server did.
    """

    seconds: Spread
    caller: Spread
    server: Spread
    waiting: Spread
    serving: Spread


def workloads(is_quick: bool) -> list[Workload]:
    """Return those that are looked at: large enough for what the server says of its CPU time."""
    return [BY_NAME[name] for name in (QUICK if is_quick else FULL)]


def measure(run: Run, server: Server, workload: Workload) -> dict[str, Shares]:
    """Make the call some times by each leg, and say whose time it was."""
    legs = {name: leg for name, leg in run.legs_of(workload).items() if name in LEGS}
    return {
        name: _shares(run, server, workload, leg, workload.sampled(KINDS[name], workload.size) / workload.size)
        for name, leg in legs.items()
    }


def _shares(run: Run, server: Server, workload: Workload, leg: Any, part: float) -> Shares:
    client = server.client(DATABASE)
    leg.set_to(workload, run.place(workload, server))
    leg.warm_up()
    costs: list[Cost] = []
    served: list[float] = []
    for _ in range(ROUNDS):
        # Puts back what the call before has changed.
        run.place(workload, server)
        before = _server_cpu(client)
        costs.append(leg.cost())
        served.append(_server_cpu(client) - before)
    return Shares(
        seconds=spread([cost.seconds / part for cost in costs]),
        caller=spread([cost.cpu / part for cost in costs]),
        server=spread([cpu / part for cpu in served]),
        waiting=spread([1 - cost.cpu / cost.seconds for cost in costs]),
        serving=spread([cpu / cost.seconds for cpu, cost in zip(served, costs, strict=True)]),
    )


def _server_cpu(client: Any) -> float:
    found = client.info('cpu')
    return float(found['used_cpu_user']) + float(found['used_cpu_sys'])
