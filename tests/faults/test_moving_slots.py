"""A cluster whose slots move: a redirect is raised, and no job is left half done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from host.patience import eventually
from key_prefix.programs import TESTS, needs_key_prefix
from private_redis import PrivateRedis

pytestmark = needs_key_prefix

SLOTS = 16384


@pytest.fixture(scope='module')
def outcomes() -> Iterator[list[dict[str, Any]]]:
    """The outcomes of the calls, on a cluster of two nodes of which the first has all slots."""
    options = {'cluster-enabled': 'yes', 'cluster-require-full-coverage': 'no'}
    with PrivateRedis(**options) as source, PrivateRedis(**options) as target:
        nodes = [server.client() for server in (source, target)]
        for start in range(0, SLOTS, 4096):
            nodes[0].execute_command('CLUSTER', 'ADDSLOTS', *range(start, start + 4096))
        nodes[0].execute_command('CLUSTER', 'MEET', '127.0.0.1', target.port)
        assert eventually(lambda: all(is_complete(node) for node in nodes))
        program = Path(__file__).parent / 'moving_slot_program.py'
        done = subprocess.run(
            [sys.executable, str(program), str(source.port), str(target.port)],
            env={**os.environ, 'RQ_KEY_PREFIX': '{rq}', 'PYTHONPATH': str(TESTS)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        yield json.loads(done.stdout)


def is_complete(node: Any) -> bool:
    """Whether the node knows both, and all slots."""
    about = node.execute_command('CLUSTER', 'INFO')
    words = about.decode() if isinstance(about, bytes) else '\n'.join(f'{key}:{about[key]}' for key in about)
    return all(said in words for said in ('cluster_state:ok', 'cluster_known_nodes:2', 'cluster_slots_ok:16384'))


UNTOUCHED, REQUEUED = [True, 'failed', 0], [False, 'queued', 1]


def test_moving_slot_leaves_no_job_half_changed(outcomes: list[dict[str, Any]]) -> None:
    """A call that raises has changed nothing; if all keys were still there, it has changed the job completely."""
    assert len(outcomes) > 50
    for one in outcomes:
        if one['call'] == 'in':
            continue
        if one['said'].startswith('returned'):
            assert (one['moved'], one['call'][:7]) == ('no key', 'requeue'), one
            rest = UNTOUCHED if one['call'] == 'requeue' else REQUEUED
            assert one['jobs'] == [REQUEUED, rest, rest], one
        else:
            assert one['unchanged'], one


def test_redirect_is_raised_by_plain_client(outcomes: list[dict[str, Any]]) -> None:
    for one in outcomes:
        if one['call'] == 'in':
            assert one['said'] is True
        elif one['moved'] == 'the slot':
            assert one['said'] == 'MovedError', one
        elif not one['said'].startswith('returned'):
            assert one['said'] in ('AskError', 'TryAgainError', 'non local', 'ExecAbortError'), one
    assert {'AskError', 'non local', 'MovedError'} <= {str(one['said']) for one in outcomes}
