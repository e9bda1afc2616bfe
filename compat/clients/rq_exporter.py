"""rq-exporter: its own tests, and scrapes of a hundred queues as its own command serves them.

`rqreg exporter` must have the same samples of the same names.
"""

from __future__ import annotations

import re

from compat.clients import programs
from compat.clients.answers import Answer, Request, mask
from compat.clients.comparison import Comparison, Row
from compat.clients.own_tests import own_tests
from compat.clients.sides import OURS, Population, Side
from compat.environments import ROOT, Environment

NAME = 'rq-exporter'
# It wants an RQ below 3 and a redis-py below 6.
PINS = ('rq-2.12.0', 'redis-5.3.1', 'rq-exporter')
SUITE = 'rq-exporter-3.1.0'

NUMBER = r'\d[\d.e+-]*'
# There are metrics of the process as well as of RQ.
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
        scraped = web.ask(Request('/metrics'))
        web.ask(Request('/metrics', headers={'Accept': 'application/openmetrics-text'}))
        web.ask(Request('/metrics?name[]=rq_jobs'), keys=True)
    return [*own_tests(NAME, SUITE, environment), *comparison.rows, beside_ours(scraped, population, environment)]


def beside_ours(scraped: Answer, population: Population, environment: Environment) -> Row:
    """Return what of rq-exporter's samples `rqreg exporter` lacks, on equal databases."""
    command = ['rqreg', 'exporter', '--once']
    ended = programs.run(OURS, environment, command, ROOT, RQ_REDIS_URL=population.url(OURS))
    theirs, ours = samples_in(scraped.body), samples_in(ended.output)
    found = [f'exit status {ended.status}:\n{ended.errors}'] if ended.status else []
    found += [] if theirs else ['rq-exporter has no samples']
    found += [f'not of rqreg exporter: {line}' for line in sorted(theirs - ours)]
    return Row(NAME, ' '.join(command), f'{len(theirs)} samples', accelerated=ended.seconds, differences=found)


def samples_in(text: str) -> set[str]:
    """Return the samples of queues and workers, as they are written."""
    return set(re.findall(r'^rq_(?:jobs|workers\w*)\{.*', text, re.MULTILINE))
