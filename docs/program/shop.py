"""The jobs of a web shop whose mail server, printer and supplier are down: what the guide's examples work on.

`python shop.py` lets them fail: on the Redis at REDIS_URL, or on the one of this machine.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

from rq import Queue, SimpleWorker
from rq.utils import now, utcformat

if TYPE_CHECKING:
    from redis import Redis


class MailServerDown(Exception):
    """The mail server refused the connection."""


def send_mail(order: int, template: str = 'receipt') -> str:
    """Fail, as long as the mail server is down."""
    raise MailServerDown(f'connection refused, for the {template} of order {order}')


def print_label(order: int) -> str:
    """Fail: this order has no address."""
    raise KeyError(f'address of order {order}')


def ask_supplier(article: str) -> str:
    """Fail: the supplier does not answer."""
    raise TimeoutError(f'no answer about {article}')


def count_stock(article: str) -> int:
    """Succeed."""
    return len(article)


def let_jobs_fail(connection: Redis) -> None:
    """Run 86 jobs in a real worker, of which 83 fail: 40 of these a month ago, for all that Redis knows."""
    mail, labels, supply = (Queue(name, connection=connection) for name in ('mail', 'labels', 'supply'))
    for order in range(40):
        mail.enqueue('shop.send_mail', order, template='receipt' if order % 4 else 'reminder', meta={'shop': 'de'})
        labels.enqueue('shop.print_label', order)
    for article in ('tea', 'pot', 'cup'):
        supply.enqueue('shop.ask_supplier', article)
        supply.enqueue('shop.count_stock', article)
    SimpleWorker([mail, labels, supply], connection=connection).work(burst=True, logging_level='CRITICAL')
    month_ago = utcformat(now() - timedelta(days=31))
    for job_id in [*mail.failed_job_registry.get_job_ids()[:20], *labels.failed_job_registry.get_job_ids()[:20]]:
        connection.hset(f'rq:job:{job_id}', mapping=dict.fromkeys(('enqueued_at', 'started_at', 'ended_at'), month_ago))


if __name__ == '__main__':
    from redis import Redis

    let_jobs_fail(Redis.from_url(os.environ.get('REDIS_URL', 'redis://localhost:6379')))
