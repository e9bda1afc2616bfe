"""The scripts of RQ's documentation, run with RQ's imports and with ours."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .database import contents, masked
from .interruption import wait_until
from .stage import DOCUMENTED_SCRIPTS, Stage, child_environment

# Runs an unchanged program with our registries.
RUNNER = ('-m', 'rqreg_ext')
BROKEN_JOBS = ('broken-1', 'broken-2', 'broken-3')


def no_jobs(stage: Stage) -> None:
    """Start with an empty database."""


def running_job(stage: Stage) -> None:
    """Keep the script's own job running until the script is done."""
    stage.page.hold()


def failed_jobs(stage: Stage) -> None:
    """Let the worker run jobs whose page does not exist."""
    for job_id in BROKEN_JOBS:
        stage.queue.enqueue('somewhere.count_words_at_url', 'http://nvie.com/missing', job_id=job_id)
    registry = stage.queue.failed_job_registry
    wait_until(lambda: registry.get_job_count(cleanup=False) == len(BROKEN_JOBS), 'the jobs to fail')


@dataclass(frozen=True)
class Script:
    """A script of RQ's documentation, and a function that prepares Redis for it."""

    name: str
    file: str
    prepare: Callable[[Stage], None]
    choose: Callable[[str], str] = str

    @property
    def source(self) -> str:
        """The text of the script in examples/documented_scripts/, which has our imports."""
        return self.choose((DOCUMENTED_SCRIPTS / self.file).read_text(encoding='utf-8'))


def without_first_loop(source: str) -> str:
    """Return the source without its first `for`, which removes the jobs that the second one deletes."""
    loop = next(statement for statement in ast.parse(source).body if isinstance(statement, ast.For))
    lines = source.splitlines(keepends=True)
    return ''.join(lines[: loop.lineno - 1] + lines[loop.end_lineno :])


SCRIPTS = (
    Script('started jobs', 'started_jobs.py', running_job),
    Script('registries of a queue', 'queue_registries.py', no_jobs),
    Script('removing jobs', 'removing_jobs.py', failed_jobs),
    Script('removing and deleting jobs', 'removing_jobs.py', failed_jobs, without_first_loop),
)


def with_rq_imports(source: str) -> str:
    """Return the script as in RQ's documentation, with RQ's imports instead of ours."""
    return re.sub(r'^from rqreg_ext\b', 'from rq', source, flags=re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What a script printed and left in Redis, without what differs from run to run."""

    output: str
    keys: list[tuple[str, Any]]


def run(script: Script, source: str, runner: tuple[str, ...] = ()) -> Outcome:
    """Run the source with its own private Redis, worker and web page; with RUNNER, on our registries."""
    with Stage() as stage:
        script.prepare(stage)
        output = _run_in_child(stage, source, runner)
        stage.settle()
        return Outcome(masked(output), contents(stage.connection))


def _run_in_child(stage: Stage, source: str, runner: tuple[str, ...]) -> str:
    command = [sys.executable, *runner, '-m', 'demo.plain_redis', str(stage.server.port), stage.page.address]
    with tempfile.TemporaryFile('w+') as script, tempfile.TemporaryFile('w+') as output:
        script.write(source)
        script.seek(0)
        child = subprocess.Popen(
            command,
            env=child_environment(),
            stdin=script,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_until(lambda: child.poll() is not None, 'the script to end', seconds=60)
        finally:
            child.kill()
            child.wait()
        output.seek(0)
        printed = output.read()
    if child.returncode != 0:
        raise RuntimeError(f'the script ended with exit status {child.returncode}:\n{printed}')
    return printed
