"""RQ releases: one that is too old is refused, and with one newer than those in the table RQ's methods are called.

Each case is a program of its own, because the installed release is checked once per process.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import rq.registry
from private_redis import PrivateRedis

from rqreg_ext._fastpath import releases, script_constants

ROOT = Path(__file__).resolve().parent.parent.parent

# Counts, lists, requeues and deletes failed jobs; prints the results, whether scripts were run, and the keys.
CALLS = """
import time
from rq import Queue
from rqreg_ext import registry, Queue as OurQueue

queue = OurQueue('q', connection=client)
jobs = [Queue('q', connection=client).enqueue('time.sleep', 0, job_id=name) for name in ('a', 'b')]
for job in jobs:
    queue.remove(job)
    job.set_status('failed')
    registry.FailedJobRegistry(queue=queue).add(job, 1000, 'boom')
failed = queue.failed_job_registry
client.config_resetstat()
print(failed.count, sorted(failed.get_job_ids()), 'a' in failed, 'x' in failed)
print(failed.requeue('a').id, failed.remove('b', delete_job=True), failed.count, len(queue.started_job_registry))
failed.cleanup()
commands = {name.removeprefix('cmdstat_') for name in client.info('commandstats')}
print('scripts' if commands & {'eval', 'evalsha'} else 'no scripts')
print(sorted(key.decode() for key in client.keys()))
"""
ANSWERS = "2 ['a', 'b'] True False\na 1 0 0\n"


def run(redis_server: PrivateRedis, program: str, *, version: str | None = None) -> str:
    """Run the program in a new interpreter, with this version as RQ's, and return what it printed."""
    lines = [f'import sys; sys.path.insert(0, {str(ROOT)!r})'] if (ROOT / 'rqreg_ext').is_dir() else []
    if version:
        lines.append(f'import rq.version; rq.version.VERSION = {version!r}')
    lines += ['import redis', f'client = redis.Redis(port={redis_server.port}, db=3)', 'client.flushdb()', program]
    result = subprocess.run(
        [sys.executable, '-c', '\n'.join(lines)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return result.stdout + result.stderr


OLDEST = '.'.join(map(str, releases.OLDEST))


@pytest.mark.parametrize('version', ['1.16.2', '2.0.0', '2.4.0'])
def test_too_old_release_is_refused(redis_server: PrivateRedis, version: str) -> None:
    printed = run(redis_server, 'import rqreg_ext.registry', version=version)
    assert f'ImportError: rqreg_ext needs RQ {OLDEST} or newer, and RQ {version} is installed' in printed
    assert f"pip install --upgrade 'rq>={OLDEST}'" in printed


@pytest.mark.parametrize('version', ['2.4.1', '2.5.0', '2.6.0'])
def test_release_before_2_6_1_is_in_table(redis_server: PrivateRedis, version: str) -> None:
    assert run(redis_server, CALLS, version=version).startswith(ANSWERS + 'scripts\n')


def test_package_requires_the_oldest_release_of_the_table() -> None:
    assert releases.OLDEST[:2] == min(releases.RELEASES)
    project = ROOT / 'pyproject.toml'
    if project.is_file():
        assert f'"rq>={OLDEST}"' in project.read_text(encoding='utf-8')


@pytest.mark.parametrize('version', ['3.1.0', '4.0.0rc1', '10.2'])
def test_newer_release_uses_fallback(redis_server: PrivateRedis, version: str) -> None:
    printed = run(redis_server, CALLS, version=version)
    assert printed.startswith(ANSWERS + 'no scripts\n')


def test_table_lists_cleaned_registries_of_installed_release() -> None:
    names = [name for name in rq.registry.clean_registries.__code__.co_names if name.endswith('Registry')]
    rate_limits = ['RateLimitRegistry'] if script_constants.rate_limits_key is not None else []
    assert [*releases.release.cleaned, *rate_limits] == names


def test_installed_release_is_in_table(redis_server: PrivateRedis) -> None:
    printed = run(redis_server, CALLS)
    assert printed == ANSWERS + "scripts\n['rq:job:a', 'rq:queue:q', 'rq:queues']\n"
