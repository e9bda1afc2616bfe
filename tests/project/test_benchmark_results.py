"""What is said of a run of the benchmarks is what the run has found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import markdown, markers, readme, targets
from benchmarks.child import ROOT
from benchmarks.legs import OURS, RQ
from benchmarks.programs import kept as programs_kept
from benchmarks.programs import report as programs_report
from benchmarks.programs.publish import TABLES as PROGRAMS_TABLES
from benchmarks.publish import TABLES
from benchmarks.results import Results
from benchmarks.targets import Figure, Target

# What `make publish` installs for the plots, and nothing else has.
PLOTTING = Path(sys.prefix, 'plotting')
VERSIONS = {'redis': '8.1.0', 'rq': '3.0.0'}
SURROUNDINGS = {'versions': {RQ: VERSIONS}, 'server': '7.0.15', 'python': '3.11.7', 'machine': 'x86_64', 'cpu_count': 2}

SHARES = {
    'seconds': {'q1': 0.7, 'median': 0.8, 'q3': 0.9},
    'caller': {'q1': 0.1, 'median': 0.2, 'q3': 0.3},
    'server': {'q1': 0.4, 'median': 0.5, 'q3': 0.6},
    'waiting': {'q1': 0.7, 'median': 0.75, 'q3': 0.8},
    'serving': {'q1': 0.6, 'median': 0.625, 'q3': 0.7},
}
IDLE = {'count': 9, 'median': 0.00005, 'worst': 0.0002}
HELD = {
    'seconds': 2.5,
    'worst_command': 0.0042,
    'command': 'EVALSHA',
    'idle': IDLE,
    'during': {'count': 9, 'median': 0.003, 'worst': 0.006},
}

DRAW = """
import sys
from pathlib import Path
from benchmarks.plots import draw
from benchmarks.results import Results
draw(Results.read(Path(sys.argv[1])), Path(sys.argv[2]))
"""


def a_leg(*seconds: float, sampled: int | None = None) -> dict[str, Any]:
    low, median, high = seconds
    return {'q1': low, 'median': median, 'q3': high, 'rounds': [low, median, high], 'sampled': sampled}


def a_call(operation: str, size: int, rq: dict[str, Any], ours: dict[str, Any], **others: Any) -> dict[str, Any]:
    ratio = {'q1': 1.0, 'median': rq['median'] / ours['median'], 'q3': 9e9}
    return {
        'workload': f'{operation}-{size}',
        'operation': operation,
        'axis': 'entries',
        'size': size,
        'threads': 1,
        'socket': 'tcp',
        'placement': 'apart',
        'round_trips': 2,
        'legs': {RQ: rq, OURS: ours},
        'ratios': {f'{RQ}/{OURS}': ratio},
        **others,
    }


@pytest.fixture
def results() -> Results:
    """A run in which a purge of 100 000 jobs took 0.9 s, and RQ's loop 2 ms for each of 200."""
    calls = [
        a_call('purge', 100_000, a_leg(190, 200, 210, sampled=200), a_leg(0.8, 0.9, 1.0)),
        a_call('purge', 100, a_leg(0.19, 0.2, 0.21), a_leg(0.0008, 0.0009123456, 0.001)),
        a_call('purge', 100, a_leg(0.18, 0.19, 0.2), a_leg(0.0007, 0.0008, 0.0009), socket='unix'),
        a_call('count', 16, a_leg(1, 1, 1), a_leg(1e-5, 1e-5, 1e-5), axis='threads', threads=16),
    ]
    memory = {'workload': 'get_job_ids-1000000', OURS: {'above_start': 105_000_000, 'result': 104_000_000}}
    return Results(
        {
            'surroundings': SURROUNDINGS,
            'calls': calls,
            'import': {'import rqreg_ext': a_leg(0.003, 0.004, 0.005)},
            'first_call': {OURS: a_leg(0.002, 0.0026, 0.003), RQ: a_leg(0.003, 0.003, 0.003)},
            'shares': {'purge-100000': {OURS: SHARES}},
            'holding': {'100000 jobs': {'purge': HELD}},
            'memory': {**memory, RQ: {'above_start': 193_000_000, 'result': 105_000_000}},
        }
    )


