"""What is measured: programs as they are installed, from a client's request or a command's start to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from private_redis import free_port

from compat import environments
from compat.clients import programs, rq_command, rq_dashboard, rq_exporter
from compat.clients.answers import Request, ask
from compat.clients.sides import SIDES, Population, Side
from compat.environments import ROOT, Environment

DATA = ROOT / 'compat' / 'clients' / 'data'
WORKER_QUEUE, WORKER_JOBS = 'benchmark', 500
BULK = 'bulk'
ENQUEUE = f"""
import sys
from redis import Redis
from rq import Queue

queue = Queue({WORKER_QUEUE!r}, connection=Redis.from_url(sys.argv[1]))
queue.enqueue_many([queue.prepare_data('work.nothing', result_ttl=60) for _ in range({WORKER_JOBS})])
"""
CLEAN = """
import sys
from time import perf_counter
from redis import Redis
from rq import Queue
from rq.registry import clean_registries

queues = Queue.all(connection=Redis.from_url(sys.argv[1]))
assert len(queues) == 100, len(queues)
for _ in range(6):
    start = perf_counter()
    for queue in queues:
        clean_registries(queue)
    seconds = perf_counter() - start
print(seconds)
"""


@dataclass
class Place:
    """Where a program runs: the population, the environment of its client, and the servers that are running."""

    population: Population
    environment: Environment
    folder: Path
    ports: dict[str, int] = field(default_factory=dict)

    def run(self, side: Side, *command: str) -> programs.Ended:
        """Run a command of the environment, which must succeed."""
        url = self.population.url(side)
        ended = programs.run(side, self.environment, [*command], self.folder, RQ_REDIS_URL=url, PYTHONPATH=str(DATA))
        if ended.status != 0:
            raise RuntimeError(f'exit status {ended.status} of {" ".join(command)}:\n{ended.errors[-2000:]}')
        return ended

    def script(self, side: Side, text: str) -> programs.Ended:
        """Run a Python script that is given the URL of the side's database."""
        return self.run(side, 'python', '-c', text, self.population.url(side))


@dataclass(frozen=True)
class Program:
    """A program, how often it is measured, and how: the seconds of one run on one side."""

    name: str
    client: Any
    rounds: int
    seconds: Callable[[Place, Side], float]
    jobs: int = 0


def page(path: str) -> Callable[[Place, Side], float]:
    """Return what asks a server for a page; the time is from the request to the end of the answer."""

    def seconds(place: Place, side: Side) -> float:
        answer = ask(place.ports[side.name], Request(path))
        if answer.status != 200:
            raise RuntimeError(f'status {answer.status} of {path}')
        return answer.seconds

    return seconds


def info(place: Place, side: Side) -> float:
    return place.run(side, 'rq', 'info').seconds


def work(place: Place, side: Side) -> float:
    place.script(side, ENQUEUE)
    ended = place.run(side, 'rq', 'worker', '--burst', '--quiet', WORKER_QUEUE)
    client = place.population.client(side)
    left = client.llen(f'rq:queue:{WORKER_QUEUE}')
    # The other programs are measured with a hundred queues.
    client.srem('rq:queues', f'rq:queue:{WORKER_QUEUE}')
    if left:
        raise RuntimeError(f'the worker left {left} jobs')
    return ended.seconds


def clean(place: Place, side: Side) -> float:
    return float(place.script(side, CLEAN).output)


def requeue(place: Place, side: Side) -> float:
    place.population.copy(side, pattern=f'*{BULK}*')
    seconds = place.run(side, 'rq', 'requeue', '--queue', BULK, '--all').seconds
    left = place.population.client(side).zcard(f'rq:failed:{BULK}')
    if left:
        raise RuntimeError(f'{left} jobs were not requeued')
    return seconds


ALL = (
    Program('rq-dashboard, front page', rq_dashboard, 31, page('/0/data/queues.json')),
    Program('rq-dashboard, page of 200 000', rq_dashboard, 31, page('/0/data/jobs/default/failed/8/asc/1.json')),
    Program('rq-exporter, scrape', rq_exporter, 31, page('/metrics')),
    Program('rq info', rq_command, 15, info),
    Program('rq worker --burst', rq_command, 5, work, jobs=WORKER_JOBS),
    Program('clean_registries', rq_command, 15, clean),
    Program('rq requeue --all, 10 000', rq_command, 5, requeue),
)
SERVERS: Mapping[Any, Callable[[str, int], list[str]]] = {
    rq_dashboard: lambda url, port: ['rq-dashboard', '--bind', '127.0.0.1', '--port', str(port), '--redis-url', url],
    rq_exporter: lambda url, port: ['rq-exporter', '--host', '127.0.0.1', '--port', str(port), '--redis-url', url],
}


@contextmanager
def place_of(client: Any, population: Population) -> Iterator[Place]:
    """Make a client's place, with its servers running on both sides if it serves."""
    environment = environments.make(f'client-{client.NAME}', *client.PINS)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        place = Place(population, environment, folder)
        for side in SIDES if client in SERVERS else ():
            place.ports[side.name] = free_port()
            command = SERVERS[client](population.url(side), place.ports[side.name])
            stack.enter_context(programs.serving(side, environment, command, folder, place.ports[side.name], {}))
        yield place
