"""`make sdist` and `make wheel` say what they made, and no more."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from offline import run


@pytest.mark.parametrize(('kind', 'ending'), [('sdist', '.tar.gz'), ('wheel', '.whl')])
def test_distribution_is_named_with_its_size(checkout: Path, kind: str, ending: str) -> None:
    result = run(sys.executable, 'tools/distribute.py', kind, cwd=checkout)
    (made,) = (checkout / 'dist').iterdir()
    assert made.name.endswith(ending)
    size = f'{made.stat().st_size / 1e6:.1f} MB'
    assert (result.stdout, result.returncode) == (f'{kind}: made dist/{made.name}, {size}\n', 0)


def test_failed_build_shows_all_of_its_output(checkout: Path) -> None:
    project = checkout / 'pyproject.toml'
    text = project.read_text(encoding='utf-8')
    project.write_text(re.sub('^version = .*', 'version = "no version"', text, flags=re.MULTILINE), encoding='utf-8')
    result = run(sys.executable, 'tools/distribute.py', 'sdist', cwd=checkout)
    assert result.returncode == 1
    assert '`project.version` must be pep440' in result.stdout
    assert result.stdout.splitlines()[-1] == 'sdist: the build above has failed with exit status 1'
    assert not (checkout / 'dist').exists()
