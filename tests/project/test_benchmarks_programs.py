"""The benchmark of whole programs: whose time a look of the profiler is, and what a run refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.programs import kept, profiling, report
from benchmarks.programs.__main__ import parse
from benchmarks.programs.measured import ALL

# As py-spy writes them, the outermost frame first.
PACKAGES = '/env/lib/python3.11/site-packages'
RUN = f'Command.invoke ({PACKAGES}/click/core.py:1226)'
IMPORTING = '_find_and_load (<frozen importlib._bootstrap>:1176)'
COUNT = f'BaseRegistry.get_job_count ({PACKAGES}/rq/registry.py:122)'
CLEANING = f'clean_registries ({PACKAGES}/rq/registry.py:700)'
LENGTH = f'Queue.count ({PACKAGES}/rq/queue.py:457)'
CLIENT = f'Redis.execute_command ({PACKAGES}/redis/client.py:867)'
CORE = 'run_with_retry (/tmp/build/rqreg_ext-0.1.0/src/retries.c:527)'
CORE_WITHOUT_LINES = f'0x1f ({PACKAGES}/rqreg_ext/_core.cpython-311-x86_64-linux-gnu.so)'
OURS = f'requeued_job ({PACKAGES}/rqreg_ext/_fastpath/requeued_job.py:60)'
RESTORE = f'Job.restore ({PACKAGES}/rq/job.py:965)'
FORK = f'Worker.monitor_work_horse ({PACKAGES}/rq/worker/worker_classes.py:90)'
PAGE = f'render ({PACKAGES}/flask/app.py:10)'
RECEIVING = '__libc_recv (/usr/lib/x86_64-linux-gnu/libc.so.6)'
WAITING = 'poll (/usr/lib/x86_64-linux-gnu/libc.so.6)'
COPYING = 'memcpy (/usr/lib/x86_64-linux-gnu/libc.so.6)'
STARTING = '0x7f0c4a (/usr/lib/x86_64-linux-gnu/libc.so.6)'

LOOKS = [
    ([STARTING], profiling.START),
    ([RUN, IMPORTING, f'<module> ({PACKAGES}/rq/registry.py:1)'], profiling.START),
    ([RUN, COUNT], profiling.REGISTRIES),
    ([RUN, COUNT, CLIENT, COPYING], profiling.REGISTRIES_CLIENT),
    ([RUN, COUNT, CLIENT, RECEIVING], profiling.REGISTRIES_SERVER),
    ([RUN, CORE, COPYING], profiling.REGISTRIES),
    ([RUN, CORE, WAITING], profiling.REGISTRIES_SERVER),
    ([RUN, CORE_WITHOUT_LINES, RECEIVING], profiling.REGISTRIES_SERVER),
    ([RUN, CLEANING, CORE, RECEIVING], profiling.REGISTRIES_SERVER),
    ([RUN, CORE, OURS, RESTORE], profiling.REGISTRIES),
    ([RUN, LENGTH], profiling.RQ),
    ([RUN, LENGTH, CLIENT], profiling.RQ_CLIENT),
    ([RUN, LENGTH, CLIENT, RECEIVING], profiling.RQ_SERVER),
    ([RUN, CLIENT, WAITING], profiling.RQ_SERVER),
    ([RUN, FORK, WAITING], profiling.HORSES),
    ([RUN, PAGE, COPYING], profiling.PROGRAM),
    ([RUN, PAGE, WAITING], profiling.PROGRAM),
]


@pytest.mark.parametrize(('frames', 'group'), LOOKS)
def test_time_of_stack_goes_to_its_owner(frames: list[str], group: str) -> None:
    assert profiling.group_of(profiling._stack(';'.join(frames))) == group


def test_looks_of_profiler_are_grouped_by_owner(tmp_path: Path) -> None:
    looks = tmp_path / 'looks'
    looks.write_text(f'{RUN};{COUNT} 3\n{RUN};{PAGE} 1\n', encoding='utf-8')
    shares = profiling.grouped(profiling._read(looks, 0, b''))
    assert shares == {**dict.fromkeys(profiling.GROUPS, 0.0), profiling.REGISTRIES: 0.75, profiling.PROGRAM: 0.25}


def test_nothing_seen_is_told() -> None:
    with pytest.raises(profiling.NoProfiler, match='saw nothing'):
        profiling.grouped([])


def test_refused_profiler_raises_its_message(tmp_path: Path) -> None:
    with pytest.raises(profiling.NoProfiler, match=r'status 1 .*Permission denied'):
        profiling._read(tmp_path / 'looks', 1, b'Permission denied')


@pytest.mark.parametrize(
    ('frames', 'expected'),
    [
        ([f'WSGIRequestHandler.run_wsgi ({PACKAGES}/werkzeug/serving.py:374)', PAGE], True),
        (['BaseHandler.run (/usr/lib/python3.11/wsgiref/handlers.py:137)', COUNT], True),
        (['BaseServer.serve_forever (/usr/lib/python3.11/socketserver.py:233)', WAITING], False),
    ],
)
def test_requests_are_told_from_the_wait_for_them(frames: list[str], expected: bool) -> None:
    assert profiling._is_in_request(profiling._stack(';'.join(frames))) is expected


def test_profile_option_takes_optional_bound() -> None:
    assert parse([]).profile is None
    assert parse(['--profile']).profile > 1e9
    assert parse(['--profile', '1.5']).profile == 1.5


def test_programs_have_names_of_their_own() -> None:
    assert len({program.name for program in ALL}) == len(ALL)


FOUND = {
    'conditions': ['a program: rq-3.0.0, 2 CPUs'],
    'programs': [
        {
            'program': 'a program',
            'jobs': 100,
            'sides': {
                'plain': {'q1': 1.0, 'median': 2.0, 'q3': 3.0},
                'accelerated': {'q1': 0.5, 'median': 1.0, 'q3': 2.0},
            },
            'ratio': {'q1': 1.5, 'median': 1.9, 'q3': 2.5},
            'shares': {
                'plain': {**dict.fromkeys(profiling.GROUPS, 0.0), profiling.START: 1.0},
                'accelerated': {**dict.fromkeys(profiling.GROUPS, 0.0), profiling.START: 0.75, profiling.RQ: 0.25},
            },
        }
    ],
    'start_up': {'import rq': {'q1': 0.1, 'median': 0.2, 'q3': 0.3}},
}


def test_tables_have_ratios_and_shares() -> None:
    text = report.text(FOUND)
    assert 'a program: rq-3.0.0, 2 CPUs\n' in text
    assert '2.00 s (1.00-3.00), 50.0 jobs/s  1.00 s (0.50-2.00), 100 jobs/s' in text
    assert '1.90 (1.50-2.50)' in text
    (of_rq,) = (line for line in text.splitlines() if line.startswith(profiling.RQ))
    assert of_rq.split()[-3:] == ['250', 'ms', '25%']
    assert 'work-horses' not in text
    assert '200 ms (100-300)' in text


def test_summary_has_the_programs_the_conditions_and_what_starting_costs() -> None:
    summary = report.summary(FOUND)
    assert summary.startswith('| program |')
    assert (
        '| a program | 2.00 s, 50.0 jobs/s | 1.00 s, 100 jobs/s | 1.90 |\n\n- a program: rq-3.0.0, 2 CPUs\n' in summary
    )
    assert summary.endswith('| import rq | 200 ms (100-300) |')


def test_run_is_kept_without_single_rounds(tmp_path: Path) -> None:
    program = {**FOUND['programs'][0], 'ratio': {'q1': 1.5, 'median': 1.9123456, 'q3': 2.5, 'rounds': [1.5, 1.9, 2.5]}}
    kept.keep({**FOUND, 'programs': [program]}, tmp_path / 'kept.json')
    found = kept.read(tmp_path / 'kept.json')
    assert found['programs'][0]['ratio'] == {'q1': 1.5, 'median': 1.912, 'q3': 2.5, 'rounds': 3}
    assert found['start_up'] == FOUND['start_up']
