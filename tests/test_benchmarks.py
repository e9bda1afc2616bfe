"""The benchmarks run, compare the answers before they time them, and time what they say they time."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from private_redis import PrivateRedis

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import placement
from benchmarks.child import ROOT, RemoteLeg
from benchmarks.legs import BOUND, OURS, RQ, RQ_HIREDIS, BareLeg, LibraryLeg, Place, Server
from benchmarks.measuring import DifferentAnswers, Pace, Run, spread, verify
from benchmarks.workloads import BY_NAME, Workload

LIBRARIES = [RQ, OURS] if importlib.util.find_spec('hiredis') is None else [RQ, RQ_HIREDIS, OURS]
ANSWERS = {'count': [1000, None], 'remove': [1, [None, 0, None, False]]}

PairOfLegs = Callable[[Workload], dict[str, LibraryLeg]]


@pytest.fixture
def set_to(redis_server: PrivateRedis) -> Iterator[PairOfLegs]:
    """A function that returns RQ's leg and ours, in this process, set to a workload on equal data."""
    legs = {name: LibraryLeg(name) for name in (RQ, OURS)}
    run = Run(redis_server.port, legs, Pace(rounds=3, round_seconds=0.001))
    redis_server.client().flushall()

    def setter(workload: Workload) -> dict[str, LibraryLeg]:
        for name, place in run._places(workload, Server(redis_server.port)).items():
            legs[name].set_to(workload, place)
        return legs

    yield setter
    redis_server.client().flushall()


def run_benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-m', 'benchmarks', '--quick', *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_every_leg_is_reported(tmp_path: Path) -> None:
    found = tmp_path / 'found.json'
    done = run_benchmarks('--only', 'count', '--only', 'remove', '--json', str(found))
    assert done.returncode == 0, done.stderr
    results = json.loads(found.read_text(encoding='utf-8'))
    assert sorted((r['socket'], r['workload']) for r in results['calls']) == sorted(
        (socket, workload) for socket in ('tcp', 'unix') for workload in ANSWERS
    )
    for result in results['calls']:
        assert result['compared'] == LIBRARIES
        assert result['answer'] == ANSWERS[result['workload']]
        assert list(result['legs']) == [*LIBRARIES, BOUND]
        for leg in result['legs'].values():
            assert len(leg['rounds']) == results['pace']['rounds']
            assert all(seconds > 0 for seconds in leg['rounds'])
            assert leg['q1'] <= leg['median'] <= leg['q3']
    rows = [line for line in done.stdout.splitlines() if line.startswith(tuple(ANSWERS))]
    # Per leg a time; the empty column is that of an uninstalled hiredis-py, in its time and its ratio.
    assert [row.count(' - ') for row in rows] == [0 if RQ_HIREDIS in LIBRARIES else 2] * 4
    assert [row.split()[-1] for row in rows] == ['1'] * 4
    assert (RQ_HIREDIS in LIBRARIES) != ('hiredis-py is not installed' in done.stdout)


def test_unknown_workload_is_refused() -> None:
    done = run_benchmarks('--only', 'counting')
    assert done.returncode == 2
    assert "'counting'" in done.stderr


@pytest.mark.parametrize('name', [w.name for w in BY_NAME.values() if not w.is_slow])
def test_answers_agree(set_to: PairOfLegs, name: str) -> None:
    value, _ = verify(BY_NAME[name], set_to(BY_NAME[name]))
    assert value is not None


def test_different_answer_is_refused(set_to: PairOfLegs) -> None:
    wrong = replace(BY_NAME['count'], call=lambda registry, _: type(registry).__module__)
    with pytest.raises(DifferentAnswers, match=r"rqreg_ext: \('rqreg_ext\.registry', None\)"):
        verify(wrong, set_to(wrong))


def test_different_state_is_refused(set_to: PairOfLegs) -> None:
    def remove_only_with_rq(registry: Any, job_id: str) -> int:
        if type(registry).__module__.startswith('rq.'):
            registry.remove(job_id)
        return 1

    wrong = replace(BY_NAME['remove'], call=remove_only_with_rq)
    with pytest.raises(DifferentAnswers, match='remove: the answers differ'):
        verify(wrong, set_to(wrong))


def test_bound_is_of_the_bytes_that_are_sent(set_to: PairOfLegs) -> None:
    (exchange,) = set_to(BY_NAME['count'])[OURS].record().exchanges  # type: ignore[misc]
    assert exchange.request.count(b'ZREMRANGEBYSCORE') == 1
    assert exchange.request.count(b'ZCARD') == 1
    assert exchange.reply_length == len(b':0\r\n:1000\r\n')


@pytest.mark.parametrize('name', ['remove', 'remove-delete_job', 'requeue'])
def test_bound_does_what_a_call_does(set_to: PairOfLegs, redis_server: PrivateRedis, name: str) -> None:
    workload = BY_NAME[name]
    ours = set_to(workload)[OURS]
    recording = ours.record()
    place = ours.place
    assert place is not None
    bare = BareLeg()
    bare.set_to(workload, Place(place.server, place.database, place.arguments[2:]), recording)
    before = len(ours.subject)
    assert bare.elapsed(5) > 0
    assert len(ours.subject) == before - 5
    assert not any(job_id in ours.subject for job_id in place.arguments[:7])
    assert place.arguments[7] in ours.subject


def test_arguments_that_run_out_are_told(set_to: PairOfLegs) -> None:
    leg = set_to(BY_NAME['remove'])[OURS]
    with pytest.raises(RuntimeError, match='1000000 arguments wanted'):
        leg.elapsed(1_000_000)


def test_hiredis_is_hidden_from_the_other_legs() -> None:
    pytest.importorskip('hiredis')
    with RemoteLeg(RQ) as plain, RemoteLeg(RQ_HIREDIS) as fast:
        assert 'hiredis' not in plain.versions()
        assert 'hiredis' in fast.versions()


@pytest.mark.skipif(not placement.can_bind(), reason='needs two CPUs, and a system that binds processes to them')
@pytest.mark.parametrize('placed', [placement.APART, placement.TOGETHER])
def test_leg_is_bound(placed: str) -> None:
    of_server, of_legs = placement.cpus(placed)
    assert of_server.isdisjoint(of_legs) == (placed == placement.APART)
    with RemoteLeg(BOUND) as leg:
        leg.bind(of_legs)
        assert os.sched_getaffinity(leg.pid) == of_legs


def test_spread() -> None:
    found = spread([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.q1, found.median, found.q3) == (2.0, 3.0, 4.0)
