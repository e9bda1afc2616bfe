"""What tools/rq_changes.py says of an RQ that differs from the installed one, and of one that does not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import rq
import rq_changes

INSTALLED = Path(str(rq.__file__)).parent.parent

Replace = Callable[[str, str, str], None]


@pytest.fixture
def replace(tmp_path: Path) -> Replace:
    """Return a function that replaces a text in a module of a copy of RQ; in 'job', say."""
    shutil.copytree(INSTALLED / 'rq', tmp_path / 'rq', ignore=shutil.ignore_patterns('__pycache__'))

    def in_module(module: str, old: str, new: str) -> None:
        path = tmp_path / 'rq' / f'{module}.py'
        before, found, after = path.read_text(encoding='utf-8').partition(old)
        assert found
        path.write_text(before + new + after, encoding='utf-8')

    return in_module


def changes(folder: Path) -> list[str]:
    """Return the first line of each change in the copy."""
    found = rq_changes.changes(rq_changes.Sources(INSTALLED), rq_changes.Sources(folder), rq_changes.relied_on())
    return [one.splitlines()[0] for one in found]


def test_nothing_is_said_of_comments_annotations_and_other_functions(tmp_path: Path, replace: Replace) -> None:
    replace('registry', 'Returns the number of jobs in this registry', 'The number of jobs')
    replace('queue', 'result = push(self.key, job_id)', 'result: int = push(self.key, job_id)  # pushed')
    replace('job', 'def get_call_string(self)', 'def get_call_text(self)')
    assert changes(tmp_path) == []


def test_call_and_text_that_a_function_has_newly(tmp_path: Path, replace: Replace) -> None:
    replace('queue', 'def push_job_id(', 'def note(self, job_id):\n        pass\n\n    def push_job_id(')
    pushed = 'result = push(self.key, job_id)'
    replace('queue', pushed, f'{pushed}\n        self.note(job_id)\n        connection.sadd("rq:pushed", job_id)')
    assert changes(tmp_path) == [
        'rq.queue.Queue.push_job_id has changed (for requeues): now calls self.note, connection.sadd; '
        "of these, no guard names self.note; now has the text 'rq:pushed'"
    ]


def test_argument_that_a_function_has_newly(tmp_path: Path, replace: Replace) -> None:
    replace('job', 'def dependencies_key(self)', 'def dependencies_key(self, of=None)')
    assert changes(tmp_path) == [
        'rq.job.Job.dependencies_key has changed (for deletions, requeues): takes (self, of=None), not (self)'
    ]


def test_function_that_is_gone(tmp_path: Path, replace: Replace) -> None:
    replace('queue', 'def push_job_id(', 'def push(')
    assert changes(tmp_path) == ['rq.queue.Queue.push_job_id is gone (for requeues)']


def test_key_that_is_another(tmp_path: Path, replace: Replace) -> None:
    replace('registry', ":failed:{0}'", ":failures:{0}'")
    (line,) = changes(tmp_path)
    assert line.startswith('rq.registry.FailedJobRegistry.key_template is ')
    assert ":failures:{0}'" in line


def test_registry_and_method_of_a_registry_that_are_new(tmp_path: Path, replace: Replace) -> None:
    template = 'class FailedJobRegistry(BaseRegistry):'
    replace('registry', template, f'class LostJobRegistry(BaseRegistry):\n    pass\n\n\n{template}')
    replace(
        'registry',
        'class CanceledJobRegistry(BaseRegistry):',
        """\
class CanceledJobRegistry(BaseRegistry):
    def get_job_ids(self, start=0, end=-1, desc=False, cleanup=True):
        return []

""",
    )
    assert changes(tmp_path) == [
        'rq.registry.CanceledJobRegistry now has a method get_job_ids() of its own',
        'the class rq.registry.LostJobRegistry is new',
    ]


def test_program_tells_both_releases_and_ends_with_1_for_changes(tmp_path: Path, replace: Replace) -> None:
    command = [sys.executable, str(rq_changes.__file__), str(tmp_path), str(INSTALLED)]
    same = subprocess.run(command, capture_output=True, text=True, check=False)
    assert same.returncode == 0, same.stderr
    assert same.stdout.splitlines()[1:] == ['  nothing has changed of what the table relies on']
    replace('version', rq.VERSION, '4.0.0rc1')
    replace('queue', 'def push_job_id(', 'def push(')
    changed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert changed.returncode == 1, changed.stderr
    assert changed.stdout.splitlines()[0] == (f'RQ 4.0.0rc1 beside RQ {rq.VERSION}, which the table of releases has:')


@pytest.mark.parametrize(
    ('version', 'known'),
    [('2.6.1', (2, 6)), ('2.13.0rc1', (2, 12)), ('2.99', (2, 12)), ('3.1.0b2', (3, 0)), ('5', (3, 0))],
)
def test_nearest_release_is_newest_known_that_is_no_newer(version: str, known: tuple[int, int]) -> None:
    assert rq_changes.nearest_known(version) == known
