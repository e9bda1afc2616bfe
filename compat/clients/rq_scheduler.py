"""rq-scheduler: its own command puts scheduled and repeated jobs on their queues."""

from __future__ import annotations

from typing import Any

from compat.clients.answers import mask
from compat.clients.comparison import Comparison, Row
from compat.clients.sides import SIDES, Population
from compat.environments import Environment

NAME = 'rq-scheduler'
PINS = ('rq-3.0.0', 'redis-8.1.0', 'rq-scheduler')

MASKS = (
    mask('time of a line of the log', r'^(\d\d:\d\d:\d\d) '),
    mask('random name of the scheduler', r'(?:scheduler|Scheduler).*\b([0-9a-f]{32})\b'),
    mask('process id', r'PID[ :=]+(\d+)'),
)
SCHEDULE = 'compat/clients/data/schedule.py'


def compare(population: Population, environment: Environment) -> list[Row]:
    """Run it on both sides, and return what was compared."""
    comparison = Comparison(NAME, population, environment, MASKS)
    comparison.command('python', SCHEDULE, '{url}')
    comparison.command('rqscheduler', '--burst', '--verbose', '--url', '{url}')
    plain, ours = (take_instances(population.client(side)) for side in SIDES)
    found = [] if plain == ours else [f'the keys of the scheduler: {plain} by plain RQ, {ours} by ours']
    comparison.rows.append(
        Row(NAME, 'keys of a random name', f'{len(plain)} there', differences=found + comparison.keys())
    )
    return comparison.rows


def take_instances(client: Any) -> list[tuple[list[bytes], bool]]:
    """Remove the keys that have the random name of a scheduler in theirs; return their fields, and whether they expire.

    What they hold is the times of its birth and its death.
    """
    keys = client.keys('rq:scheduler_instance:*')
    found = sorted((sorted(client.hkeys(key)), client.ttl(key) > 0) for key in keys)
    client.delete(*keys)
    return found
