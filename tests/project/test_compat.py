"""The judgement of `make compat` over RQ's suite on both sides: what it must fail for, and what it may let pass."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from host.patience import PATIENCE, eventually

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from compat import network, suite_run
from compat.comparing import RUNS_AGAIN, Runs, judge, to_run_again
from compat.environments import ROOT, Environment
from compat.report import SuiteResult, details, table

TEST = 'tests/test_registry.py::TestRegistry::test_contains'


def runs(plain: str, accelerated: str) -> Runs:
    """Return the runs of a test, a letter for each: p(assed), f(ailed), s(kipped), m(issing)."""
    names = {'p': 'passed', 'f': 'failed', 's': 'skipped', 'm': 'missing'}
    return Runs(tuple(names[letter] for letter in plain), tuple(names[letter] for letter in accelerated))


def problems(plain: str, accelerated: str, known: dict[str, str] | None = None) -> list[str]:
    return judge({TEST: runs(plain, accelerated)}).problems(known or {})


@pytest.mark.parametrize(('plain', 'accelerated'), [('p', 'p'), ('s', 's')])
def test_equal_outcomes_are_no_problem(plain: str, accelerated: str) -> None:
    assert problems(plain, accelerated) == []


@pytest.mark.parametrize(
    ('plain', 'accelerated'),
    [
        ('p' * 11, 'f' * 11),
        # Once is enough where plain RQ never fails.
        ('p' * 11, 'f' + 'p' * 10),
        # We may not repair RQ either.
        ('f' * 11, 'p' * 11),
        ('f' * 11, 'f' * 10 + 'p'),
        ('p', 's'),
        ('s', 'p'),
        ('p', 'm'),
        ('m', 'p'),
        # Plain RQ fails it too, but seldom.
        ('f' + 'p' * 10, 'f' * 11),
        ('fp' + 'p' * 9, 'f' * 6 + 'p' * 5),
    ],
)
def test_different_outcomes_are_problem(plain: str, accelerated: str) -> None:
    assert problems(plain, accelerated) == [f'differs: {TEST}']


@pytest.mark.parametrize(
    ('plain', 'accelerated'),
    [('f' + 'p' * 10, 'p' * 11), ('pf' + 'p' * 9, 'f' + 'p' * 10), ('fffff' + 'p' * 6, 'p' + 'f' * 6 + 'p' * 4)],
)
def test_failure_as_often_on_plain_rq_is_unsteady(plain: str, accelerated: str) -> None:
    verdict = judge({TEST: runs(plain, accelerated)})
    assert verdict.unsteady == (TEST,)
    assert verdict.problems({}) == []


def test_known_unsteady_test_may_fail_seldom() -> None:
    assert judge({TEST: runs('p' * 11, 'f' + 'p' * 10)}, {TEST}).unsteady == (TEST,)
    assert judge({TEST: runs('p' * 11, 'f' * 6 + 'p' * 5)}, {TEST}).different == (TEST,)
    assert judge({TEST: runs('p' * 11, 'f' + 'p' * 10)}, {'another'}).different == (TEST,)


def test_failure_on_both_sides_needs_reason() -> None:
    assert problems('f', 'f') == [f'fails on both sides, and no reason is given: {TEST}']
    assert problems('f', 'f', {TEST: 'it needs a network'}) == []


@pytest.mark.parametrize(('plain', 'accelerated'), [('p', 'p'), ('s', 's')])
def test_listed_failure_that_passes_is_problem(plain: str, accelerated: str) -> None:
    assert problems(plain, accelerated, {TEST: 'it needs a network'}) == [f'is listed as failing, and does not: {TEST}']


def test_listed_failure_that_is_missing_is_problem() -> None:
    assert judge({}).problems({TEST: 'it needs a network'}) == [f'is listed as failing, and does not: {TEST}']


def test_listed_failure_that_differs_is_problem() -> None:
    assert f'differs: {TEST}' in problems('f' * 11, 'p' * 11, {TEST: 'it needs a network'})


@pytest.mark.parametrize(
    ('plain', 'accelerated', 'again'),
    [('p', 'p', False), ('s', 's', False), ('p', 'f', True), ('f', 'p', True), ('f', 'f', True), ('p', 'm', False)],
)
def test_unsettled_test_is_run_again(plain: str, accelerated: str, again: bool) -> None:
    assert to_run_again({TEST: runs(plain, accelerated)}, {}) == ([TEST] if again else [])


def test_known_failure_is_not_run_again() -> None:
    assert to_run_again({TEST: runs('f', 'f')}, {TEST: 'it needs a network'}) == []


def test_report_names_differences_and_counts_rest() -> None:
    found = {TEST: runs('p' * 11, 'f' + 'p' * RUNS_AGAIN), 'passing': runs('p', 'p'), 'skipping': runs('s', 's')}
    said = {TEST: 'AssertionError: 1 != 2', 'skipping': 'no such server'}
    result = SuiteResult('3.0.0', '8.1.0', 12.0, found, judge(found), {}, said)
    text = details(result)
    assert f'DIFFERENT: {TEST}: plain passed 11 of 11, accelerated passed 10 of 11' in text
    assert 'AssertionError: 1 != 2' in text
    assert 'skipped on both sides: skipping: no such server' in text
    assert table([result]).splitlines()[1].split() == ['3.0.0', '8.1.0', '1', '1', '0', '0', '1', '12']


@pytest.mark.parametrize('status', [0, 1, 3])
def test_unfinished_run_is_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """As where no server could be started: the status may be one that pytest itself ends with."""
    ends = ['sh', '-c', f'echo no server >&2; exit {status}']
    monkeypatch.setattr(network, 'beside_redis', lambda *_: ends)
    with pytest.raises(SystemExit, match=f'exit status {status}:\nno server'):
        suite_run.run(tmp_path, Environment(Path(sys.prefix)), accelerated=False)


RUNS_TWO = """
import sys
from concurrent.futures import ThreadPoolExecutor
from compat import network

