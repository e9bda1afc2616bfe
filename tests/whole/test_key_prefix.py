"""The calls on whole registries under RQ_KEY_PREFIX (RQ 3), which is read at import: in a new process."""

from __future__ import annotations

import pytest
from key_prefix import assert_every_key_has, needs_key_prefix

PROGRAM = """
import redis
from private_redis import PrivateRedis
from rq import Queue, SimpleWorker
from rq.job import Job

import rqreg_ext

with PrivateRedis() as server:
    client = server.client()
    queue = Queue('q', connection=client)
    for number in range(12):
        queue.enqueue(len if number % 3 else max, number, job_id=f'job-{number:02}', meta={'n': number})
    SimpleWorker([queue], connection=client).work(burst=True, logging_level='CRITICAL')
    failed = rqreg_ext.Queue('q', connection=client).failed_job_registry
    ids = [f'job-{number:02}' for number in range(12)]
    assert sorted(failed.iter_job_ids(chunk_size=5)) == ids
    assert failed.contains_many(['job-03', 'nobody']) == [True, False]
    assert failed.get_page(1, 5).total == 12
    assert len(failed.get_jobs(1, 5).jobs) == 5
    assert sorted(failed.find(func_name='*max')) == ids[::3]
    found = dict(failed.find(meta={'n': 4}, fields=['exc_info']))
    assert 'TypeError' in found['job-04']['exc_info']
    assert not failed.check(settle=0)
    shot = rqreg_ext.snapshot(client)
    assert (shot['q'].failed, shot['q'].queued, shot.total.failed) == (12, 0, 12)
    with rqreg_ext.batch(client) as batch:
        count = batch.count(failed)
    assert count.result() == 12
    assert failed.purge(func_name='*max').done == 4
    assert failed.requeue_many(['job-01', 'job-02']).by_rq == 0
    assert sorted(queue.job_ids) == ['job-01', 'job-02']
    assert failed.cancel_many(['job-04']).by_rq == 0
    assert Job.fetch('job-04', client).is_canceled
    Job.fetch('job-05', client).delete(remove_from_queue=False)
    client.zadd(failed.key, {'job-05': 4e9})
    assert len(failed.check(settle=0)) == 1
    assert failed.repair(failed.check(settle=0)).mended
    assert failed.requeue_all().done == 4
    assert failed.count == 0
    print(*(key.decode() for key in client.keys('*')))
"""


@needs_key_prefix
@pytest.mark.parametrize('prefix', ['{app}', 'app:rq'])
def test_every_call_finds_and_writes_keys_with_the_prefix(prefix: str) -> None:
    assert_every_key_has(prefix, PROGRAM)
