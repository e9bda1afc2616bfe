"""The bootstrap of `make`: interrupted at any moment it ends in one line, and the next run carries on."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import wheelhouse
from offline import environment
from orphans import Orphans

TOOLS = Path(__file__).resolve().parent.parent.parent / 'tools'
ARGUMENTS = ('--rq', version('rq'), '--redis', version('redis'))
MOMENTS = ('making .venv', 'installing rq', 'compiling rqreg_ext')
# A program under `interruptible`, which runs the shell script that is its argument.
RUNNER = 'import sys, interruptible; interruptible.main("runner", lambda: interruptible.run(["sh", "-c", sys.argv[1]]))'


@pytest.fixture
def orphans() -> Iterator[Orphans]:
    with Orphans() as found:
        yield found


@pytest.fixture
def offline_checkout(checkout: Path) -> Path:
    """A copy of the checkout whose bootstrap installs what is installed here, without a network."""
    wheelhouse.make(checkout / 'wheels', ('rq', 'redis', 'setuptools'))
    (checkout / 'tools' / 'dev-requirements.txt').write_text(f'setuptools=={version("setuptools")}\n')
    return checkout


def start(*arguments: str, cwd: Path, **variables: str) -> subprocess.Popen[str]:
    """Start a Python program as a terminal does, with all its output in a pipe."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def start_bootstrap(checkout: Path) -> subprocess.Popen[str]:
    # That a server is named is enough: it is not looked at.
    variables = {'PIP_FIND_LINKS': str(checkout / 'wheels'), 'RQREG_REDIS_SERVER': '/nonexistent/redis-server'}
    return start('tools/bootstrap.py', *ARGUMENTS, cwd=checkout, **variables)


def wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return
    pytest.fail(f'ended without printing {text!r}: {lines}')


def interrupt(process: subprocess.Popen[str]) -> None:
    """Send what Ctrl-C in a terminal sends."""
    os.killpg(process.pid, signal.SIGINT)


def test_interrupted_bootstrap_ends_in_one_line_and_carries_on(offline_checkout: Path, orphans: Orphans) -> None:
    for moment in MOMENTS:
        bootstrap = start_bootstrap(offline_checkout)
        wait_for_line(bootstrap, moment)
        # Into the midst of what the line says.
        time.sleep(0.5)
        interrupt(bootstrap)
        output, _ = bootstrap.communicate(timeout=60)
        assert output == 'bootstrap: interrupted\n'
        assert bootstrap.returncode == 130
        assert orphans.left() == []
    bootstrap = start_bootstrap(offline_checkout)
    output, _ = bootstrap.communicate(timeout=180)
    # The packages were complete.
    assert output == 'bootstrap: compiling rqreg_ext\n'
    assert bootstrap.returncode == 0
    code = 'import rq, rqreg_ext; print(rqreg_ext.FailedJobRegistry.__mro__[1].__module__)'
    answer = subprocess.run([offline_checkout / '.venv/bin/python', '-c', code], capture_output=True, text=True)
    assert answer.stdout == 'rqreg_ext._core\n', answer.stderr


def test_interrupted_packages_beside_are_installed_by_the_next_run(offline_checkout: Path, orphans: Orphans) -> None:
    arguments = ('tools/packages_beside.py', 'beside', 'rq')
    wheels = str(offline_checkout / 'wheels')
    first = start(*arguments, cwd=offline_checkout, PIP_FIND_LINKS=wheels)
    wait_for_line(first, 'packages: installing rq')
    # Until pip moves what it has unpacked.
    while first.poll() is None and not list(offline_checkout.glob('beside*')):
        time.sleep(0.01)
    interrupt(first)
    output, _ = first.communicate(timeout=60)
    assert (output, first.returncode) == ('packages: interrupted\n', 130)
    assert orphans.left() == []
    second = start(*arguments, cwd=offline_checkout, PIP_FIND_LINKS=wheels)
    output, _ = second.communicate(timeout=60)
    assert (output, second.returncode) == ('packages: installing rq\n', 0)
    assert {'rq', 'redis'} <= {path.name for path in (offline_checkout / 'beside').iterdir()}


def test_bootstrap_that_waits_for_another_one_can_be_interrupted(checkout: Path) -> None:
    with (checkout / 'tools' / 'bootstrap.py').open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        bootstrap = start_bootstrap(checkout)
        wait_for_line(bootstrap, 'waiting for another one')
        interrupt(bootstrap)
        output, _ = bootstrap.communicate(timeout=60)
    assert (output, bootstrap.returncode) == ('bootstrap: interrupted\n', 130)


@pytest.mark.parametrize(('number', 'status'), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_interrupted_program_may_finish(orphans: Orphans, tmp_path: Path, number: int, status: int) -> None:
    script = 'trap "echo ending; sleep 1; touch finished; exit 1" INT; echo started; while true; do sleep 0.1; done'
    runner = start('-c', RUNNER, script, cwd=tmp_path, PYTHONPATH=str(TOOLS))
    wait_for_line(runner, 'started')
    os.killpg(runner.pid, number)
    output, _ = runner.communicate(timeout=60)
    assert (output, runner.returncode) == ('runner: interrupted\n', status)
    assert (tmp_path / 'finished').exists()
    assert orphans.left() == []


def test_second_interrupt_kills(orphans: Orphans, tmp_path: Path) -> None:
    script = 'trap "touch heard" INT; echo started; while true; do sleep 0.1; done'
    runner = start('-c', RUNNER, script, cwd=tmp_path, PYTHONPATH=str(TOOLS))
    wait_for_line(runner, 'started')
    interrupt(runner)
    deadline = time.monotonic() + 60
    while not (tmp_path / 'heard').exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    interrupt(runner)
    output, _ = runner.communicate(timeout=60)
    assert (output, runner.returncode) == ('runner: interrupted\n', 130)
    assert orphans.left() == []


def test_service_that_a_program_starts_is_not_waited_for(tmp_path: Path) -> None:
    script = 'sleep 30 & echo $! > service; echo done'
    runner = start('-c', RUNNER, script, cwd=tmp_path, PYTHONPATH=str(TOOLS))
    try:
        assert runner.wait(timeout=20) == 0
    finally:
        os.kill(int((tmp_path / 'service').read_text()), signal.SIGKILL)
    assert runner.communicate()[0] == 'done\n'
