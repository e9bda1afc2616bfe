"""The scripts of RQ's documentation print and leave behind the same with RQ's imports, under the runner, and with ours.

Each runs twice, in a process of its own, with a private Redis, a real worker process and a page on loopback.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'examples'))

from demo.documented import BROKEN_JOBS, RUNNER, SCRIPTS, Outcome, Script, run, with_rq_imports

STARTED, QUEUE, REMOVING, DELETING = SCRIPTS


def outcome_of_all(script: Script) -> Outcome:
    """Run the script as documented, so under the runner, and with our imports; return what all of them gave."""
    theirs = run(script, with_rq_imports(script.source))
    for ours in (run(script, with_rq_imports(script.source), RUNNER), run(script, script.source)):
        assert ours.output == theirs.output
        assert ours.keys == theirs.keys
    return theirs


def keys_named(outcome: Outcome, prefix: str) -> list[str]:
    return [key for key, _ in outcome.keys if key.startswith(prefix)]


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda script: script.name)
def test_only_import_lines_differ(script: Script) -> None:
    ours = script.source.splitlines()
    theirs = with_rq_imports(script.source).splitlines()
    changed = [(our, their) for our, their in zip(ours, theirs, strict=True) if our != their]
    assert changed
    assert all(our.startswith('from rqreg_ext') for our, _ in changed)
    assert all(their == our.replace('from rqreg_ext', 'from rq', 1) for our, their in changed)
    assert 'rqreg_ext' not in with_rq_imports(script.source)


def test_script_on_started_jobs_prints_same_three_ways() -> None:
    outcome = outcome_of_all(STARTED)
    queue, *answers = outcome.output.splitlines()
    assert queue.startswith('Queue associated with the registry: ')
    assert answers == [
        'Number of jobs in registry 1',
        "IDs in registry ['<job id>']",
        'Job in registry True',
        'Job in registry True',
    ]
    assert keys_named(outcome, 'rq:finished:default')


def test_script_on_registries_of_a_queue_prints_what_it_documents() -> None:
    outcome = outcome_of_all(QUEUE)
    documented = [line.partition('  # ')[2] for line in QUEUE.source.splitlines() if '# Returns' in line]
    assert outcome.output.splitlines() == documented


def test_script_on_removing_jobs_leaves_same_three_ways() -> None:
    outcome = outcome_of_all(REMOVING)
    assert not keys_named(outcome, 'rq:failed:default')
    assert keys_named(outcome, 'rq:job:') == [f'rq:job:{job_id}' for job_id in BROKEN_JOBS]


def test_script_on_removing_jobs_removes_and_deletes_them() -> None:
    outcome = outcome_of_all(DELETING)
    assert not keys_named(outcome, 'rq:failed:default')
    assert not keys_named(outcome, 'rq:job:')
