"""`make nightly`: the table, on a Makefile with targets of the same names."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from nightly import RUNS

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools' / 'nightly.py'

pytestmark = pytest.mark.skipif(shutil.which('make') is None, reason='no make here')


MAKEFILE = """
nightly:
	@$(TOOL) $(ARGS)
test compat:
	@echo ran $@ $(RQ) $(ARGS) with profile $$RQREG_TEST_PROFILE
fuzz:
	@echo found; exit 3
"""


def nightly(folder: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """Run it in a folder with a Makefile, in which fuzz fails."""
    (folder / 'Makefile').write_text(MAKEFILE)
    return subprocess.run(
        [sys.executable, TOOL, *names], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )


def test_nightly_prints_row_and_keeps_log_for_each_run(tmp_path: Path) -> None:
    ended = nightly(tmp_path, 'test-rq-2.12.0', 'compat')
    assert (ended.returncode, ended.stderr) == (0, '')
    heading, *rows = ended.stdout.splitlines()
    assert heading.split() == ['run', 'result', 'minutes', 'log']
    assert [row.split()[:2] for row in rows] == [['test-rq-2.12.0', 'passed'], ['compat', 'passed']]
    logs = [(tmp_path / row.split()[-1]).read_text() for row in rows]
    assert logs == ['ran test 2.12.0 with profile whole\n', 'ran compat with profile whole\n']


def test_arguments_of_nightly_do_not_reach_what_it_runs(tmp_path: Path) -> None:
    (tmp_path / 'Makefile').write_text(MAKEFILE)
    command = ['make', 'nightly', f'TOOL={sys.executable} {TOOL}', 'ARGS=compat']
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, timeout=60)
    assert (tmp_path / 'build' / 'nightly' / 'compat.log').read_text() == 'ran compat with profile whole\n'


def test_nightly_goes_on_after_failure_and_ends_with_1(tmp_path: Path) -> None:
    ended = nightly(tmp_path, 'fuzz', 'test')
    assert ended.returncode == 1
    assert re.findall(r'^(\w+) +(failed 2|passed)', ended.stdout, re.MULTILINE) == [
        ('fuzz', 'failed 2'),
        ('test', 'passed'),
    ]
    assert (tmp_path / 'build' / 'nightly' / 'fuzz.log').read_text().startswith('found\n')


def test_nightly_names_unknown_run_and_those_that_there_are(tmp_path: Path) -> None:
    ended = nightly(tmp_path, 'tset')
    assert (ended.returncode, ended.stdout) == (2, '')
    assert "'tset' is none of test, test-rq-2.12.0," in ended.stderr
    assert not (tmp_path / 'build').exists()


def test_each_nightly_run_is_target_of_makefile() -> None:
    targets = re.findall(r'^([a-z-]+):', (ROOT / 'Makefile').read_text(encoding='utf-8'), re.MULTILINE)
    assert len(RUNS) > 10
    assert {arguments[0] for arguments in RUNS.values()} <= set(targets)
