"""Programs that patch RQ, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def output_of(*arguments: str) -> Any:
    """Run a Python program that must end well, and return what it prints in JSON."""
    ended = subprocess.run(
        [sys.executable, '-W', 'ignore', *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, ''), ended.stderr
    return json.loads(ended.stdout)
