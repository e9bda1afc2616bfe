"""rq-dashboard: its own tests, and its pages and JSON as its own command serves them, with many failed jobs."""

from __future__ import annotations

from compat.clients.answers import Request, mask
from compat.clients.comparison import Comparison, Row, Web
from compat.clients.own_tests import own_tests
from compat.clients.sides import Population, Side
from compat.environments import Environment

NAME = 'rq-dashboard'
PINS = ('rq-3.0.0', 'redis-8.1.0', 'rq-dashboard')
SUITE = 'rq-dashboard-0.9.0'

MASKS = (mask("number of the side's database", r'redis://127\.0\.0\.1:\d+/(\d)\b'),)
REGISTRIES = ('queued', 'failed', 'started', 'finished', 'deferred', 'scheduled', 'canceled')
# A job of each kind that fails.
FAILED = [f'default-{number:06}' for number in range(8)]


def compare(population: Population, environment: Environment) -> list[Row]:
    """Run it on both sides, and return what was compared."""
    comparison = Comparison(NAME, population, environment, MASKS)

    def command(side: Side, port: int) -> list[str]:
        url = population.url(side)
        return ['rq-dashboard', '--bind', '127.0.0.1', '--port', str(port), '--redis-url', url]

    with comparison.web(command) as web:
        look(web)
        change(web)
    return own_tests(NAME, SUITE, environment) + comparison.rows


def look(web: Web) -> None:
    """Ask for every page that only shows something."""
    for page in ('/', '/0/view/workers', '/0/view/jobs', '/0/data/queues.json', '/favicon.ico'):
        web.ask(Request(page))
    web.ask(Request('/0/view/queues'), expected=308)
    web.ask(Request('/0/data/workers.json'))
    for registry in REGISTRIES:
        web.ask(Request(f'/0/view/jobs/default/{registry}/8/asc/1'))
        web.ask(Request(f'/0/data/jobs/queue-05/{registry}/8/asc/1.json'))
    # It fetches all jobs before the page as well: one far into the registry takes minutes.
    for page in ('8/asc/1', '8/asc/50', '8/dsc/1', '100/asc/2', '100/dsc/3'):
        web.ask(Request(f'/0/data/jobs/default/failed/{page}.json'))
    for job_id in (*FAILED, 'queue-05-deferred', 'queue-05-finished-1', 'queue-05-started', 'queue-05-scheduled'):
        web.ask(Request(f'/0/view/job/{job_id}'))
        # It takes the ids of dependencies for bytes, which RQ's are no more.
        web.ask(Request(f'/0/data/job/{job_id}.json'), expected=500 if job_id == 'queue-05-deferred' else 200)
    web.ask(Request('/0/data/job/no-such-job.json'), expected=500)
    # An id whose job is gone.
    web.ask(Request('/0/data/jobs/queue-04/failed/8/asc/1.json'), keys=True)


def change(web: Web) -> None:
    """Press every button, and look at the keys and the overview afterwards."""
    press(web, '/job/default-000001/requeue', '/job/default-000002/delete', '/job/no-such-job/delete')
    web.ask(Request('/job/queue-08-finished-1/requeue', form={}), expected=500)
    press(web, '/job/queue-06-started/delete', '/queue/queue-08/compact', '/queue/queue-04/failed/empty')
    press(web, *(f'/queue/queue-07/{registry}/empty' for registry in REGISTRIES))
    web.ask(Request('/0/data/queues.json'), keys=True)
    press(web, '/requeue/bulk')
    web.ask(Request('/0/data/queues.json'), keys=True)
    press(web, '/queue/bulk/queued/empty')
    web.ask(Request('/0/data/queues.json'), keys=True)


def press(web: Web, *paths: str) -> None:
    """Send what the buttons send."""
    for path in paths:
        web.ask(Request(path, form={}))
