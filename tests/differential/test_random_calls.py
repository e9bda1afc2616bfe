"""Random calls on random databases: rqreg_ext does what RQ does, in everything a caller or another process can see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from .comparison import Comparison
from .known_differences import known_differences
from .sides import KINDS
from .strategies import examples


@pytest.mark.parametrize('kind', [*KINDS, 'mixed'])
def test_random_calls_equal_those_of_rq(
    kind: str, comparison: Comparison, record_property: Callable[[str, Any], None]
) -> None:
    ran = 0

    @given(example=examples(kind))
    def compare(example: Any) -> None:
        nonlocal ran
        ran += 1
        world, setup, calls = example
        comparison.run(kind, calls, world, setup, allowed=known_differences(setup))

    try:
        compare()
    finally:
        record_property('examples', ran)
