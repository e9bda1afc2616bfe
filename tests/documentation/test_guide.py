"""The examples of the site run, page by page, on a private Redis with the failed jobs of a web shop."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'docs' / 'program'))

import shop
from rq import Queue
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

if TYPE_CHECKING:
    from private_redis import PrivateRedis
    from redis import Redis

DOCS = Path(__file__).resolve().parents[2] / 'docs'
GUIDE = Sybil([PythonCodeBlockParser(), SkipParser()])
PAGES = {path.stem: list(GUIDE.parse(path)) for path in sorted(DOCS.glob('*.md'))}
# Pages that change the process in which they run.
IN_A_PROCESS_OF_THEIR_OWN = ('install',)
# Those that tests/cluster runs.
ON_A_CLUSTER = ('redis-cluster',)


def pages_with_examples() -> list[str]:
    elsewhere = (*IN_A_PROCESS_OF_THEIR_OWN, *ON_A_CLUSTER)
    return [name for name, examples in PAGES.items() if examples and name not in elsewhere]


@pytest.mark.parametrize('page', pages_with_examples())
def test_examples_of_page_run(
    page: str, redis_server: PrivateRedis, connection: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where they find the server that their readers have.
    monkeypatch.setenv('REDIS_URL', redis_server.url)
    shop.let_jobs_fail(connection)
    for example in PAGES[page]:
        example.evaluate()


def test_program_of_shop_lets_same_jobs_fail(
    redis_server: PrivateRedis, connection: Redis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert '(program/shop.py)' in (DOCS / 'index.md').read_text(encoding='utf-8')
    monkeypatch.setenv('REDIS_URL', redis_server.url)
    copy = shutil.copy(DOCS / 'program' / 'shop.py', tmp_path)
    subprocess.run([sys.executable, copy], check=True, timeout=60)
    queues = [Queue(name, connection=connection) for name in ('mail', 'labels', 'supply')]
    assert [queue.failed_job_registry.count for queue in queues] == [40, 40, 3]


@pytest.mark.parametrize('page', IN_A_PROCESS_OF_THEIR_OWN)
def test_examples_of_page_run_in_own_process(page: str) -> None:
    program = '\n'.join(str(example.parsed) for example in PAGES[page])
    assert program.count('assert') >= 3
    ended = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, '')


def test_pages_without_examples_are_known() -> None:
    without = ['benchmarks', 'command', 'differences', 'failures', 'how-it-works', 'problem-kinds', 'promises']
    without += ['reference', 'rights']
    assert [name for name, examples in PAGES.items() if not examples] == without
