"""Clients instrumented by real tracing tools: all commands have spans, and scripts are still used."""

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
TOOLS = ['opentelemetry', 'sentry', 'elastic', 'ddtrace', 'wrapt']
# Elastic's spans have no names of commands for pipelines.
NAMING = ['opentelemetry', 'sentry', 'ddtrace', 'wrapt']


@cache
def output_of(tool: str, socket: str, *how: str) -> Any:
    if tool == 'ddtrace' and sys.version_info >= (3, 15):
        pytest.skip('ddtrace has no release for Python 3.15')
    run = subprocess.run([sys.executable, PROGRAM, tool, socket, *how], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@pytest.fixture(params=TOOLS)
def output(request: pytest.FixtureRequest, redis_server: PrivateRedis) -> Any:
    return output_of(request.param, redis_server.socket_path)


def test_instrumented_client_is_not_bypassed(output: Any) -> None:
    assert not output['is_direct']


def test_reads_are_answered_through_tracer(output: Any) -> None:
    assert output['reads'] == [40, 10, 40, 1, 40]


def test_bulk_calls_use_scripts_through_tracer(output: Any) -> None:
    assert output['requeued'] == [40, 0]
    assert output['purged'] == [40, 0]


def test_check_finds_no_problems_through_tracer(output: Any) -> None:
    assert output['check'] == 0


def test_every_script_has_a_span(output: Any) -> None:
    # Sentry keeps no span of what ends with an error, as EVALSHA does where the server does not know the script.
    assert {'EVALSHA', 'EVAL'} & {*output['requeue spans']}
    assert {'EVALSHA', 'EVAL'} & {*output['purge spans']}


@pytest.mark.parametrize('tool', NAMING)
def test_only_sent_commands_have_spans(redis_server: PrivateRedis, tool: str) -> None:
    output = output_of(tool, redis_server.socket_path)
    assert output['seen'] == output['processed']


def test_instrumented_prefixing_client_uses_only_its_keys(output: Any) -> None:
    assert output['prefixing'] == [40, 40, 0]


def test_single_calls_have_spans_as_with_rq(output: Any) -> None:
    """With their names, keys and addresses, and errors as errors; at the first call, and when all is known."""
    by_rq, at_first, later = output['single']['compared']
    assert at_first == by_rq
    assert later == by_rq
    assert len(by_rq[1]) >= 12


@pytest.mark.parametrize('tool', TOOLS)
def test_tracer_inside_an_unknown_wrapper_makes_spans_as_with_rq(redis_server: PrivateRedis, tool: str) -> None:
    by_rq, at_first, later = output_of(tool, redis_server.socket_path, 'wrapped')['single']['compared']
    assert at_first == by_rq
    assert later == by_rq
    assert len(by_rq[1]) >= 12


def test_scripts_of_single_calls_have_spans(output: Any) -> None:
    assert output['single']['changed'] == [1, 'job-3', 36]
    assert output['single']['spans of that'] == output['single']['sent']


@pytest.mark.parametrize('tool', [tool for tool in TOOLS if tool != 'wrapt'])
def test_known_tracer_is_trusted_with_scripts(redis_server: PrivateRedis, tool: str) -> None:
    sent = output_of(tool, redis_server.socket_path)['single']['sent']
    assert sent == ['evalsha', 'hgetall', 'evalsha', 'zremrangebyscore', 'zcard']