def test_kept_results_have_no_single_rounds(results: Results, tmp_path: Path) -> None:
    results.keep(tmp_path / 'kept.json')
    kept = Results.read(tmp_path / 'kept.json')
    # A line for each workload, so that two runs can be compared by eye.
    assert sum('"workload": "purge' in line for line in (tmp_path / 'kept.json').read_text().splitlines()) == 3
    call = kept.call('purge-100')
    assert call is not None
    assert call['legs'][OURS] == {'q1': 0.0008, 'median': 0.0009123, 'q3': 0.001, 'rounds': 3, 'sampled': None}


def test_curve_of_results_grows_and_tells_what_is_extrapolated(results: Results) -> None:
    points = results.curve('purge', 'entries', RQ)
    assert [(point.size, point.seconds.median, point.is_extrapolated) for point in points] == [
        (100, 0.2, False),
        (100_000, 200, True),
    ]
    assert not results.curve('purge', 'queues', RQ)


def test_summary_says_what_was_found(results: Results) -> None:
    lines = markdown.summary(results).splitlines()
    assert '| `purge()`, 100 000 jobs | ~200 s |  |  | 900 ms | 222 |  |' in lines
    assert '`import rqreg_ext` takes 4.00 ms and imports neither rq nor redis.' in lines
    assert 'The first call on a client takes 2.60 ms, by RQ 3.00 ms.' in lines
    assert '`get_job_ids-1000000` needs 105 MB at its peak, by RQ 193 MB; the list itself takes 104 MB.' in lines


def test_every_result_is_in_the_tables(results: Results) -> None:
    lines = markdown.everything(results).splitlines()
    assert '| purge-100000 | ~200 s (190-210) |  |  |  | 900 ms (800-1000) |  | 2 |' in lines
    assert '| purge-100 | 190 ms (180-200) |  |  |  | 800 µs (700-900) |  | 2 |' in lines
    shares = '800 ms (700-900) | 200 ms (100-300) | 500 ms (400-600) | 75% (70-80) | 62% (60-70)'
    assert f'| purge-100000 | rqreg_ext | {shares} |' in lines
    assert '| 100000 jobs | purge | 2.50 s | EVALSHA 4.20 ms | 50.0 µs | 200 µs | 3.00 ms | 6.00 ms |' in lines
    assert '| count-16 | 1/s (1-1) |  |  |  | 100000/s (100000-100000) |  | 2 |' in lines


def of(found: float | None, by_server_alone: float | None = None) -> Figure:
    return Figure(lambda results: found, lambda results: by_server_alone)


@pytest.mark.parametrize(
    ('target', 'told'),
    [
        (Target('a', of(150.0), ' times', least=150), ['a', '≥ 150 times', '150 times', 'yes', '-']),
        (Target('b', of(149.0, 155.0), ' times', least=150), ['b', '≥ 150 times', '149 times', 'no', '155 times']),
        (Target('c', of(10.1, 7.0), ' µs', most=10), ['c', '≤ 10 µs', '10.1 µs', 'no', '7.00 µs']),
        (Target('d', of(9.0), ' µs', most=10), ['d', '≤ 10 µs', '9.00 µs', 'yes', '-']),
        (Target('e', of(None), ' µs', most=10), []),
    ],
)
def test_target_is_reached_or_not(results: Results, target: Target, told: list[str]) -> None:
    assert target.cells(results) == told


def test_targets_have_values_of_a_run(results: Results) -> None:
    _, *rows = targets.rows(results)
    assert [row[2:] for row in rows] == [
        ['9.00 µs', 'yes', '5.00 µs'],
        ['222 times', 'yes', '400 times'],
        ['4.20 ms', 'yes', '-'],
    ]


def test_slowest_command_is_greatest_of_all_calls(results: Results) -> None:
    held = {name: {'worst_command': seconds} for name, seconds in (('purge', 0.004), ('cancel_many', 0.0101))}
    results.found['holding'] = {'jobs': held, 'others': {'purge': {'worst_command': 0.003}}}
    assert targets.slowest_command(results) == pytest.approx(10.1)


