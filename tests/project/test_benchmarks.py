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

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import cpu_placement, populations, report, server_holds, targets, time_shares
from benchmarks.__main__ import named
from benchmarks.bare_leg import BareLeg
from benchmarks.calling_leg import CallingLeg
from benchmarks.child import ROOT, RemoteLeg
from benchmarks.legs import BOUND, BY_HAND, BY_HAND_HIREDIS, OURS, RQ, RQ_HIREDIS, Place, Server
from benchmarks.measuring import DATABASE, DifferentAnswers, Pace, Run, spread
from benchmarks.populations import Population
from benchmarks.results import Results
from benchmarks.workloads import ALL, BY_NAME, Sample, on_cluster
from compat.clients.keys import with_near_times
from tests.differential.database import NOTHING, differences, dump

HIREDIS = importlib.util.find_spec('hiredis') is not None
CALLING = [RQ, RQ_HIREDIS, BY_HAND, BY_HAND_HIREDIS, OURS] if HIREDIS else [RQ, BY_HAND, OURS]
ANSWERS = {'count-100': 100, 'remove': 1}
# What is looked at before timing is the same for larger ones.
SMALL = [w.name for w in ALL if w.size <= 100 or w.axis is None]
CHANGING = [w.name for w in ALL if w.changes and w.name in SMALL]


@pytest.fixture
def run(redis_server: PrivateRedis) -> Iterator[Run]:
    """All legs that need no process of their own, on equal terms."""
    legs = {name: CallingLeg(name) for name in (RQ, BY_HAND, OURS)}
    redis_server.client().flushall()
    yield Run(redis_server.port, legs, Pace(rounds=3, round_seconds=0.001, seconds=1))
    redis_server.client().flushall()


@pytest.fixture
def ours_at(run: Run, redis_server: PrivateRedis) -> Callable[[str], tuple[CallingLeg, Place]]:
    """A function that sets our leg to a workload and returns both it and the place."""

    def set_to(name: str) -> tuple[CallingLeg, Place]:
        place = run.place(BY_NAME[name], Server(redis_server.port))
        leg: CallingLeg = run.legs[OURS]
        leg.set_to(BY_NAME[name], place)
        leg.warm_up()
        return leg, place

    return set_to


