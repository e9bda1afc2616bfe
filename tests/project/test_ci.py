"""`.ci/run`: all steps run, the output of each is whole, and the end names what failed. Its make is ours."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from host.patience import eventually

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(shutil.which('bash') is None, reason='no bash here')

STEPS = (
    *('lint', 'test', 'compat', 'analyze', 'docs', 'fuzz', 'check-prometheus', 'check-sanitizers'),
    'test-system-redis',
)
# compat ends when docs, a step beside which it runs, has ended.
MAKE = """#!/bin/sh
echo "begin $1"
case "$1" in
    compat)
        trap 'touch compat.terminated; exit 1' TERM
        touch compat.begun
        while [ ! -e docs.done ]; do sleep 0.01; done ;;
    docs)
        while [ ! -e compat.begun ]; do sleep 0.01; done
        [ -z "$HANG" ] || sleep 60
        touch docs.done ;;
esac
echo "end $1"
case " $FAILING " in *" $1 "*) exit 3 ;; esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with `.ci/run`, and programs in the place of those that it calls."""
    for name in ('.ci', 'tools', 'bin'):
        (tmp_path / name).mkdir()
    shutil.copy(ROOT / '.ci' / 'run', tmp_path / '.ci')
    (tmp_path / 'tools' / 'system_packages.py').write_text('print("packages")')
    make = tmp_path / 'bin' / 'make'
    make.write_text(MAKE)
    make.chmod(0o755)
    return tmp_path


def start(checkout: Path, **variables: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(checkout / 'bin'), str(Path(sys.executable).parent), os.environ['PATH']])
    return subprocess.Popen(
        [checkout / '.ci' / 'run'],
        env={**os.environ, 'PATH': path, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ended(checkout: Path, failing: str = '') -> tuple[int, str]:
    process = start(checkout, FAILING=failing)
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


def test_all_steps_run_and_output_of_each_is_in_one_piece(checkout: Path) -> None:
    status, output = ended(checkout)
    assert status == 0, output
    names = re.findall(r'^begin (\S+)\nend \1\nci: \d+ s: make \1\b', output, re.MULTILINE)
    assert sorted(names) == sorted(STEPS)
    assert output.count('begin') == len(STEPS)
    assert names[-1] == 'test-system-redis'
    assert re.search(r'^ci: \d+ s in all, 0 failed\n\Z', output, re.MULTILINE)


@pytest.mark.parametrize('failing', ['lint', 'compat', 'test-system-redis', 'test compat fuzz'])
def test_end_names_steps_that_failed_and_the_others_run(checkout: Path, failing: str) -> None:
    status, output = ended(checkout, failing)
    assert status == 1
    assert output.count('end ') == len(STEPS)
    steps, _, end = output.partition(' s in all, ')
    assert end.split('\n')[0] == f'{len(failing.split())} failed'
    named = [line.split()[3] for line in end.splitlines()[1:]]
    assert sorted(named) == sorted(failing.split())
    assert sorted(re.findall(r'^ci: failed: make (\S+)', steps, re.MULTILINE)) == sorted(failing.split())


def test_what_runs_beside_ends_with_the_run(checkout: Path) -> None:
    process = start(checkout, HANG='yes')
    assert process.stdout is not None
    while process.stdout.readline() != 'begin docs\n':
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(timeout=60) != 0
    assert eventually((checkout / 'compat.terminated').exists)
