"""The command on a Redis Cluster, where RQ's keys share a hash tag."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import rq.defaults
from private_cluster import PrivateCluster
from private_redis import free_port

from .running import Command, Ended

pytestmark = pytest.mark.skipif(not hasattr(rq.defaults, 'RQ_KEY_PREFIX'), reason='this RQ has no key prefix')


@pytest.fixture(scope='module')
def cluster() -> Iterator[PrivateCluster]:
    with PrivateCluster(masters=3, replicas=0) as running:
        yield running


def test_commands_work_on_cluster(cluster: PrivateCluster) -> None:
    command = Command(f'redis+cluster://127.0.0.1:{cluster.masters[0].port}')

    def rqreg(*arguments: str) -> Ended:
        return command(*arguments, RQ_KEY_PREFIX='{rq}')

    client = cluster.client()
    client.sadd('{rq}:queues', '{rq}:queue:mail', '{rq}:queue:labels')
    for number in range(5):
        name = f'job-{number}'
        fields = {
            'created_at': '2026-11-29T10:00:00.000000Z',
            'origin': 'mail',
            'status': 'failed',
            'data': b'\x80\x04.',
        }
        client.hset(f'{{rq}}:job:{name}', mapping=fields)
        client.zadd('{rq}:failed:mail', {name: 4e9 + number})
    assert [queue['failed'] for queue in rqreg('stats', '-o', 'jsonl').values] == [0, 5]
    assert rqreg('ls', '--fields', 'status', '-o', 'ids').lines == [f'job-{number}' for number in range(5)]
    assert rqreg('show', 'job-1', '-o', 'jsonl').values[0]['places'][0]['place'] == 'failed'
    assert rqreg('delete', '--all-queues', '--id', 'job-[23]', '--yes').lines[0].startswith('deleted 2 of 2 jobs')
    assert client.zcard('{rq}:failed:mail') == 3
    assert rqreg('check', '--failed', '3').status == 0
    exported = rqreg('exporter', '--once', '--errors', '3')
    assert (exported.status, exported.err) == (0, '')
    assert 'rq_jobs{queue="mail",status="failed"} 3.0' in exported.lines
    assert rqreg('fsck', '--settle', '0.1').status in (0, 1)
    terminal = command.at_terminal('top', RQ_KEY_PREFIX='{rq}')
    terminal.wait_for('3 failed')
    terminal.wait_for('1-2 of 3')
    terminal.type('3d')
    terminal.wait_for('delete job of mail (job-4)?')
    terminal.type('y')
    terminal.wait_for('deleted 1 of 1 job')
    terminal.type('q')
    assert terminal.end() == 0
    assert client.zcard('{rq}:failed:mail') == 2


def test_missing_cluster_is_status_4() -> None:
    ended = Command(f'redis+cluster://127.0.0.1:{free_port()}')('stats')
    assert (ended.status, ended.out) == (4, '')
    assert len(ended.err.splitlines()) == 1
