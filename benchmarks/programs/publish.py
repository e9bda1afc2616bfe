"""Put the figures of a run where people read them: `python -m benchmarks.programs.publish RUN`.

RESULTS.md has all tables of what the run has written with --json, README.md one.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.programs import report
from compat.environments import ROOT

README = ROOT / 'README.md'
TABLES = Path(__file__).resolve().parent / 'RESULTS.md'
BEGIN, END = '<!-- python -m benchmarks.programs.publish -->\n', '<!-- end of programs -->\n'


def with_summary(text: str, found: report.Found) -> str:
    """Return the README's text with the results between its two marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, behind = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f'{README.name} has no place for the results: {BEGIN.strip()} ... {END.strip()}')
    return f'{before}{BEGIN}{report.summary(found)}\n{END}{behind}'


def main(arguments: list[str]) -> None:
    """Write what the arguments ask for."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks.programs.publish', description=__doc__)
    parser.add_argument('run', type=Path, help='what a run has written with --json')
    found = json.loads(parser.parse_args(arguments).run.read_text(encoding='utf-8'))
    TABLES.write_text(report.everything(found), encoding='utf-8')
    README.write_text(with_summary(README.read_text(encoding='utf-8'), found), encoding='utf-8')
    for path in (TABLES, README):
        print(path.relative_to(ROOT))


if __name__ == '__main__':
    main(sys.argv[1:])
