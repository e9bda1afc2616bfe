"""`make help`, the first that a newcomer sees."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(shutil.which('make') is None, reason='no make here')
def test_help_lists_each_target_in_80_columns() -> None:
    makefile = (ROOT / 'Makefile').read_text(encoding='utf-8')
    targets = ' '.join(re.findall(r'^\.PHONY: (.*)', makefile, re.MULTILINE)).split()
    output = subprocess.run(['make'], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert sorted(re.findall(r'^  ([a-z-]+) +\S', output, re.MULTILINE)) == sorted(targets)
    assert [line for line in output.splitlines() if len(line) > 80] == []
