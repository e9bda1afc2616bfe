"""What a run has found, as it is kept: without the single rounds, and with as many digits as mean something."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cpu_placement import APART
from .measuring import Spread
from .report import spread_of

FOLDER = Path(__file__).resolve().parent
KEPT = FOLDER / 'results.json'
DIGITS = 4
TCP = 'tcp'


def run_of(arguments: list[str], module: str, description: str | None) -> Path | None:
    """Return the file of the run to publish, from the arguments of a publisher; None for the last one that was kept."""
    parser = argparse.ArgumentParser(prog=f'python -m {module}', description=description)
    parser.add_argument(
        'run', nargs='?', type=Path, help='what a run has written with --json; default: what was kept of the last one'
    )
    run: Path | None = parser.parse_args(arguments).run
    return run


@dataclass(frozen=True)
class Point:
    """What one leg takes for one size: seconds per call, and whether that is extrapolated."""

    size: int
    seconds: Spread
    is_extrapolated: bool


@dataclass(frozen=True)
class Results:
    """The results of one run."""

    found: dict[str, Any]

    @staticmethod
    def read(path: Path = KEPT) -> Results:
        """Read what a run has written, or what was kept of it."""
        return Results(json.loads(path.read_text(encoding='utf-8')))

    def keep(self, path: Path = KEPT) -> None:
        """Write it, a line for each workload."""
        kept = without_rounds(self.found)
        calls = ',\n'.join(json.dumps(call) for call in kept.pop('calls'))
        others = ''.join(f'{json.dumps(name)}: {json.dumps(value)},\n' for name, value in kept.items())
        path.write_text(f'{{\n{others}"calls": [\n{calls}\n]\n}}\n', encoding='utf-8')

    def with_those_of(self, other: Results) -> Results:
        """Return these and the results of another run, which stand in place of these of the same."""
        if self.found['surroundings']['versions'] != other.found['surroundings']['versions']:
            raise SystemExit('the results to keep are of other versions: leave out --keep, or write to another file')
        again = {_key(call) for call in other.found['calls']}
        calls = [call for call in self.found['calls'] if _key(call) not in again] + other.found['calls']
        return Results({**self.found, **other.found, 'calls': calls})

    def calls(self, socket: str = TCP, placed: str = APART) -> Iterator[dict[str, Any]]:
        """Iterate over the workloads that were measured in these surroundings."""
        return (call for call in self.found['calls'] if (call['socket'], call['placement']) == (socket, placed))

    def call(self, workload: str, socket: str = TCP, placed: str = APART) -> dict[str, Any] | None:
        """Return what was found of one workload."""
        return next((call for call in self.calls(socket, placed) if call['workload'] == workload), None)

    def curve(self, operation: str, axis: str, leg: str) -> list[Point]:
        """Return what an operation takes as its axis grows."""
        points = [
            Point(call['size'], spread_of(call['legs'][leg]), call['legs'][leg]['sampled'] is not None)
            for call in self.calls()
            if (call['operation'], call['axis']) == (operation, axis) and leg in call['legs']
        ]
        return sorted(points, key=lambda point: point.size)


def _key(call: dict[str, Any]) -> tuple[str, str, str]:
    return call['workload'], call['socket'], call['placement']


def without_rounds(value: Any) -> Any:
    """Return what a run has found without the single rounds, and with as many digits as mean something."""
    if isinstance(value, dict):
        kept = {name: without_rounds(item) for name, item in value.items() if name != 'rounds'}
        if isinstance(value.get('rounds'), list):
            kept['rounds'] = len(value['rounds'])
        return kept
    if isinstance(value, list):
        return [without_rounds(item) for item in value]
    return float(f'{value:.{DIGITS}g}') if isinstance(value, float) else value
