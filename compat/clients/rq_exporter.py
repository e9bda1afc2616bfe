"""rq-exporter: its own tests, and scrapes of a hundred queues as its own command serves them."""

from __future__ import annotations

from compat.clients.answers import Request, mask
from compat.clients.comparison import Comparison, Row
from compat.clients.own_tests import own_tests
from compat.clients.sides import Population, Side
from compat.environments import Environment

NAME = 'rq-exporter'
# It wants an RQ below 3 and a redis-py below 6.
PINS = ('rq-2.12.0', 'redis-5.3.1', 'rq-exporter')
SUITE = 'rq-exporter-3.1.0'

NUMBER = r'\d[\d.e+-]*'
# Beside the metrics of RQ there are the process's own.
PROCESS = 'process_(?:virtual_memory_bytes|resident_memory_bytes|start_time_seconds|cpu_seconds_total|open_fds)'
MASKS = (
    mask('metric of the process', rf'^{PROCESS} ({NUMBER})$'),
    mask('garbage collections', rf'^python_gc_\w+\{{generation="\d"\}} ({NUMBER})$'),
    mask('duration', rf'^rq_request_processing_seconds_sum ({NUMBER})$'),
    mask('start', rf'^rq_request_processing_seconds_created ({NUMBER})$'),
    mask('length with the above', r'^Content-Length: (\d+)$'),
)


def compare(population: Population, environment: Environment) -> list[Row]:
    """Run it on both sides, and return what was compared."""
    comparison = Comparison(NAME, population, environment, MASKS)

    def command(side: Side, port: int) -> list[str]:
        return ['rq-exporter', '--host', '127.0.0.1', '--port', str(port), '--redis-url', population.url(side)]

    with comparison.web(command) as web:
        web.ask(Request('/metrics'))
        web.ask(Request('/metrics', headers={'Accept': 'application/openmetrics-text'}))
        web.ask(Request('/metrics?name[]=rq_jobs'), keys=True)
    return own_tests(NAME, SUITE, environment) + comparison.rows
