"""What the objects of the package show at the prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fakeredis
import pytest
import redis
import redis.sentinel
import rq.registry
from rq import Queue
from rq.job import Job

import rqreg_ext
from rqreg_ext import FailedJobRegistry, executions, registry

if TYPE_CHECKING:
    from private_redis import PrivateRedis


@pytest.mark.parametrize(
    ('client', 'address'),
    [
        (redis.Redis(), 'redis://localhost:6379/0'),
        (redis.Redis('redis.example.org', 6380, 5), 'redis://redis.example.org:6380/5'),
        (redis.Redis(username='operator', password='secret'), 'redis://localhost:6379/0'),
        (redis.Redis(ssl=True), 'rediss://localhost:6379/0'),
        (redis.Redis(unix_socket_path='/run/redis.sock', db=2), 'unix:///run/redis.sock?db=2'),
        (redis.Redis.from_url('redis://:secret@cache:7000/3'), 'redis://cache:7000/3'),
        (redis.sentinel.Sentinel([('sentinel', 26379)]).master_for('mymaster', db=1), 'sentinel://mymaster/1'),
        (object(), 'object'),
    ],
)
def test_registry_shows_queue_and_server_and_no_password(client: Any, address: str) -> None:
    assert repr(FailedJobRegistry('mail', connection=client)) == f"<FailedJobRegistry 'mail' {address}>"


def test_registry_of_executions_shows_its_job() -> None:
    made = rqreg_ext.ExecutionRegistry('a-job', connection=redis.Redis())
    assert repr(made) == "<ExecutionRegistry 'a-job' redis://localhost:6379/0>"


def test_class_of_ones_own_is_shown_by_its_name_or_its_own_repr() -> None:
    class Broken(FailedJobRegistry):
        pass

    class Spoken(FailedJobRegistry):
        def __repr__(self) -> str:
            return 'spoken'

    assert repr(Broken('q', redis.Redis())) == "<Broken 'q' redis://localhost:6379/0>"
    assert repr(Spoken('q', redis.Redis())) == 'spoken'


def test_registry_that_is_not_made_yet_is_shown() -> None:
    assert 'FailedJobRegistry object at' in repr(FailedJobRegistry.__new__(FailedJobRegistry))


def test_registry_of_fakeredis_is_shown() -> None:
    assert repr(FailedJobRegistry('q', fakeredis.FakeRedis())).startswith("<FailedJobRegistry 'q' ")


def test_dir_of_registry_has_what_rqs_has_and_the_calls_of_ours() -> None:
    ours, rqs = (package.FailedJobRegistry('q', connection=redis.Redis()) for package in (rqreg_ext, rq.registry))
    assert set(dir(rqs)) <= set(dir(ours))
    added = {name for name in set(dir(ours)) - set(dir(rqs)) if not name.startswith('__')}
    assert {'purge', 'find', 'get_page', 'check'} <= added
    assert not [name for name in added if name.startswith('_')]


def test_dir_of_modules_has_what_users_call() -> None:
    assert {name for name in dir(rqreg_ext) if not name.startswith('__')} == set(rqreg_ext.__all__)
    assert set(dir(registry)) == {*vars(rq.registry), *(name for name in rqreg_ext.__all__ if hasattr(registry, name))}
    assert dir(executions) == sorted(vars(rq.executions))


def test_repr_of_results_is_a_line_with_their_counts(connection: redis.Redis, redis_server: PrivateRedis) -> None:
    queue = Queue('mail', connection=connection)
    failed = FailedJobRegistry('mail', connection=connection)
    for number in range(3):
        job = Job.create(len, ([],), id=f'job-{number}', connection=connection, origin='mail', status='failed')
        job.save()
        failed.add(job, ttl=1000)
    connection.zadd(failed.key, {'gone': 2e9})
    assert repr(failed.get_page(1, 2)) == '<Page 1 of 2: 2 of 4 entries>'
    assert repr(failed.get_jobs()) == '<JobPage 1 of 1: 3 jobs, 1 missing, of 4 entries>'
    with rqreg_ext.batch(connection) as batch:
        batch.count(failed)
        assert repr(batch) == '<Batch of 1 calls, not sent yet>'
    assert repr(batch) == '<Batch of 1 calls, sent>'
    result = failed.purge(dry_run=True)
    assert repr(result) == f'<BulkResult: {result}>'
    assert repr(result).startswith('<BulkResult: 3 of 4 would be done')
    assert queue.name in repr(failed)
