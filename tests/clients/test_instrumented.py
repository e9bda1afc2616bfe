"""Clients that a real tracing tool observes: what is sent goes through it, and scripts are run all the same."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from private_redis import PrivateRedis

PROGRAM = Path(__file__).with_name('instrumented_program.py')
TOOLS = ['opentelemetry', 'sentry', 'elastic', 'wrapt']
# Elastic's spans have no names of commands for pipelines.
NAMING = ['opentelemetry', 'sentry', 'wrapt']


@cache
def told_by(tool: str, socket: str) -> Any:
    run = subprocess.run([sys.executable, PROGRAM, tool, socket], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@pytest.fixture(params=TOOLS)
def told(request: pytest.FixtureRequest, redis_server: PrivateRedis) -> Any:
    return told_by(request.param, redis_server.socket_path)


def test_instrumented_client_is_not_bypassed(told: Any) -> None:
    assert not told['is_direct']


def test_reads_have_their_answers(told: Any) -> None:
    assert told['reads'] == [40, 10, 40, 1, 40]


def test_scripts_are_run(told: Any) -> None:
    assert told['requeued'] == [40, 0]
    assert told['purged'] == [40, 0]


def test_check_finds_nothing_wrong(told: Any) -> None:
    assert told['check'] == 0


def test_every_script_has_a_span(told: Any) -> None:
    assert 'EVALSHA' in told['requeue spans']
    assert 'EVALSHA' in told['purge spans']


@pytest.mark.parametrize('tool', NAMING)
def test_spans_are_of_what_is_sent_and_of_nothing_else(redis_server: PrivateRedis, tool: str) -> None:
    told = told_by(tool, redis_server.socket_path)
    assert told['seen'] == told['processed']


def test_prefixing_client_under_a_tool_keeps_to_its_keys(told: Any) -> None:
    assert told['prefixing'] == [40, 40, 0]
