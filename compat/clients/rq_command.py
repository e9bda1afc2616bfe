"""RQ's own commands that ask and change: info, requeue and empty."""

from __future__ import annotations

from compat.clients.answers import mask
from compat.clients.comparison import Comparison, Row
from compat.clients.sides import Population
from compat.environments import Environment

NAME = 'rq'
PINS = ('rq-3.0.0', 'redis-8.1.0', 'rq-command')

TIME = r'(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{6})?)'
MASKS = (mask('time', rf'^Updated: {TIME}$'), mask('time', rf'due to AbandonedJobError, at {TIME}\+00:00$'))
# The bar shows how long is left, by the time it took so far.
PROGRESS = (mask('time left', r'( +\d\d:\d\d:\d\d)'),)


def compare(population: Population, environment: Environment) -> list[Row]:
    """Run them on both sides, and return what was compared."""
    comparison = Comparison(NAME, population, environment, MASKS)
    # The first cleans up what expired; then there is nothing left to clean up.
    comparison.command('rq', 'info', keys=True)
    for options in ((), ('--raw',), ('--only-queues',), ('--only-workers',), ('bulk', 'queue-05')):
        comparison.command('rq', 'info', *options)
    comparison.command('rq', 'requeue', '--queue', 'default', 'default-000001', 'no-such-job')
    comparison.command('rq', 'requeue', '--queue', 'queue-04', '--all')
    comparison.command('rq', 'requeue', '--queue', 'queue-05', '--all')
    comparison.command('rq', 'requeue', '--queue', 'queue-05', '--all', keys=True)
    comparison.command('rq', 'requeue', '--queue', 'bulk', '--all', keys=True, masks=PROGRESS)
    comparison.command('rq', 'empty', 'queue-05', 'queue-06', 'no-such-queue')
    comparison.command('rq', 'empty', '--all')
    comparison.command('rq', 'info', keys=True)
    return comparison.rows