def test_results_are_kept_beside_those_of_another_run(results: Results) -> None:
    again = a_call('purge', 100, a_leg(1, 2, 3), a_leg(1, 1, 1))
    other = Results({'surroundings': SURROUNDINGS, 'calls': [again], 'shares': {'another': 'share'}})
    found = results.with_those_of(other)
    assert [(call['workload'], call['socket']) for call in found.found['calls']] == [
        ('purge-100000', 'tcp'),
        ('purge-100', 'unix'),
        ('count-16', 'tcp'),
        ('purge-100', 'tcp'),
    ]
    assert found.call('purge-100') is again
    assert found.found['memory'] == results.found['memory']
    assert found.found['shares'] == {'another': 'share'}


def test_results_of_other_versions_are_not_kept(results: Results) -> None:
    other = {**SURROUNDINGS, 'versions': {RQ: {**VERSIONS, 'rq': '2.12.0'}}}
    with pytest.raises(SystemExit, match='of other versions'):
        results.with_those_of(Results({'surroundings': other, 'calls': []}))


def test_text_is_put_between_its_markers() -> None:
    place = markers.SUMMARY
    text = place.filled(f'before\n{place.begin}old\n{place.end}after\n', 'new')
    assert text == f'before\n{place.begin}new\n{place.end}after\n'
    assert place.filled(text, 'new') == text
    with pytest.raises(SystemExit, match='no place for the results'):
        place.filled('before\n', 'new')


PROGRAMS = {
    'programs': [
        {
            'program': 'rq info',
            'sides': {'plain': {'median': 0.4}, 'accelerated': {'median': 0.32}},
            'ratio': {'median': 1.25},
        },
        {
            'program': 'a program that the README does not name',
            'sides': {'plain': {'median': 1}, 'accelerated': {'median': 1}},
            'ratio': {'median': 1},
        },
    ],
    'start_up': {readme.START_UP: {'median': 0.00015}},
}


def test_readme_says_what_is_faster_and_why(results: Results) -> None:
    lines = readme.summary(results, PROGRAMS).splitlines()
    assert lines[2:4] == [
        '| `purge()`, 100 000 jobs | ~200 s | 900 ms | 222 | scripts of two milliseconds instead of a loop |',
        '| `rq info` | 400 ms | 320 ms | 1.25 | mostly imports |',
    ]
    assert lines[4] == ''
    assert 'starts 150 µs later with `RQREG_EXT_INSTALL=1`' in lines[-1]


def test_every_row_of_the_readme_was_measured() -> None:
    found = {program['program'] for program in programs_kept.read()['programs']}
    assert [row.name for row in readme.PROGRAMS if row.name not in found] == []
    assert [row.name for row in readme.CALLS if Results.read().call(row.name) is None] == []


def test_published_pages_equal_kept_results() -> None:
    """Publishing again changes no page."""
    calls, programs = Results.read(), programs_kept.read()
    assert TABLES.read_text(encoding='utf-8') == markdown.everything(calls)
    assert PROGRAMS_TABLES.read_text(encoding='utf-8') == programs_report.everything(programs)
    published = [
        (markers.SUMMARY, readme.summary(calls, programs)),
        (markers.CALLS, markdown.summary(calls)),
        (markers.PROGRAMS, programs_report.summary(programs)),
    ]
    for place, content in published:
        text = place.path.read_text(encoding='utf-8')
        assert place.filled(text, content) == text


@pytest.mark.skipif(not PLOTTING.is_dir(), reason='`make publish` installs what draws')
def test_plots_are_the_same_for_the_same_results(results: Results, tmp_path: Path) -> None:
    results.keep(tmp_path / 'kept.json')
    drawn = []
    for name in ('first', 'second'):
        command = [sys.executable, '-c', DRAW, str(tmp_path / 'kept.json'), str(tmp_path / name)]
        subprocess.run(command, cwd=ROOT, env={**os.environ, 'PYTHONPATH': str(PLOTTING)}, check=True)
        drawn.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert drawn[0] == drawn[1]
    svg = drawn[0]['entries.svg']
    assert b'purge()' in svg
    assert b'>100 k<' in svg
    assert len(svg) < 100_000
