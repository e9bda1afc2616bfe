"""Put the figures of a run where people read them: `python -m benchmarks.programs.publish`.

results.json keeps what the run has found; RESULTS.md has all tables of it, docs/benchmarks.md and README.md one each.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks import markers, readme
from benchmarks.programs import kept, report
from benchmarks.results import Results, run_of
from compat.environments import ROOT

TABLES = Path(__file__).resolve().parent / 'RESULTS.md'


def main(arguments: list[str]) -> None:
    """Write what the arguments ask for."""
    run = run_of(arguments, 'benchmarks.programs.publish', __doc__)
    if run is not None:
        kept.keep(kept.read(run))
    found = kept.read()
    TABLES.write_text(report.everything(found), encoding='utf-8')
    markers.PROGRAMS.fill(report.summary(found))
    markers.SUMMARY.fill(readme.summary(Results.read(), found))
    for path in (kept.KEPT, TABLES, markers.PAGE, markers.README):
        print(path.relative_to(ROOT))


if __name__ == '__main__':
    main(sys.argv[1:])
