"""What is kept of the last run that was published: results.json, without the single rounds."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.programs.report import Found
from benchmarks.results import without_rounds

KEPT = Path(__file__).resolve().parent / 'results.json'


def read(path: Path = KEPT) -> Found:
    """Read what a run has written, or what was kept of it."""
    found: Found = json.loads(path.read_text(encoding='utf-8'))
    return found


def keep(found: Found, path: Path = KEPT) -> None:
    """Write it, a line for each program."""
    kept = without_rounds(found)
    programs = ',\n'.join(json.dumps(program) for program in kept.pop('programs'))
    others = ''.join(f'{json.dumps(name)}: {json.dumps(value)},\n' for name, value in kept.items())
    path.write_text(f'{{\n{others}"programs": [\n{programs}\n]\n}}\n', encoding='utf-8')
