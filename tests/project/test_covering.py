"""Which combinations of a test's parameters run: in the choice, all values or pairs of values are met."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from covering import covering

TESTS = Path(__file__).resolve().parents[1]
MARKED = """
import pytest

@pytest.fixture(params='xyz')
def client(request):
    return request.param

@pytest.mark.covering(1)
@pytest.mark.parametrize(('name', 'protocol'), [('a', 2), ('a', 3), ('b', 2)])
@pytest.mark.parametrize('how', ['h', 'i', 'j', 'k'])
def test_marked(how, name, protocol, client):
    pass

@pytest.mark.parametrize('how', 'hijk')
def test_not_marked(how, client):
    pass
"""


def product(*lengths: int) -> list[tuple[str, ...]]:
    return list(itertools.product(*([f'{axis}{n}' for n in range(length)] for axis, length in enumerate(lengths))))


def groups(combinations: list[tuple[str, ...]], strength: int) -> set[tuple[str, ...]]:
    return {group for each in combinations for group in itertools.combinations(each, strength)}


@pytest.mark.parametrize('strength', [1, 2, 3])
@pytest.mark.parametrize('lengths', [(7,), (30, 7), (3, 3, 3), (20, 5, 2), (2, 2, 2, 2, 2)], ids=str)
def test_choice_has_all_groups_of_values(lengths: tuple[int, ...], strength: int) -> None:
    whole = product(*lengths)
    strength = min(strength, len(lengths))
    chosen = covering(whole, strength)
    assert groups(chosen, strength) == groups(whole, strength)
    assert chosen == [each for each in whole if each in chosen]


def test_choice_is_small_and_the_same_each_time() -> None:
    whole = product(30, 7, 4)
    chosen = covering(whole, 1)
    assert len(chosen) <= 36
    assert covering(whole[::-1], 1) == chosen[::-1]
    assert len(covering(whole, 2)) <= 300


def test_choice_of_a_part_has_the_values_of_the_part() -> None:
    part = [each for each in product(4, 4) if each[0] != each[1].replace('1', '0', 1)]
    assert groups(covering(part, 1), 1) == groups(part, 1)


def ran(folder: Path, profile: str, *arguments: str) -> list[str]:
    """Run the marked test in a folder of its own, and return the names of what passed."""
    for name in ('conftest.py', 'covering.py', 'depth.py'):
        shutil.copy(TESTS / name, folder)
    (folder / 'test_it.py').write_text(MARKED)
    markers = [
        '-o',
        'markers=covering(strength): x',
        '-p',
        'no:cacheprovider',
        '-p',
        'no:ddtrace',
        '--rootdir',
        str(folder),
    ]
    variables = {'RQREG_TEST_PROFILE': profile, 'PYTHONPATH': str(TESTS.parent / 'tools')}
    ended = subprocess.run(
        [sys.executable, '-m', 'pytest', '-v', *markers, *arguments],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    return [line.split('::')[1].split()[0] for line in ended.stdout.splitlines() if ' PASSED' in line]


def test_marked_test_runs_with_each_value_once_and_whole_with_all(tmp_path: Path) -> None:
    few = ran(tmp_path, 'default')
    assert sum('not_marked' in name for name in few) == 12
    marked = [name for name in few if 'not_marked' not in name]
    assert 4 <= len(marked) <= 6
    for word in ('h', 'i', 'j', 'k', 'a-2', 'a-3', 'b-2', 'x', 'y', 'z'):
        assert any(f'-{word}-' in name.replace('[', '-').replace(']', '-') for name in marked), word
    whole = [name for name in ran(tmp_path, 'whole') if 'not_marked' not in name]
    assert len(whole) == 36
    left_out = next(name for name in whole if name not in marked)
    assert ran(tmp_path, 'default', f'test_it.py::{left_out}') == [left_out]
