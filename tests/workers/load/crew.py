"""The workers of the load: one for each queue, killed now and then, with another started in its place."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from enum import Enum

from host.patience import PATIENCE, eventually

from workers.sides import Program, Side
from workers.waiting import let_an_hour_pass

from . import processes
from .enqueuing import FORKED, SIMPLE
from .observing import Observer

WORKERS = {FORKED: 'rq.worker.Worker', SIMPLE: 'rq.worker.SimpleWorker'}
# Maintenance each second, in the middle of the work; and no result is forgotten while the load runs.
OPTIONS = ['--with-scheduler', '--quiet', '--maintenance-interval', '1', '--job-monitoring-interval', '1']
OPTIONS += ['--results-ttl', '36000']
# RQ's scheduler looks once a second.
STILL_SECONDS = 3.5
# What was stuck comes back once for each retry.
ROUNDS = 10


class Kill(Enum):
    """Who dies: all that the worker has started, with it; the worker alone; its work-horse alone."""

    ALL = 'all'
    WORKER = 'worker'
    HORSE = 'horse'


class Crew:
    """The workers of one side; a context manager that ends what still runs."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.observer = Observer(side.client)
        self.workers: dict[str, Program] = {}
        self.started: list[Program] = []
        self.touched: set[str] = set()
        self.kills: list[Kill] = []

    def start(self, *options: str) -> None:
        """Have a worker on each queue."""
        for name in sorted(WORKERS.keys() - self.workers.keys()):
            self._start(name, *options)

    def _start(self, name: str, *options: str) -> None:
        worker = self.side.start('worker', *OPTIONS, *options, '--worker-class', WORKERS[name], name)
        self.workers[name] = worker
        self.started.append(worker)

    def kill_one(self, chance: random.Random) -> None:
        """Kill a worker, its work-horse or both, wherever they are; have another one work in its place."""
        name = chance.choice(list(WORKERS))
        worker = self.workers[name]
        members = processes.stop(worker.pid)
        horses = [process for process in members if process.group == process.pid != worker.pid]
        # What a stopped process had sent is done when the server has answered twice: it was there to be read before.
        self.side.client.ping()
        self.side.client.ping()
        self.touched |= self.observer.in_work(name)
        kill = chance.choice(list(Kill)) if horses else chance.choice([Kill.ALL, Kill.WORKER])
        victims = {
            Kill.ALL: members,
            Kill.WORKER: [process for process in members if process.pid == worker.pid],
            Kill.HORSE: horses,
        }[kill]
        processes.send(victims, signal.SIGKILL)
        processes.send(members, signal.SIGCONT)
        self.kills.append(kill)
        if kill is not Kill.HORSE:
            assert worker.process.wait(PATIENCE) == -signal.SIGKILL
            self._start(name)

    def work_until(self, runs: int, chance: random.Random) -> None:
        """Let the workers work until so many runs have begun, or nothing moves, and a moment longer."""
        self._wait(lambda: self.observer.run_count() >= runs)
        time.sleep(chance.random() * 0.05)

    def work_until_still(self) -> None:
        """Let the workers work until nothing waits but what kills have abandoned, or nothing moves."""
        self._wait(lambda: not self.observer.waiting(self.touched))

    def _wait(self, condition: Callable[[], object]) -> None:
        state, since = self.observer.state(), time.monotonic()
        while not condition() and time.monotonic() - since < STILL_SECONDS:
            time.sleep(0.02)
            now = self.observer.state()
            if now != state:
                state, since = now, time.monotonic()

    def stop(self) -> None:
        """Let the workers finish what they do, with work-horses and schedulers whose worker was killed."""
        for worker in self.workers.values():
            # The scheduler of a worker gets the signal from it.
            worker.process.terminate()
        for worker in self.workers.values():
            worker.wait()
        self.workers.clear()
        for program in self.started:
            orphans = [process for process in processes.session(program.pid) if process.group == program.pid]
            processes.send(orphans, signal.SIGTERM)
            assert eventually(lambda program=program: not processes.session(program.pid)), 'an orphan goes on'

    def settle(self) -> None:
        """Have others look after what is left, an hour later and again and again, until nothing waits."""
        self.stop()
        for _ in range(ROUNDS):
            if not self.observer.waiting():
                return
            let_an_hour_pass(self.side.client)
            self.start('--burst')
            for worker in self.workers.values():
                worker.wait()
            self.workers.clear()
        raise AssertionError(f'after {ROUNDS} rounds there is still {self.observer.waiting()}')

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for program in self.started:
            processes.send(processes.session(program.pid), signal.SIGKILL)
            program.close()
