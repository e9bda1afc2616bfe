"""The calls on registries with RQ_KEY_PREFIX (RQ 3). It is read at import, so they run in a new process."""

from __future__ import annotations

import pytest

from key_prefix.programs import assert_every_key_has, needs_key_prefix

PROGRAM = """
import io

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
    jobs = rqreg_ext.get_jobs(client, ['job-01', 'nobody'], with_results=True)
    assert [job and job.id for job in jobs] == ['job-01', None]
    assert 'TypeError' in jobs.results['job-01'].exc_string
    assert [job.id for job in rqreg_ext.list_jobs(client, order_by='enqueued_at')] == ids
    other = Queue('other', connection=client)
    waiting = [other.enqueue(len, job_id=f'run-{number}') for number in range(4)]
    for job, name in zip(waiting[:3], ('w1', 'w2', 'w3')):
        worker = SimpleWorker([other], connection=client, name=name)
        worker.register_birth()
        other.remove(job)
        worker.prepare_execution(job)
        worker.prepare_job_execution(job)
    shot = rqreg_ext.snapshot(client, worker_details=True, oldest=True)
    assert {name: each.current_job_id for name, each in shot.worker_details.items()} == {
        'w1': 'run-0', 'w2': 'run-1', 'w3': 'run-2'
    }
    assert shot['other'].oldest == Job.fetch('run-3', client).enqueued_at
    started = rqreg_ext.Queue('other', connection=client).started_job_registry
    assert started.stop_all().skipped == {'no worker listens': 3}
    assert started.remove_many(['run-0'], delete_job=True).done == 1
    assert started.fail_many(['run-1']).done == 1
    assert started.get_job_ids() == ['run-2']
    assert rqreg_ext.purge(client, queues=['other'], keep_newest=1).total.done == 0
    with rqreg_ext.batch(client) as batch:
        count = batch.count(failed)
    assert count.result() == 12
    file = io.BytesIO()
    assert failed.export(file).done == 12
    assert failed.trim(keep=4).done == 8
    file.seek(0)
    assert rqreg_ext.restore(client, file, skip_existing=True).total.done == 8
    assert sorted(failed.get_job_ids()) == ids
    assert failed.purge(func_name='*max').done == 4
    assert failed.requeue_many(['job-01', 'job-02']).by_rq == 0
    assert sorted(queue.job_ids) == ['job-01', 'job-02']
    assert failed.cancel_many(['job-04']).by_rq == 0
    assert Job.fetch('job-04', client).is_canceled
    Job.fetch('job-05', client).delete(remove_from_queue=False)
    client.zadd(failed.key, {'job-05': 4e9})
    assert len(failed.check(settle=0)) == 1
    assert failed.repair(failed.check(settle=0)).repaired
    assert failed.requeue_all().done == 4
    assert failed.count == 0
    print(*(key.decode() for key in client.keys('*')))
"""


@needs_key_prefix
@pytest.mark.parametrize('prefix', ['{app}', 'app:rq'])
def test_every_call_uses_key_prefix(prefix: str) -> None:
    assert_every_key_has(prefix, PROGRAM)
