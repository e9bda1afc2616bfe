"""What is measured: programs as they are installed, from a client's request or a command's start to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from private_redis import free_port

from benchmarks.programs import profiling
from benchmarks.programs.profiling import Stack
from compat import environments
from compat.clients import django_rq, programs, rq_command, rq_dashboard, rq_exporter, rq_scheduler
from compat.clients.answers import Browser, Request
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
SCHEDULED_JOBS = 1000
SCHEDULE = f"""
import sys
from datetime import datetime, timezone
from redis import Redis
from rq_scheduler import Scheduler
from work import nothing

scheduler = Scheduler({WORKER_QUEUE!r}, connection=Redis.from_url(sys.argv[1]))
for _ in range({SCHEDULED_JOBS}):
    scheduler.enqueue_at(datetime(2020, 1, 1, tzinfo=timezone.utc), nothing)
"""
CLEAN = """
import sys
from time import perf_counter
from redis import Redis
from rq import Queue
from rq.registry import clean_registries

queues = Queue.all(connection=Redis.from_url(sys.argv[1]))
assert len(queues) == 100, len(queues)
for _ in range(int(sys.argv[2])):
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
    browsers: dict[str, Browser] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)
    ran: set[tuple[Side, tuple[str, ...]]] = field(default_factory=set)

    def variables(self, side: Side) -> dict[str, str]:
        """Return the variables that are added to the environment of a command of this side."""
        return {'RQ_REDIS_URL': self.population.url(side), 'PYTHONPATH': str(DATA)}

    def run(self, side: Side, *command: str) -> programs.Ended:
        """Run a command of the environment, which must succeed; the first time, make sure of its side."""
        is_first = (side, command) not in self.ran
        ended = programs.run(side, self.environment, [*command], self.folder, is_first, **self.variables(side))
        self.ran.add((side, command))
        if ended.status != 0:
            raise RuntimeError(f'exit status {ended.status} of {" ".join(command)}:\n{ended.errors[-2000:]}')
        return ended

    def looks_at(self, side: Side, *command: str) -> list[tuple[Stack, int]]:
        """Run a command of the environment in the sight of the profiler."""
        words = [str(self.environment.bin / command[0]), *command[1:]]
        if command[0] != 'python':
            words = [str(self.environment.python), *words]
        variables = self.environment.variables(side.accelerated, **programs.EQUAL, **self.variables(side))
        return profiling.of_command(words, self.folder, variables)


class Measured(Protocol):
    """What a program does when it is measured."""

    def seconds(self, place: Place, side: Side) -> float:
        """Let the program run once on one side; return how long that took."""

    def looks(self, place: Place, side: Side) -> list[tuple[Stack, int]]:
        """Let it run in the sight of the profiler; return what was seen."""


@dataclass(frozen=True)
class Page:
    """A page of a server: the time is from the request to the end of the answer.

    pause: how many seconds to wait before that, for what the server remembers to be forgotten.
    """

    path: str
    pause: float = 0.0

    def seconds(self, place: Place, side: Side) -> float:
        time.sleep(self.pause)
        answer = place.browsers[side.name].ask(Request(self.path))
        if answer.status != 200:
            raise RuntimeError(f'status {answer.status} of {self.path}')
        return answer.seconds

    def looks(self, place: Place, side: Side) -> list[tuple[Stack, int]]:
        return profiling.of_requests(place.pids[side.name], lambda: self.seconds(place, side), place.folder)


def nothing(place: Place, side: Side) -> None:
    """Prepare or check nothing."""


@dataclass(frozen=True)
class Command:
    """A command of the environment, from its start to its end; what comes before and after it is not timed."""

    words: tuple[str, ...]
    before: Callable[[Place, Side], None] = nothing
    after: Callable[[Place, Side], None] = nothing

    def seconds(self, place: Place, side: Side) -> float:
        self.before(place, side)
        ended = place.run(side, *self.words)
        self.after(place, side)
        return ended.seconds

    def looks(self, place: Place, side: Side) -> list[tuple[Stack, int]]:
        self.before(place, side)
        found = place.looks_at(side, *self.words)
        self.after(place, side)
        return found


@dataclass(frozen=True)
class Calls:
    """A script that makes calls again and again, and prints how long they took the last time."""

    script: str
    function: str

    def _command(self, place: Place, side: Side, times: int) -> list[str]:
        return ['python', '-c', self.script, place.population.url(side), str(times)]

    def seconds(self, place: Place, side: Side) -> float:
        return float(place.run(side, *self._command(place, side, 6)).output)

    def looks(self, place: Place, side: Side) -> list[tuple[Stack, int]]:
        found = place.looks_at(side, *self._command(place, side, 100))
        return [(stack, count) for stack, count in found if any(frame.function == self.function for frame in stack)]


@dataclass(frozen=True)
class Program:
    """A program, how often it is measured, and what it does then; `jobs` is how many it works on."""

    name: str
    client: Any
    rounds: int
    measured: Measured
    jobs: int = 0


def enqueue(place: Place, side: Side) -> None:
    """Have jobs for a worker."""
    place.run(side, 'python', '-c', ENQUEUE, place.population.url(side))


def all_done(place: Place, side: Side) -> None:
    """Check that the worker did all, and leave a hundred queues to the other programs."""
    client = place.population.client(side)
    if left := client.llen(f'rq:queue:{WORKER_QUEUE}'):
        raise RuntimeError(f'the worker left {left} jobs')
    client.srem('rq:queues', f'rq:queue:{WORKER_QUEUE}')


def schedule(place: Place, side: Side) -> None:
    """Have jobs for the scheduler."""
    place.run(side, 'python', '-c', SCHEDULE, place.population.url(side))


