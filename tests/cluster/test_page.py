"""The examples of the page on clusters run as they stand there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from documentation.test_guide import ON_A_CLUSTER, PAGES

from .page import run_program
from .test_calls import place_of

if TYPE_CHECKING:
    from private_cluster import PrivateCluster

    from .child import Child


@pytest.mark.parametrize('tagging', ['hash tag'])
@pytest.mark.parametrize('page', ON_A_CLUSTER)
def test_examples_of_page_run_on_cluster(page: str, cluster: PrivateCluster, tagging: str, child: Child) -> None:
    program = '\n'.join(str(example.parsed) for example in PAGES[page])
    assert program.count('assert') >= 3
    child.run(run_program, program, place_of(cluster, tagging))
