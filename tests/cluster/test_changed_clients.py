"""A derived, wrapped or patched client of a cluster: its methods are called as RQ calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .calls import BULK
from .changed_clients import PATCHES, heard_of, heard_while_patched, jobs_left_to_rq
from .test_calls import place_of

if TYPE_CHECKING:
    from private_cluster import PrivateCluster

    from .child import Child

pytestmark = pytest.mark.parametrize('tagging', ['hash tag'])
CHANGING = ('overriding', 'with its own execute_command')


@pytest.mark.parametrize('kind', CHANGING)
@pytest.mark.parametrize('name', ['count', 'contains', 'get_job_ids', 'iter_job_ids', 'remove and delete', 'purge'])
def test_own_execute_command_is_called(
    name: str, kind: str, cluster: PrivateCluster, tagging: str, child: Child
) -> None:
    place = place_of(cluster, tagging)
    answer, heard = child.run(heard_of, kind, name, place)
    assert answer == child.run(heard_of, 'derived', name, place)[0]
    assert heard
    assert not {'EVAL', 'EVALSHA'} & set(heard)


@pytest.mark.parametrize('name', BULK)
@pytest.mark.parametrize('kind', CHANGING[:1])
def test_bulk_call_is_left_to_rq(name: str, kind: str, cluster: PrivateCluster, tagging: str, child: Child) -> None:
    done, by_rq = child.run(jobs_left_to_rq, kind, name, place_of(cluster, tagging))
    # RQ cancels no job by a cluster's client.
    assert by_rq == done == (0 if name == 'cancel_many' else 10)


def test_derived_class_that_changes_nothing_is_fast(cluster: PrivateCluster, tagging: str, child: Child) -> None:
    assert child.run(jobs_left_to_rq, 'derived', 'purge', place_of(cluster, tagging)) == (10, 0)


def test_function_called_by_each_connection_keeps_scripts_away(
    cluster: PrivateCluster, tagging: str, child: Child
) -> None:
    assert child.run(jobs_left_to_rq, 'with a connect function', 'purge', place_of(cluster, tagging)) == (10, 10)


@pytest.mark.parametrize('name', ['check', 'check of everything', 'repair', 'repair of everything'])
def test_check_and_repair_are_refused(name: str, cluster: PrivateCluster, tagging: str, child: Child) -> None:
    answer, heard = child.run(heard_of, 'overriding', name, place_of(cluster, tagging))
    assert answer == ['raised', 'rqreg_ext._fastpath.clients.by_methods.ClientRefusedError']
    assert not {'EVAL', 'EVALSHA', 'SCAN'} & set(heard)


@pytest.mark.parametrize('patch', PATCHES)
def test_patch_has_effect_while_it_is_there(patch: str, cluster: PrivateCluster, tagging: str, child: Child) -> None:
    counts, used = child.run(heard_while_patched, patch, place_of(cluster, tagging))
    assert counts == [10, 10, 10]
    assert used == [False, True, False]
