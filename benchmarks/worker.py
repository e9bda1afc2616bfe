"""A worker process of RQ that ends when its queue is empty: `python -m benchmarks.worker HOST PORT DB QUEUE`.

In a process of its own, as a worker takes over its process's signals.
"""

from __future__ import annotations

import sys

import redis
from rq import Queue, SimpleWorker

host, port, database, name = sys.argv[1:]
connection = redis.Redis(host=host, port=int(port), db=int(database))
SimpleWorker([Queue(name, connection=connection)], connection=connection).work(burst=True, logging_level='CRITICAL')
