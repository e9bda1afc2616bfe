"""A program for a CPython that counts references: repeat each scenario, and tell how their number grew.

Writes a line of JSON for each scenario.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import sys
from collections.abc import Callable

from .scenarios import SCENARIOS, Scenario, run_scenario
from .world import World

WARM_UP = 10


def references() -> int:
    """Return the number of references in this process, garbage collected and without the names in the type cache."""
    sys._clear_type_cache()
    gc.collect()
    total: Callable[[], int] = sys.gettotalrefcount  # type: ignore[attr-defined]
    return total()


def make(world: World, scenario: Scenario) -> None:
    """Make the call once, and check that it gives what it should."""
    outcome = run_scenario(world, scenario)
    if outcome != scenario.outcome:
        raise AssertionError(f'{outcome!r}, not {scenario.outcome!r}')


def growth(world: World, scenario: Scenario, times: int) -> list[int]:
    """Return by how much the number of references grew in each of two equal runs of calls."""
    for _ in range(WARM_UP):
        make(world, scenario)
    counts = [references()]
    for _ in range(2):
        for _ in range(times):
            make(world, scenario)
        counts.append(references())
    return [later - earlier for earlier, later in itertools.pairwise(counts)]


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('port', type=int)
    parser.add_argument('times', type=int)
    parser.add_argument('--protocol', type=int, default=2)
    arguments = parser.parse_args()
    world = World(arguments.port, protocol=arguments.protocol)
    gc.collect()
    gc.freeze()
    for name, scenario in SCENARIOS.items():
        print(json.dumps({'scenario': name, 'growth': growth(world, scenario, arguments.times)}), flush=True)


if __name__ == '__main__':
    main()