network.end_on_sigterm()
with ThreadPoolExecutor(1) as threads:
    list(threads.map(network.run, [['sh', '-c', 'trap "" TERM; echo $$; exec sleep 600'] for _ in range(2)]))
"""


def stat(pid: int) -> list[str]:
    """Return what the kernel says of a process, from its state on."""
    return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()


def is_asleep(pid: int) -> bool:
    return stat(pid)[0] == 'S'


def is_at_rest(pid: int) -> bool:
    """Tell whether a process is asleep for a while: not only until another thread lets it go on."""
    for _ in range(20):
        if not is_asleep(pid):
            return False
        time.sleep(0.005)
    return True


def is_there(pid: int) -> bool:
    """Tell whether a process has not ended, whichever process has to reap it."""
    try:
        return stat(pid)[0] != 'Z'
    except (FileNotFoundError, ProcessLookupError):
        return False


def processor_seconds(pid: int) -> float:
    return (int(stat(pid)[11]) + int(stat(pid)[12])) / os.sysconf('SC_CLK_TCK')


def test_timeout_ends_running_processes() -> None:
    """SIGTERM, which the first process of a namespace ignores, as this one does."""
    with subprocess.Popen([sys.executable, '-c', RUNS_TWO], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        running = int(process.stdout.readline())
        # Only a wait that has begun is one that a signal ends.
        assert eventually(lambda: is_at_rest(process.pid))
        process.terminate()
        assert process.wait(PATIENCE) == 128 + signal.SIGTERM
        assert not is_there(running)


WAITS = """
import threading, pytest

def test_that_ends():
    pass

def test_that_waits():
    threading.Event().wait()

def test_that_goes_on():
    # As RQ's worker does in its loop.
    with pytest.raises(BaseException):
        threading.Event().wait()

def test_after_it():
    pass
"""
WATCHES = """
import sys
from pathlib import Path
from compat import beside_redis

beside_redis.LIMIT_SECONDS, beside_redis.LOOK_SECONDS = 3.0, 0.2
with beside_redis.watching(Path('beat')):
    sys.exit(beside_redis.run([sys.executable, '-m', 'pytest', '-p', 'too_long', '-rA', 'test_waits.py']))
"""


def run_in(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, in a session of its own, with the plugins and this checkout to import."""
    path = os.pathsep.join(map(str, [ROOT, suite_run.PLUGIN]))
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, 'PYTHONPATH': path, 'RQREG_COMPAT_BEAT': 'beat'},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        start_new_session=True,
    )


def test_tests_that_wait_for_ever_fail_alone(tmp_path: Path) -> None:
    (tmp_path / 'test_waits.py').write_text(WAITS)
    ended = run_in(tmp_path, '-c', WATCHES)
    assert ended.returncode == 1, ended.stdout
    assert 'FAILED test_waits.py::test_that_waits - too_long.TookTooLong' in ended.stdout
    assert 'FAILED test_waits.py::test_that_goes_on - It took too long' in ended.stdout
    assert '2 failed, 2 passed in' in ended.stdout
    assert not (tmp_path / 'beat').exists()


PRESSES = """
import os, sys
from compat.pressure import pressure

with pressure():
    print(*open(f'/proc/self/task/{os.getpid()}/children').read().split(), flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize('is_killed', [False, True])
def test_pressure_takes_the_processors_and_ends(is_killed: bool) -> None:
    with subprocess.Popen(
        [sys.executable, '-c', PRESSES], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        busy = [int(pid) for pid in process.stdout.readline().split()]
        assert len(busy) > (os.cpu_count() or 1)
        assert eventually(lambda: all(processor_seconds(pid) > 0.1 for pid in busy))
        if is_killed:
            process.kill()
        process.communicate('\n')
    assert eventually(lambda: not any(is_there(pid) for pid in busy))


SIGNALS = """
import multiprocessing, os, signal, time

def test_a_signal_to_all():
    os.killpg(os.getpgid(0), signal.SIGRTMIN)
    assert False, 'goes on'

def wait(begins):
    begins.set()
    time.sleep(60)

def test_a_signal_to_a_child():
    forked = multiprocessing.get_context('fork')
    begins = forked.Event()
    child = forked.Process(target=wait, args=(begins,))
    child.start()
    begins.wait()
    os.kill(child.pid, signal.SIGRTMIN)
    child.join()
    assert child.exitcode == -signal.SIGRTMIN
"""


def test_signal_to_group_does_not_end_pytest(tmp_path: Path) -> None:
    (tmp_path / 'test_signals.py').write_text(SIGNALS)
    ended = run_in(tmp_path, '-m', 'pytest', '-p', 'own_group', 'test_signals.py')
    assert 'AssertionError: goes on' in ended.stdout
    assert '1 failed, 1 passed' in ended.stdout
