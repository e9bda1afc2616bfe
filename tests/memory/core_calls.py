"""A program: make every call some times, for a tool that watches the process from outside, like valgrind."""

from __future__ import annotations

import argparse
import gc

from .scenarios import SCENARIOS, run_scenario
from .world import World

TIMES = 3


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('port', type=int)
    parser.add_argument('--protocol', type=int, default=2)
    arguments = parser.parse_args()
    world = World(arguments.port, protocol=arguments.protocol)
    for name, scenario in SCENARIOS.items():
        for _ in range(TIMES):
            outcome = run_scenario(world, scenario)
            if outcome != scenario.outcome:
                raise AssertionError(f'{name}: {outcome!r}, not {scenario.outcome!r}')
    del world
    gc.collect()


if __name__ == '__main__':
    main()
