"""Of a test's combinations of parameters, a few in which all is met that the whole has.

@pytest.mark.covering(1)      each value of each parameter at least once
@pytest.mark.covering(2)      each pair of values of two parameters at least once

What parametrizes a test together, ('name', 'client'), is one parameter here. Chosen are the same combinations in every
run and in every process, until parameters are added or renamed. RQREG_TEST_PROFILE=whole runs all of them.
"""

from __future__ import annotations

import itertools
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

# The values of all parameters, by their ids.
Combination = tuple[str, ...]


def covering(combinations: Sequence[Combination], strength: int) -> list[Combination]:
    """Return combinations in which each value, or each that many values of different parameters, are met."""
    # In the order of the parameters, neighbours have most values in common.
    waiting = sorted(combinations, key=lambda each: zlib.crc32('-'.join(each).encode()))
    met: set[tuple[tuple[int, str], ...]] = set()
    chosen = set()
    for wanted in range(len(list(_groups(waiting[0], strength))), 0, -1):
        # First those in which all is new: they are the fewest.
        for each in waiting:
            groups = set(_groups(each, strength))
            if len(groups - met) >= wanted:
                met |= groups
                chosen.add(each)
    return [each for each in combinations if each in chosen]


def _groups(combination: Combination, strength: int) -> Iterable[tuple[tuple[int, str], ...]]:
    return itertools.combinations(enumerate(combination), min(strength, len(combination)))


def left_out(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """Return the combinations that are not chosen, of the tests that are marked."""
    tests: dict[tuple[str, int], dict[Combination, pytest.Item]] = defaultdict(dict)
    for item in items:
        mark, callspec = item.get_closest_marker('covering'), getattr(item, 'callspec', None)
        if mark is not None and callspec is not None:
            # An id for each parametrize(); pytest has no public name for it.
            combination = tuple(callspec._idlist)
            tests[item.nodeid.partition('[')[0], mark.args[0]][combination] = item
    found = []
    for (_, strength), combinations in tests.items():
        chosen = set(covering([*combinations], strength))
        found += [item for combination, item in combinations.items() if combination not in chosen]
    return found
