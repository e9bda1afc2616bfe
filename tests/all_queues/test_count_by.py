"""count_by() over many queues."""

from __future__ import annotations

from typing import Any

import pytest
import redis
import rq
from redis.exceptions import ResponseError
from rq.job import Job
from rq.serializers import JSONSerializer

import rqreg_ext
from rqreg_ext import JobGroups


def put_jobs(client: Any) -> None:
    for queue in ('high', 'low'):
        client.sadd('rq:queues', f'rq:queue:{queue}')
        for number in range(3 if queue == 'high' else 1):
            job = Job.create('app.send', connection=client, id=f'{queue}-{number}', origin=queue)
            job.save()
            client.zadd(f'rq:failed:{queue}', {job.id: 4e9})
    client.zadd('rq:wip:low', {'low-0:1': 4e9})


def counts(groups: JobGroups) -> dict[Any, int]:
    return {tuple(group.values.values()): group.count for group in groups}


def test_all_queues_are_counted(any_client: Any, storing_client: Any) -> None:
    put_jobs(storing_client)
    assert counts(rqreg_ext.count_by(any_client, 'queue')) == {('high',): 3, ('low',): 1}
    assert counts(rqreg_ext.count_by(any_client, 'func_name')) == {('app.send',): 4}
    assert counts(rqreg_ext.count_by(any_client, 'queue', queues='low')) == {('low',): 1}
    assert counts(rqreg_ext.count_by(any_client, 'queue', registry='started')) == {('low',): 1}
    assert counts(rqreg_ext.count_by(any_client, 'queue', job_id='*-2')) == {('high',): 1}
    assert rqreg_ext.count_by(any_client, 'queue', registry='finished').total == 0


def test_queue_objects_are_taken(connection: redis.Redis) -> None:
    put_jobs(connection)
    queue = rq.Queue('low', connection=connection, serializer=JSONSerializer)
    job = Job.create('app.json', connection=connection, id='json', origin='low', serializer=JSONSerializer)
    job.save()
    connection.zadd('rq:failed:low', {'json': 4e9})
    groups = rqreg_ext.count_by(connection, 'func_name', queues=[queue])
    assert counts(groups) == {('app.json',): 1}
    # The other one is a pickle.
    assert groups.skipped == {'unreadable func_name': 1}


def test_error_of_one_queue_is_in_errors(connection: redis.Redis) -> None:
    put_jobs(connection)
    connection.sadd('rq:queues', 'rq:queue:odd', 'rq:queue:spoiled')
    connection.set('rq:failed:odd', 'x')
    connection.zadd('rq:failed:spoiled', {b'\xff': 4e9})
    groups = rqreg_ext.count_by(connection, 'queue')
    assert counts(groups) == {('high',): 3, ('low',): 1}
    assert {name: (type(error), error.key) for name, error in groups.errors.items()} == {  # type: ignore[attr-defined]
        'odd': (ResponseError, 'rq:failed:odd'),
        'spoiled': (UnicodeDecodeError, 'rq:failed:spoiled'),
    }
    assert "'odd' ended with ResponseError" in str(groups)
    assert '2 queues ended with an error' in repr(groups)
    assert set(groups.to_dict()['errors']) == {'odd', 'spoiled'}


def test_bad_registry_is_refused(connection: redis.Redis) -> None:
    for registry, words in (
        ('fail', r"did you mean 'failed'\?"),
        ('waiting', 'take WaitingJobs'),
        (5, 'go into queues='),
    ):
        message = rf"registry={registry!r} names no registry of RQ: give one of 'started', .*{words}"
        with pytest.raises(ValueError, match=message):
            rqreg_ext.count_by(connection, 'queue', registry=registry)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no queue 'nobody'"):
        rqreg_ext.count_by(connection, 'queue', queues='nobody')
