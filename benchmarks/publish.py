"""Put the figures of a run where people read them: `python -m benchmarks.publish`.

results.json keeps what the run has found; RESULTS.md has all tables of it, docs/benchmarks.md the most important ones,
README.md one, and plots/ the drawings.
"""

from __future__ import annotations

import sys

from . import markdown, markers, plots, readme
from .child import ROOT
from .programs import kept as programs
from .results import FOLDER, KEPT, Results, run_of

TABLES = FOLDER / 'RESULTS.md'


def main(arguments: list[str]) -> None:
    """Write what the arguments ask for."""
    run = run_of(arguments, 'benchmarks.publish', __doc__)
    if run is not None:
        Results.read(run).keep()
    results = Results.read(KEPT)
    TABLES.write_text(markdown.everything(results), encoding='utf-8')
    markers.CALLS.fill(markdown.summary(results))
    markers.SUMMARY.fill(readme.summary(results, programs.read()))
    for path in (KEPT, TABLES, markers.PAGE, markers.README, *plots.draw(results)):
        print(path.relative_to(ROOT))


if __name__ == '__main__':
    main(sys.argv[1:])
