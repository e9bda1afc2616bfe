"""The benchmark of deployments: what it measures, and the tables that it makes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.deployments import report
from benchmarks.deployments.__main__ import DEPLOYMENTS, main
from benchmarks.deployments.clients import BY_NAME


@pytest.mark.parametrize('deployment', ['TLS', 'cluster'])
def test_both_sides_are_measured(deployment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / 'found.json'
    options = ['--quick', '--only', deployment, '--operation', 'count', '--operation', 'purge', '--json', str(path)]
    assert main(options) == 0
    (of,) = json.loads(path.read_text())['deployments'].values()
    assert list(of) == ['count', 'purge()']
    for sides in of.values():
        assert all(len(sides[name]['rounds']) == 3 for name in ('rq', 'ours', 'ratio'))
    assert 'purge()' in capsys.readouterr().out


def test_every_deployment_has_a_client() -> None:
    assert {deployment.client for deployment in DEPLOYMENTS.values()} == set(BY_NAME)


def test_tables_have_a_row_for_each_deployment() -> None:
    seconds = {'q1': 1.0, 'median': 2.0, 'q3': 3.0}
    sides = {'rq': seconds, 'ours': seconds, 'ratio': seconds}
    found = {'conditions': 'here', 'deployments': {'near': {'count': sides, 'in': sides}, 'far': {'in': sides}}}
    assert report.ratio_rows(found, with_spread=False) == [
        ['RQ / ours', 'count', 'in'],
        ['near', '2.00', '2.00'],
        ['far', '-', '2.00'],
    ]
    assert len(report.time_rows(found)) == 4
