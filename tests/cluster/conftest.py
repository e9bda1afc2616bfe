"""One cluster per pytest process, and processes that make calls on it with a hash tag and without."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import rq.defaults
from private_cluster import PrivateCluster

from .child import Child

# RQ's key prefixes, with a hash tag, by which all keys share a slot, and without.
PREFIXES = {'hash tag': '{rq}', 'no hash tag': 'rq'}


@pytest.fixture(scope='session')
def cluster() -> Iterator[PrivateCluster]:
    """Three masters with a replica each; under pytest-xdist each worker process has its own. Keys may be left."""
    with PrivateCluster(masters=3, replicas=1) as running:
        yield running


@pytest.fixture
def changing_cluster(cluster: PrivateCluster) -> Iterator[PrivateCluster]:
    """The same without keys, for tests that change its layout: afterwards it is as it was."""
    cluster.flush()
    yield cluster
    cluster.restore()


@pytest.fixture(scope='session')
def children() -> Iterator[dict[str, Child]]:
    """The processes that run, by their prefix."""
    running: dict[str, Child] = {}
    yield running
    for child in running.values():
        child.end()


@pytest.fixture
def child(tagging: str, children: dict[str, Child]) -> Child:
    """A process for calls under a prefix; tagging: a name of PREFIXES, which the test is parametrized by."""
    prefix = PREFIXES[tagging]
    if prefix != 'rq' and not hasattr(rq.defaults, 'RQ_KEY_PREFIX'):
        pytest.skip('this RQ has no key prefix')
    found = children.get(prefix)
    if found is None or found.process.poll() is not None:
        found = children[prefix] = Child(prefix)
    return found