def all_enqueued(place: Place, side: Side) -> None:
    """Check that the scheduler put all jobs on their queue, and take them off it."""
    client = place.population.client(side)
    key = f'rq:queue:{WORKER_QUEUE}'
    if (found := client.llen(key)) != SCHEDULED_JOBS:
        raise RuntimeError(f'the scheduler enqueued {found} jobs of {SCHEDULED_JOBS}')
    client.delete(key, *(f'rq:job:{job_id.decode()}' for job_id in client.lrange(key, 0, -1)))
    client.srem('rq:queues', key)


def fail_again(place: Place, side: Side) -> None:
    """Have the failed jobs that are requeued as they were in the beginning."""
    place.population.copy(side, pattern=f'*{BULK}*')


def all_requeued(place: Place, side: Side) -> None:
    """Check that no job was left."""
    if left := place.population.client(side).zcard(f'rq:failed:{BULK}'):
        raise RuntimeError(f'{left} jobs were not requeued')


@dataclass(frozen=True)
class Beside:
    """A client whose accelerated side is a program of ours, in the environment of that client."""

    NAME: str
    PINS: tuple[str, ...]


BESIDE_RQ_EXPORTER = Beside(rq_exporter.NAME, rq_exporter.PINS)
WORKER = ('rq', 'worker', '--burst', '--quiet', WORKER_QUEUE)
ALL = (
    Program('rq-dashboard, front page', rq_dashboard, 31, Page('/0/data/queues.json')),
    Program('rq-dashboard, page of 200 000', rq_dashboard, 31, Page('/0/data/jobs/default/failed/8/asc/1.json')),
    Program('django-rq, dashboard', django_rq, 31, Page(f'{django_rq.PREFIX}/')),
    Program('django-rq, page of 200 000', django_rq, 31, Page(f'{django_rq.of("default")}/failed/')),
    Program('rq-exporter, scrape', rq_exporter, 31, Page('/metrics')),
    Program('rq-exporter, and rqreg exporter: scrape', BESIDE_RQ_EXPORTER, 31, Page('/metrics', pause=1.1)),
    Program('rq info', rq_command, 15, Command(('rq', 'info'))),
    Program('rq worker --burst', rq_command, 5, Command(WORKER, enqueue, all_done), jobs=WORKER_JOBS),
    Program(
        'rq worker --burst, SimpleWorker',
        rq_command,
        5,
        Command((*WORKER, '--worker-class', 'rq.SimpleWorker'), enqueue, all_done),
        jobs=WORKER_JOBS,
    ),
    Program('clean_registries', rq_command, 15, Calls(CLEAN, 'clean_registries')),
    Program(
        'rq requeue --all, 10 000',
        rq_command,
        5,
        Command(('rq', 'requeue', '--queue', BULK, '--all'), fail_again, all_requeued),
    ),
    Program(
        'rqscheduler --burst, 1 000',
        rq_scheduler,
        5,
        Command(('rqscheduler', '--burst', '--quiet'), schedule, all_enqueued),
    ),
)


@dataclass(frozen=True)
class Server:
    """What serves a client's pages: its command, for the URL of a server and a port, and what comes before and after.

    make: what its folder needs. log_in: what a browser has to do first. ours: the command of the accelerated side, if
    that is a program of ours.
    """

    command: Callable[[str, int], list[str]]
    make: Callable[[Path, Population, Environment], None] = lambda *_: None
    log_in: Callable[[Browser], None] = lambda _: None
    variables: Mapping[str, str] = field(default_factory=dict)
    ours: Callable[[str, int], list[str]] | None = None

    @contextmanager
    def run(self, place: Place, side: Side) -> Iterator[None]:
        """Have it run in the place, for a side."""
        folder, port = place.folder / side.name, free_port()
        folder.mkdir()
        self.make(folder, place.population, place.environment)
        url = place.population.url(side)
        variables = {**self.variables, 'RQ_REDIS_URL': url}
        command = (self.ours if self.ours and side.accelerated else self.command)(url, port)
        with programs.serving(side, place.environment, command, folder, port, variables) as place.pids[side.name]:
            place.browsers[side.name] = Browser(port)
            self.log_in(place.browsers[side.name])
            yield


def rq_exporter_command(url: str, port: int) -> list[str]:
    """Return the command of rq-exporter."""
    return ['rq-exporter', '--host', '127.0.0.1', '--port', str(port), '--redis-url', url]


def log_in_to_django(browser: Browser) -> None:
    """Have the browser log in to the admin's site."""
    browser.ask(django_rq.SEE_LOGIN)
    answer = browser.ask(django_rq.LOG_IN, django_rq.FORM_TOKEN)
    if answer.status != 302:
        raise RuntimeError(f'status {answer.status} at login:\n{answer.body[-500:]}')


SERVERS: Mapping[Any, Server] = {
    rq_dashboard: Server(
        lambda url, port: ['rq-dashboard', '--bind', '127.0.0.1', '--port', str(port), '--redis-url', url]
    ),
    rq_exporter: Server(rq_exporter_command),
    BESIDE_RQ_EXPORTER: Server(
        rq_exporter_command, ours=lambda url, port: ['rqreg', 'exporter', '--url', url, '--port', str(port)]
    ),
    django_rq: Server(
        lambda _, port: django_rq.serve_command(port), django_rq.make_site, log_in_to_django, django_rq.VARIABLES
    ),
}


@contextmanager
def place_of(client: Any, population: Population) -> Iterator[Place]:
    """Make a client's place, with its servers running on both sides if it serves."""
    environment = environments.make(f'client-{client.NAME}', *client.PINS)
    with ExitStack() as stack:
        place = Place(population, environment, Path(stack.enter_context(TemporaryDirectory())))
        for side in SIDES if client in SERVERS else ():
            stack.enter_context(SERVERS[client].run(place, side))
        yield place
