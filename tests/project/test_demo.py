"""The demo ends by itself or by Ctrl-C at any moment, and leaves no process and no file behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from depth import IS_WHOLE
from orphans import Orphans

EXAMPLES = Path(__file__).resolve().parents[2] / 'examples'
FEW_JOBS = 200
WIDTH = 80
# Each is a line that the demo prints just before it does what the line says.
MOMENTS = (
    'Starting a private Redis',
    'three jobs succeed',
    'one job runs',
    'Asking every registry',
    'Writing',
    'Asking their registry',
)
MOMENTS_OF_BULK_OPERATIONS = ('Starting a private Redis', 'Writing', 'Searching, purging')
LYING = """\
import sys
from demo.demonstration import main
import rqreg_ext
from rqreg_ext.registry import FailedJobRegistry
from rqreg_ext._integrity.problems import CheckReport
from rqreg_ext._integrity.repair_report import RepairReport
{lie}
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for the demo's temporary files; not under tmp_path, whose length no unix socket can bear."""
    path = Path(tempfile.mkdtemp(prefix='rqreg-demo-'))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def orphans() -> Iterator[Orphans]:
    with Orphans() as found:
        yield found


def start(folder: Path, *arguments: str, jobs: int = FEW_JOBS) -> subprocess.Popen[str]:
    """Start a demo as a terminal does: leader of a process group, with all its output in a pipe."""
    return subprocess.Popen(
        [sys.executable, '-B', *arguments, '--failed-jobs', str(jobs)],
        cwd=EXAMPLES,
        env={**os.environ, 'TMPDIR': str(folder), 'COLUMNS': str(WIDTH)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for_line(demo: subprocess.Popen[str], text: str) -> None:
    assert demo.stdout is not None
    for line in demo.stdout:
        if text in line:
            return
    pytest.fail(f'the demo ended without printing {text!r}')


def test_demo_runs_to_its_end(folder: Path, orphans: Orphans) -> None:
    demo = start(folder, '-m', 'demo')
    output, _ = demo.communicate(timeout=180)
    assert demo.returncode == 0, output
    assert 'comparisons agree.' in output
    assert '202 entries' in output
    assert 'DIFFER' not in output
    assert output.splitlines()[-1] == 'All calls on many jobs worked as expected.'
    assert list(folder.iterdir()) == []
    assert orphans.left() == []


def test_demo_of_bulk_operations_finds_nothing_wrong(folder: Path, orphans: Orphans) -> None:
    demo = start(folder, '-m', 'demo', '--only', 'bulk', jobs=2000)
    output, _ = demo.communicate(timeout=180)
    assert demo.returncode == 0, output
    assert 'WRONG' not in output
    assert 'comparisons agree' not in output
    for words in (' 2,000 ', '667 ValueError', '666 found', 'It was run on at most 300', '25 orphan repaired'):
        assert words in output
    # RQ has done some of each kind itself, to be measured.
    for kind, verb in ((667, 'deleted'), (666, 'requeued')):
        (ours,) = re.findall(rf'(\d+) {verb}', output)
        assert int(ours) in [kind - int(by_rq) for by_rq in re.findall(r'(\d+) more by RQ', output)]
    assert list(folder.iterdir()) == []
    assert orphans.left() == []


def test_demo_fits_in_80_columns(folder: Path) -> None:
    demo = start(folder, '-m', 'demo', jobs=12_000 if IS_WHOLE else 1_200)
    output, _ = demo.communicate(timeout=180)
    assert demo.returncode == 0, output
    check_width(output)


def check_width(output: str) -> None:
    assert [line for line in output.splitlines() if len(line) > WIDTH] == []


def interrupt(demo: subprocess.Popen[str], like_a_terminal: bool) -> None:
    """Send what Ctrl-C in a terminal sends, to every process of the group, or what `kill` sends to the demo."""
    if like_a_terminal:
        os.killpg(demo.pid, signal.SIGINT)
    else:
        os.kill(demo.pid, signal.SIGTERM)


def check_nothing_is_left(demo: subprocess.Popen[str], folder: Path, orphans: Orphans) -> None:
    output, _ = demo.communicate(timeout=60)
    assert demo.returncode == 130, output
    assert 'Traceback' not in output
    assert list(folder.iterdir()) == []
    assert orphans.left() == []


@pytest.mark.covering(1)
@pytest.mark.parametrize('moment', MOMENTS)
@pytest.mark.parametrize('like_a_terminal', [True, False], ids=['Ctrl-C', 'kill'])
def test_interrupted_demo_leaves_nothing(folder: Path, orphans: Orphans, moment: str, like_a_terminal: bool) -> None:
    demo = start(folder, '-m', 'demo', '--no-scripts')
    wait_for_line(demo, moment)
    interrupt(demo, like_a_terminal)
    check_nothing_is_left(demo, folder, orphans)


@pytest.mark.covering(1)
@pytest.mark.parametrize('moment', MOMENTS_OF_BULK_OPERATIONS)
@pytest.mark.parametrize('like_a_terminal', [True, False], ids=['Ctrl-C', 'kill'])
def test_demo_interrupted_in_bulk_operations_leaves_nothing(
    folder: Path, orphans: Orphans, moment: str, like_a_terminal: bool
) -> None:
    demo = start(folder, '-m', 'demo', '--only', 'bulk')
    wait_for_line(demo, moment)
    interrupt(demo, like_a_terminal)
    check_nothing_is_left(demo, folder, orphans)


@pytest.mark.parametrize('script', ['started jobs', 'registries of a queue'])
def test_demo_interrupted_in_a_script_leaves_nothing(folder: Path, orphans: Orphans, script: str) -> None:
    demo = start(folder, '-m', 'demo')
    wait_for_line(demo, f'Running the documented script "{script}"')
    interrupt(demo, like_a_terminal=True)
    check_nothing_is_left(demo, folder, orphans)


@pytest.mark.parametrize(
    'lie',
    [
        'FailedJobRegistry.get_job_ids = lambda self, *args, **kwargs: []',
        'FailedJobRegistry.remove = lambda self, *args, **kwargs: 1',
        'FailedJobRegistry.__contains__ = lambda self, job: 1',
    ],
)
def test_demo_fails_on_a_different_answer(folder: Path, lie: str) -> None:
    demo = start(folder, '-c', LYING.format(lie=lie), '--no-scripts')
    output, _ = demo.communicate(timeout=180)
    assert demo.returncode == 1, output
    assert 'DIFFER' in output
    check_width(output)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ('call', 'answer'),
    [
        ('purge', 'rqreg_ext.BulkResult()'),
        ('requeue_all', 'rqreg_ext.BulkResult()'),
        ('find', 'iter([])'),
        ('check', 'CheckReport()'),
        ('repair', 'RepairReport()'),
    ],
)
def test_demo_fails_where_a_call_does_nothing(folder: Path, call: str, answer: str) -> None:
    lie = f'FailedJobRegistry.{call} = lambda self, **given: {answer}'
    demo = start(folder, '-c', LYING.format(lie=lie), '--only', 'bulk')
    output, _ = demo.communicate(timeout=180)
    assert demo.returncode == 1, output
    assert 'WRONG' in output
    check_width(output)
    assert 'Some calls on many jobs did not work as expected' in output.splitlines()[-1]
    assert list(folder.iterdir()) == []


def test_demo_of_too_few_jobs_is_refused(folder: Path) -> None:
    demo = start(folder, '-m', 'demo', jobs=20)
    output, _ = demo.communicate(timeout=60)
    assert demo.returncode == 2
    assert '--failed-jobs 20: give at least 200' in output
