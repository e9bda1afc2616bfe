"""The examples of the site run, page by page, on a private Redis with the failed jobs of a web shop."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / 'docs' / 'program'))

import shop
from rq import Queue, SimpleWorker
from rq.utils import now, utcformat
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

if TYPE_CHECKING:
    from private_redis import PrivateRedis
    from redis import Redis

DOCS = Path(__file__).resolve().parent.parent / 'docs'
GUIDE = Sybil([PythonCodeBlockParser(), SkipParser()])
PAGES = {path.stem: list(GUIDE.parse(path)) for path in sorted(DOCS.glob('*.md'))}
QUEUES = ('mail', 'labels', 'supply')
# Pages that change the process in which they run.
IN_A_PROCESS_OF_THEIR_OWN = ('install',)


def populate(connection: Redis) -> None:
    """Let jobs fail in a real worker: half of them a month ago, for all that Redis knows."""
    mail, labels, supply = (Queue(name, connection=connection) for name in QUEUES)
    for order in range(40):
        mail.enqueue(shop.send_mail, order, template='receipt' if order % 4 else 'reminder', meta={'shop': 'de'})
        labels.enqueue(shop.print_label, order)
    for article in ('tea', 'pot', 'cup'):
        supply.enqueue(shop.ask_supplier, article)
        supply.enqueue(shop.count_stock, article)
    SimpleWorker([mail, labels, supply], connection=connection).work(burst=True, logging_level='CRITICAL')
    month_ago = utcformat(now() - timedelta(days=31))
    for job_id in [*mail.failed_job_registry.get_job_ids()[:20], *labels.failed_job_registry.get_job_ids()[:20]]:
        connection.hset(f'rq:job:{job_id}', mapping=dict.fromkeys(('enqueued_at', 'started_at', 'ended_at'), month_ago))


def pages_with_examples() -> list[str]:
    return [name for name, examples in PAGES.items() if examples and name not in IN_A_PROCESS_OF_THEIR_OWN]


@pytest.mark.parametrize('page', pages_with_examples())
def test_the_examples_of(
    page: str, redis_server: PrivateRedis, connection: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where they find the server that their readers have.
    monkeypatch.setenv('REDIS_URL', redis_server.url)
    populate(connection)
    for example in PAGES[page]:
        example.evaluate()


@pytest.mark.parametrize('page', IN_A_PROCESS_OF_THEIR_OWN)
def test_the_examples_in_a_process_of_their_own_of(page: str) -> None:
    program = '\n'.join(str(example.parsed) for example in PAGES[page])
    assert program.count('assert') >= 3
    ended = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, '')


def test_pages_without_examples() -> None:
    without = ['benchmarks', 'differences', 'failures', 'problem-kinds', 'reference']
    assert [name for name, examples in PAGES.items() if not examples] == without
