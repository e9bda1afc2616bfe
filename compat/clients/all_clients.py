"""Which clients there are, and how they are run."""

from __future__ import annotations

from collections.abc import Sequence

from compat import environments
from compat.clients import django_rq, report, rq_command, rq_dashboard, rq_exporter, rq_scheduler
from compat.clients.comparison import Row
from compat.clients.sides import Population

CLIENTS = (rq_command, rq_dashboard, django_rq, rq_scheduler, rq_exporter)
NAMES = tuple(client.NAME for client in CLIENTS)


def run(names: Sequence[str] = ()) -> tuple[list[Row], bool]:
    """Run the clients (all, if none is named); return what was compared, and whether all was equal."""
    rows: list[Row] = []
    chosen = [client for client in CLIENTS if not names or client.NAME in names]
    # A population of each RQ release that a client wants: its jobs are as that release writes them.
    for release in dict.fromkeys(client.PINS[:2] for client in chosen):
        of_release = [client for client in chosen if client.PINS[:2] == release]
        made = [environments.make(f'client-{client.NAME}', *client.PINS) for client in of_release]
        environments.say(f'making a population by {", ".join(release)}')
        with Population(made[0]) as population:
            for client, environment in zip(of_release, made, strict=True):
                environments.say(f'{client.NAME}, plain and accelerated')
                rows += client.compare(population, environment)
    return rows, not any(row.differences for row in rows)


def run_clients(names: Sequence[str] = ()) -> bool:
    """Run the clients, print the table, and tell whether all was equal."""
    rows, equal = run(names)
    print(report.text(rows))
    return equal