def test_workloads_import_no_client() -> None:
    """A leg hides hiredis-py, or adds it, before redis-py is imported."""
    program = "import sys, benchmarks.workloads; print('redis' in sys.modules)"
    ran = subprocess.run([sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == 'False\n'


def run_benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-m', 'benchmarks', '--quick', *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_every_leg_is_reported(tmp_path: Path) -> None:
    found = tmp_path / 'found.json'
    done = run_benchmarks('--only', 'count-100', '--only', 'remove', '--json', str(found))
    assert done.returncode == 0, done.stderr
    results = json.loads(found.read_text(encoding='utf-8'))
    assert sorted((r['socket'], r['workload']) for r in results['calls']) == sorted(
        (socket, workload) for socket in ('tcp', 'unix') for workload in ANSWERS
    )
    for result in results['calls']:
        assert result['compared'] == CALLING
        assert result['answer'] == ANSWERS[result['workload']]
        assert list(result['legs']) == [*CALLING, BOUND]
        for leg in result['legs'].values():
            assert results['pace']['least_rounds'] <= len(leg['rounds']) <= results['pace']['rounds']
            assert all(seconds > 0 for seconds in leg['rounds'])
            assert leg['q1'] <= leg['median'] <= leg['q3']
    rows = [line for line in done.stdout.splitlines() if line.startswith(tuple(ANSWERS))]
    # On each kind of socket the times, then the ratios; the empty columns are those of an uninstalled hiredis-py.
    assert [row.count(' - ') + row.endswith(' -') for row in rows] == [0 if HIREDIS else 2] * 8
    assert [row.split()[-1] for row in (*rows[:2], *rows[4:6])] == ['1'] * 4
    assert ('hiredis-py is not installed' in done.stdout) != HIREDIS


def test_shares_of_the_time_are_told(tmp_path: Path) -> None:
    found = tmp_path / 'found.json'
    done = run_benchmarks('--only', 'shares', '--json', str(found))
    assert done.returncode == 0, done.stderr
    results = json.loads(found.read_text(encoding='utf-8'))['shares']
    assert results.keys() == set(time_shares.QUICK)
    for of_legs in results.values():
        for told in of_legs.values():
            assert 0 < told['caller']['median'] <= told['seconds']['median']
            assert 0 <= told['waiting']['median'] < 1
            assert told['server']['median'] > 0


def test_unknown_workload_is_refused() -> None:
    done = run_benchmarks('--only', 'counting')
    assert done.returncode == 2
    assert "'counting'" in done.stderr


def test_workloads_are_selected_by_name_operation_and_part_of_name() -> None:
    assert named('count-100') == ['count-100']
    assert named('count') == [w.name for w in ALL if w.operation == 'count']
    deleting = {'remove-delete_job', 'remove_many-delete_job-100', 'remove_many-delete_job-10000'}
    assert set(named('delete')) == deleting


@pytest.mark.parametrize('name', SMALL)
def test_answers_and_keys_agree(run: Run, redis_server: PrivateRedis, name: str) -> None:
    assert run.verify(BY_NAME[name], Server(redis_server.port))[0] is not None


def test_different_answer_is_refused(run: Run, redis_server: PrivateRedis) -> None:
    wrong = replace(BY_NAME['count-1'], ours=lambda registry, _: type(registry).__module__)
    with pytest.raises(DifferentAnswers, match=r"rqreg_ext: \['rqreg_ext\.registry'\]"):
        run.verify(wrong, Server(redis_server.port))


def test_different_keys_are_refused(run: Run, redis_server: PrivateRedis) -> None:
    wrong = replace(BY_NAME['remove'], by_hand=lambda client, job_id: 1)
    with pytest.raises(DifferentAnswers, match='remove: by_hand leaves other keys than rq:\n'):
        run.verify(wrong, Server(redis_server.port))


def test_other_answer_on_everything_is_refused(run: Run, redis_server: PrivateRedis) -> None:
    def count(registry: Any, _: Any) -> int:
        return min(registry.count, 100)

    with pytest.raises(DifferentAnswers, match='count-10000: the answers differ'):
        run.verify(replace(BY_NAME['count-10000'], ours=count), Server(redis_server.port))


@pytest.mark.parametrize('name', CHANGING)
def test_workload_is_restored_after_leg_that_changes_it(
    run: Run, ours_at: Any, redis_server: PrivateRedis, name: str
) -> None:
    leg, _ = ours_at(name)
    client = redis_server.client(db=DATABASE)
    before = dump(client, masks=NOTHING)
    leg.answers()
    assert differences(before, dump(client, masks=NOTHING))
    run.place(BY_NAME[name], Server(redis_server.port))
    assert not differences(before, dump(client, masks=NOTHING))


def test_sample_is_extrapolated(run: Run, redis_server: PrivateRedis) -> None:
    """A call on a tenth of the entries is said to take ten times as long."""
    sizes = []
    sampled = replace(BY_NAME['count-100'], ours=Sample(lambda registry, _, count: sizes.append(count), 10))
    leg: CallingLeg = run.legs[OURS]
    leg.set_to(sampled, run.place(sampled, Server(redis_server.port)))
    leg.elapsed = lambda calls: 3.0 * calls  # type: ignore[method-assign]
    assert leg.seconds_per_call(2) == pytest.approx(30.0)
    leg.answers()
    assert sizes == [10]


def test_call_that_does_not_do_everything_is_refused(run: Run, ours_at: Any) -> None:
    leg, place = ours_at('remove')
    leg.set_to(replace(BY_NAME['remove'], counts=True), place)
    with pytest.raises(RuntimeError, match='remove: 1 done, 1000 wanted'):
        leg.elapsed(len(place.arguments))


def test_bound_is_of_the_bytes_that_are_sent(ours_at: Any) -> None:
    leg, _ = ours_at('count-100')
    (exchange,) = leg.record().exchanges
    assert exchange.request.count(b'ZREMRANGEBYSCORE') == 1
    assert exchange.request.count(b'ZCARD') == 1
    assert exchange.reply_length == len(b':0\r\n:100\r\n')


def test_measurement_of_purge_has_all_legs_and_exchanges(run: Run, redis_server: PrivateRedis) -> None:
    measurement = run.measure(BY_NAME['purge-1'], Server(redis_server.port))
    assert list(measurement.seconds) == [RQ, BY_HAND, OURS]
    assert len(measurement.recording.exchanges) > 0


@pytest.mark.parametrize('name', [name for name in CHANGING if not BY_NAME[name].counts])
def test_bound_does_what_the_calls_do(run: Run, ours_at: Any, redis_server: PrivateRedis, name: str) -> None:
    leg, place = ours_at(name)
    client = redis_server.client(db=DATABASE)
    leg.answers()
    run.place(BY_NAME[name], Server(redis_server.port))
    recording = leg.record()
    after = dump(client, masks=NOTHING)
    place = run.place(BY_NAME[name], Server(redis_server.port))
    bare = BareLeg()
    bare.set_to(BY_NAME[name], place, recording)
    assert differences(after, dump(client, masks=NOTHING))
    assert bare.elapsed(len(place.arguments)) > 0
    assert not differences(after, with_near_times(after, dump(client, masks=NOTHING), seconds=60))


def test_calls_that_would_find_nothing_to_change_are_refused(ours_at: Any) -> None:
    leg, place = ours_at('remove')
    with pytest.raises(RuntimeError, match=f'1 calls, where {len(place.arguments)} find what they change'):
        leg.elapsed(1)


def test_population_is_shared(run: Run, redis_server: PrivateRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    filled = []
    fill = populations.FailedIds.fill
    monkeypatch.setattr(populations.FailedIds, 'fill', lambda self, client: filled.append(self) or fill(self, client))
    for name in ('count-100', 'in-100', 'count-1', 'in-1'):
        run.place(BY_NAME[name], Server(redis_server.port))
    assert filled == [populations.FailedIds(100), populations.FailedIds(1)]


def test_command_that_holds_server_is_measured(run: Run, redis_server: PrivateRedis) -> None:
    """By the server's own log, and by the second client."""

    def hold(registries: Any, name: str) -> int:
        return registries.connection.eval('for i = 1, 20000000 do end return 1', 0)

    held = server_holds.measure(
        run, Server(redis_server.port), replace(BY_NAME['remove'], population=populations.FailedIds(1), ours=hold)
    )
    assert held.command == 'EVAL'
    assert 0 < held.worst_command <= held.seconds
    assert held.during.worst > held.idle.median > 0


def test_cluster_is_measured() -> None:
    found = on_cluster.measure(is_quick=True, rounds=1)
    assert list(found) == list(on_cluster.OPERATIONS)
    assert all(seconds > 0 for times in found.values() for seconds in times['seconds'].values())
    shown = [cells[2] for cells in targets.rows(Results({'cluster': found, 'calls': []}))[1:]]
    assert len(shown) == 2 * len(found)
    assert [row[0] for row in report.cluster_rows(found)[1:]] == list(found)


@pytest.mark.parametrize('change', ['remove', 'requeue'])
def test_backlog_and_dependents_are_restored(redis_server: PrivateRedis, change: str) -> None:
    from rq import Queue

    client = redis_server.client()
    client.flushall()
    filled = populations.FailedJobs(entries=3, backlog=5, dependents=4).fill(client)
    queue = Queue(filled.queues[0], connection=client)
    registry = queue.failed_job_registry
    waiting = queue.deferred_job_registry.get_job_ids()
    assert (queue.count, len(waiting)) == (5, 4)
    first = registry.job_class.fetch(filled.ids[0], connection=client)
    assert sorted(first.dependent_ids) == sorted(waiting)
    assert all(job.dependency.id == first.id for job in registry.job_class.fetch_many(waiting, connection=client))
    before = dump(client, masks=NOTHING)
    for job_id in filled.ids:
        registry.remove(job_id, delete_job=True) if change == 'remove' else registry.requeue(job_id)
    assert differences(before, dump(client, masks=NOTHING))
    filled.restore()
    assert not differences(before, dump(client, masks=NOTHING))
    client.flushall()


@pytest.mark.parametrize('kind', [populations.FailedJobs, populations.BusyQueues])
def test_many_queues_are_filled(redis_server: PrivateRedis, kind: type[Population]) -> None:
    from rq import Queue

    client = redis_server.client()
    client.flushall()
    filled = kind(entries=3, queues=2).fill(client)
    queues = Queue.all(connection=client)
    assert sorted(queue.name for queue in queues) == filled.queues == ['benchmark-0000', 'benchmark-0001']
    for queue in queues:
        registry = queue.failed_job_registry
        assert registry.count == 3
        if kind is populations.FailedJobs:
            assert {registry.job_class.fetch(i, connection=client).origin for i in registry.get_job_ids()} == {
                queue.name
            }
    client.flushall()


def test_hiredis_is_hidden_from_the_other_legs() -> None:
    pytest.importorskip('hiredis')
    with RemoteLeg(RQ) as plain, RemoteLeg(RQ_HIREDIS) as fast:
        assert 'hiredis' not in plain.versions()
        assert 'hiredis' in fast.versions()


@pytest.mark.skipif(not cpu_placement.can_bind(), reason='needs two CPUs, and a system that binds processes')
@pytest.mark.parametrize('placed', [cpu_placement.APART, cpu_placement.TOGETHER])
def test_leg_runs_on_cpus_of_placement(placed: str) -> None:
    of_server, of_legs = cpu_placement.cpus(placed)
    assert of_server.isdisjoint(of_legs) == (placed == cpu_placement.APART)
    with RemoteLeg(BOUND) as leg:
        leg.bind(of_legs)
        assert os.sched_getaffinity(leg.pid) == of_legs


def test_spread_has_median_and_quartiles() -> None:
    found = spread([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.q1, found.median, found.q3) == (2.0, 3.0, 4.0)
