"""The guide's examples run as tests, each page on a private Redis with the failed jobs of a web shop."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / 'tools'), str(HERE / 'program')]

import shop
from private_redis import PrivateRedis
from redis import Redis
from rq import Queue, SimpleWorker
from rq.utils import now, utcformat
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

QUEUES = ('mail', 'labels', 'supply')


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
        connection.hset(f'rq:job:{job_id}', mapping={'ended_at': month_ago, 'enqueued_at': month_ago})


@pytest.fixture(scope='session')
def guide_server() -> Iterator[PrivateRedis]:
    """A running private Redis, which the examples find where their readers have theirs."""
    with PrivateRedis() as server:
        os.environ['REDIS_URL'] = server.url
        yield server


@pytest.fixture(scope='module')
def shop_jobs(guide_server: PrivateRedis) -> Iterator[Any]:
    """A client of the populated server; each page begins with the same jobs."""
    with guide_server.client() as connection:
        connection.flushall()
        populate(connection)
        yield connection


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()], patterns=['*.md'], fixtures=['shop_jobs']
).pytest()
