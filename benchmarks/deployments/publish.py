"""Put the figures of a run where people read them: `python -m benchmarks.deployments.publish`.

results.json keeps what the run has found; RESULTS.md has all tables of it, docs/benchmarks.md the ratios.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks import markers
from benchmarks.child import ROOT
from benchmarks.deployments import report
from benchmarks.report import say
from benchmarks.results import run_of, without_rounds

FOLDER = Path(__file__).resolve().parent
KEPT, TABLES = FOLDER / 'results.json', FOLDER / 'RESULTS.md'


def main(arguments: list[str]) -> None:
    """Write what the arguments ask for."""
    run = run_of(arguments, 'benchmarks.deployments.publish', __doc__)
    if run is not None:
        found = without_rounds(json.loads(run.read_text(encoding='utf-8')))
        KEPT.write_text(json.dumps(found, indent=1) + '\n', encoding='utf-8')
    if not KEPT.is_file():
        say(
            f'nothing to publish of deployments: {KEPT.relative_to(ROOT)} is not there. Run make bench-deployments '
            "ARGS='--json build/deployments.json', then make publish"
        )
        return
    found = json.loads(KEPT.read_text(encoding='utf-8'))
    TABLES.write_text(report.everything(found), encoding='utf-8')
    markers.DEPLOYMENTS.fill(report.summary(found))


if __name__ == '__main__':
    main(sys.argv[1:])
