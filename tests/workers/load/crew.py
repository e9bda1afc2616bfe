"""The workers of the load: one for each queue, killed now and then, with another started in its place."""

from __future__ import annotations

import random
import signal
import time
from collections import defaultdict
from collections.abc import Callable

from host.patience import PATIENCE, eventually

from workers import processes
from workers.sides import Program, Side
from workers.waiting import let_an_hour_pass

from .enqueuing import FORKED, SIMPLE
from .observing import Observer
from .touches import Kill, State, Touch

WORKERS = {FORKED: 'rq.worker.Worker', SIMPLE: 'rq.worker.SimpleWorker'}
# Maintenance each second, in the middle of the work; and no result is forgotten while the load runs. No job lasts as
# long as the worker waits for its work-horse at a time: RQ takes an end that falls together with that of this interval
# for a death, which tests/workers/test_moments_of_death.py shows.
OPTIONS = ['--with-scheduler', '--quiet', '--maintenance-interval', '1', '--job-monitoring-interval', '30']
OPTIONS += ['--results-ttl', '36000']
# RQ's scheduler looks once a second.
STILL_SECONDS = 3.5
# What was stuck comes back once for each retry.
ROUNDS = 10


class Crew:
    """The workers of one side; a context manager that ends what still runs."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.observer = Observer(side.client)
        # By queue; the name of a worker is that of its connections too.
        self.workers: dict[str, Program] = {}
        self.names: dict[str, str] = {}
        self.started: list[Program] = []
        self.kills: list[Kill] = []
        self.touches: defaultdict[str, list[Touch]] = defaultdict(list)
        self.touched_in: dict[str, State] = {}
        # Those that kills have met.
        self.executions: set[str] = set()
        # Dead workers for whom the server waits on, by name, with their queues.
        self.ghosts: dict[str, str] = {}

    def start(self, *options: str) -> None:
        """Have a worker on each queue."""
        for queue in sorted(WORKERS.keys() - self.workers.keys()):
            self._start(queue, *options)

    def _start(self, queue: str, *options: str) -> None:
        name = self.names[queue] = f'{queue}-{len(self.started)}'
        options = (*OPTIONS, *options, '--worker-class', WORKERS[queue], '--name', name)
        url = f'{self.side.server.url}?client_name={name}'
        worker = self.workers[queue] = self.side.start('worker', *options, '--url', url, queue)
        self.started.append(worker)

    def kill_one(self, chance: random.Random) -> None:
        """Kill a worker, its work-horse or both, wherever they are; have another one work in its place."""
        queue = chance.choice(list(WORKERS))
        worker = self.workers[queue]
        members = processes.stop(worker.pid)
        horses = [process for process in members if process.group == process.pid != worker.pid]
        # What a stopped process had sent is done when the server has answered twice: it was there to be read before.
        self.side.client.ping()
        self.side.client.ping()
        kill = chance.choice(list(Kill)) if horses else chance.choice([Kill.ALL, Kill.WORKER])
        # Asked before the jobs are looked at: what the server gives the worker from now on is seen as a ghost's.
        if self.names[queue] in self.observer.waiters():
            self.ghosts[self.names[queue]] = queue
        self._touch_held(queue, kill)
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
            self._start(queue)

    def _touch_held(self, queue: str, kill: Kill) -> None:
        """Note the jobs that the worker holds, and the last that it had begun, unless it has started another.

        RQ tells the dependents of a job after it has stored the job's end, and a work-horse lives on for a moment.
        """
        held = self.observer.held(queue)
        executions = {execution for state in held.values() for execution in state.executions}
        begun = self.observer.last_begun(self.names[queue])
        if begun and executions <= self.executions:
            held[begun] = self.observer.state_of(begun, queue)
        self.executions |= executions
        self._touch(held, kill)

    def _touch(self, held: dict[str, State], kill: Kill) -> int:
        """Note these, but those that another kill has left behind just so; return how many had never been touched."""
        new = len(held.keys() - self.touches.keys())
        for job_id, state in held.items():
            if self.touched_in.get(job_id) != state:
                self.touched_in[job_id] = state
                self.touches[job_id].append(Touch(kill, state))
        return new

    def _touch_taken(self, queue: str) -> int:
        taken = {job_id: state for job_id, state in self.observer.held(queue).items() if not state.executions}
        return self._touch(taken, Kill.WORKER)

    def _look_after_ghosts(self) -> None:
        """Note the jobs that the server has given to dead workers.

        A worker's scheduler, forked by it, holds the connection open on which the worker waited, so that the server
        goes on waiting for the dead one, before all others. The next job of the queue goes to the intermediate queue,
        and no registry has it. tests/workers/test_moments_of_death.py shows it.
        """
        if self.ghosts:
            for ghost in self.ghosts.keys() - self.observer.waiters():
                self._touch_taken(self.ghosts.pop(ghost))

    def work_until(self, runs: int, chance: random.Random) -> None:
        """Let the workers work until this number of runs have begun, or nothing moves, and a moment longer."""
        self._wait(lambda: self.observer.run_count() >= runs)
        time.sleep(chance.random() * 0.05)

    def work_until_still(self) -> None:
        """Let the workers work until nothing waits but what kills have abandoned, or nothing moves."""
        self._wait(lambda: self._all_wait() and not self.observer.waiting(self.touches))

    def _all_wait(self) -> bool:
        """Whether all workers wait for jobs: none is still starting."""
        return set(self.names.values()) <= self.observer.waiters()

    def _wait(self, condition: Callable[[], object]) -> None:
        """Wait for the condition, or until nothing has moved for a while in which all workers waited for jobs."""
        counters, since = self.observer.counters(), time.monotonic()
        while not condition() and time.monotonic() - since < STILL_SECONDS:
            time.sleep(0.02)
            self._look_after_ghosts()
            for worker in self.workers.values():
                assert worker.process.poll() is None, f'a worker has ended by itself: {worker.text()}'
            now = self.observer.counters()
            if now != counters or not self._all_wait():
                counters, since = now, time.monotonic()

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
        # A worker that runs no job leaves at once (BaseWorker._shutdown), also between taking a job and starting it.
        taken = sum(self._touch_taken(queue) for queue in WORKERS)
        assert taken <= len(self.ghosts) + len(WORKERS), f'{taken} jobs were taken and not started'
        self.ghosts.clear()

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
            program.close()
