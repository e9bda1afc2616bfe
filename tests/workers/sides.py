"""RQ as it is and RQ on our registries: the same programs, each side with a private server of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from host.patience import PATIENCE, eventually

from .pictures import differences, picture
from .processes import send, session
from .rq_command import ACCELERATED, PLAIN
from .runs import RUNS, runs

if TYPE_CHECKING:
    import redis
    from private_redis import PrivateRedis

TESTS = Path(__file__).resolve().parent.parent
SWITCHES = ('RQREG_EXT_INSTALL', 'RQREG_EXT_DISABLE')


class Program:
    """An `rq` command that runs, in a session of its own, with what it writes in a file."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        self.command = command
        self.output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the program
        self.process = subprocess.Popen(
            command,
            cwd=TESTS,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.output,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def text(self) -> str:
        """Return what the program has written so far."""
        # By position: the offset is the program's.
        return os.pread(self.output.fileno(), 1 << 24, 0).decode(errors='replace')

    def is_accelerated(self) -> bool:
        """Wait for the program's word on its registries, and return it."""
        told = eventually(lambda: '\n' in self.text() or self.process.poll() is not None)
        first = self.text().partition('\n')[0]
        assert told, f'{self.command} says nothing'
        assert first in (ACCELERATED, PLAIN), self.text()
        return first == ACCELERATED

    def wait(self) -> str:
        """Wait for the end, which must be a success, and return what the program wrote."""
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f'{self.command} does not end:\n{self.text()}') from None
        assert status == 0, f'{self.command} ended with {status}:\n{self.text()}'
        return self.text()

    def close(self) -> None:
        """End the program if it runs, and all that it has started."""
        send(session(self.pid), signal.SIGKILL)
        self.process.wait()
        self.output.close()


class Side:
    """Where `rq` commands run: a server, and the environment that makes them plain or accelerated."""

    def __init__(self, name: str, server: PrivateRedis, accelerated: bool) -> None:
        self.name = name
        self.server = server
        self.accelerated = accelerated
        self.client: redis.Redis = server.client()
        path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get('PYTHONPATH')]))
        self.environment = {key: value for key, value in os.environ.items() if key not in SWITCHES}
        self.environment |= {'PYTHONPATH': path, 'COLUMNS': '80', 'NO_COLOR': '1'}
        if accelerated:
            self.environment['RQREG_EXT_INSTALL'] = '1'

    def start(self, name: str, *arguments: str) -> Program:
        """Start `rq NAME --url ... ARGUMENTS`, and see that it works on this side's registries."""
        command = [sys.executable, '-m', 'workers.rq_command', name, '--url', self.server.url, *arguments]
        program = Program(command, self.environment)
        try:
            assert program.is_accelerated() == self.accelerated, program.text()
        except BaseException:
            program.close()
            raise
        return program

    @contextmanager
    def running(self, name: str, *arguments: str) -> Iterator[Program]:
        """`rq NAME ARGUMENTS` runs inside the context, and is killed at its end if it still does."""
        program = self.start(name, *arguments)
        try:
            yield program
        finally:
            program.close()

    def rq(self, name: str, *arguments: str) -> str:
        """Run `rq NAME ARGUMENTS` to its end and return what it wrote."""
        with self.running(name, *arguments) as program:
            return program.wait().partition('\n')[2]

    def counts(self) -> Counter[str]:
        """Return how many times each job began, and see that all of them ran on this side's registries."""
        begun = runs(self.client)
        assert {run.accelerated for run in begun} == {self.accelerated}
        return Counter(run.job_id for run in begun)

    def wait_for_runs(self, count: int) -> None:
        """Wait until this number of runs have begun."""
        assert eventually(lambda: self.client.llen(RUNS) == count)

    def work(self, *arguments: str) -> str:
        """Let a worker do what is there: `rq worker --burst ARGUMENTS`."""
        return self.rq('worker', '--burst', *arguments)


class Sides:
    """Both sides, to play the same on each."""

    def __init__(self, plain: Side, accelerated: Side) -> None:
        self.plain = plain
        self.accelerated = accelerated

    def __iter__(self) -> Iterator[Side]:
        return iter((self.plain, self.accelerated))

    def outcome(self, scenario: Callable[[Side], Any]) -> Any:
        """Play the scenario on both sides, at the same time, and return what it returns, which must be the same."""
        with ThreadPoolExecutor() as both:
            outcomes = list(both.map(scenario, self))
        assert outcomes[1] == outcomes[0], f'by RQ {outcomes[0]}, by ours {outcomes[1]}'
        return outcomes[0]

    def same(self, scenario: Callable[[Side], Any]) -> Any:
        """Play the scenario on both sides; what it returns and what it leaves in Redis must be the same."""
        outcome = self.outcome(scenario)
        lines = differences(*(picture(side.client) for side in self))
        assert not lines, '\n'.join(lines)
        return outcome
