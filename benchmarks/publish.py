"""Put the figures of a run where people read them: `python -m benchmarks.publish`.

results.json keeps what the run has found; RESULTS.md has all tables of it, README.md one, and plots/ the drawings.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import markdown, plots
from .child import ROOT
from .results import FOLDER, KEPT, Results

README = ROOT / 'README.md'
TABLES = FOLDER / 'RESULTS.md'
BEGIN, END = '<!-- python -m benchmarks.publish -->\n', '<!-- end -->\n'


def with_summary(text: str, results: Results) -> str:
    """Return the README's text with the results between its two marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, behind = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f'{README.name} has no place for the results: {BEGIN.strip()} ... {END.strip()}')
    return f'{before}{BEGIN}{markdown.summary(results)}\n{END}{behind}'


def main(arguments: list[str]) -> None:
    """Write what the arguments ask for."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks.publish', description=__doc__)
    parser.add_argument(
        'run', nargs='?', type=Path, help='what a run has written with --json; default: what was kept of the last one'
    )
    options = parser.parse_args(arguments)
    if options.run is not None:
        Results.read(options.run).keep()
    results = Results.read(KEPT)
    TABLES.write_text(markdown.everything(results), encoding='utf-8')
    README.write_text(with_summary(README.read_text(encoding='utf-8'), results), encoding='utf-8')
    for path in (KEPT, TABLES, README, *plots.draw(results)):
        print(path.relative_to(ROOT))


if __name__ == '__main__':
    main(sys.argv[1:])
