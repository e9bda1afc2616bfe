"""`rqreg stats`."""

from __future__ import annotations

import json
import signal
from datetime import datetime, timezone

import pytest
from private_redis import PrivateRedis
from redis import Redis
from rq import Queue, Worker

from .running import Command

COUNTS = {'queued', 'started', 'finished', 'failed', 'deferred', 'scheduled', 'canceled', 'ready'}
QUEUE = {'queue', 'oldest', 'oldest_age', 'workers', *COUNTS}


@pytest.mark.parametrize('columns', ['80', '200'])
def test_table_of_stats_fits_terminal(columns: str, rqreg: Command) -> None:
    ended = rqreg('stats', COLUMNS=columns)
    assert (ended.status, ended.err) == (0, '')
    assert ended.lines == [
        'queue   queued  oldest  started  finished  failed  workers',
        'labels       0       -        0         0      40        0',
        'mail         0       -        0         0      40        0',
        'supply       0       -        0         3       3        0',
        'total        0       -        0         3      83        0',
        '0 workers',
    ]


def test_stats_of_all_registries_fits_80_columns(connection: Redis, changing: Command) -> None:
    for name in ('finished', 'failed', 'deferred', 'scheduled', 'canceled'):
        connection.zadd(f'rq:{"wip" if name == "started" else name}:mail', {f'job-{n}': 4e9 for n in range(12345)})
    ended = changing('stats', 'mail', COLUMNS='80')
    title, row, _ = ended.lines
    assert max(map(len, ended.lines)) <= 80
    assert title.split()[:4] == ['queue', 'queue', 'oldest', 'start']
    assert row.split().count('12345') == 5


def test_json_has_counts_and_total(rqreg: Command) -> None:
    found = rqreg('stats', '--output', 'json').json
    assert set(found) == {'schema', 'time', 'queues', 'total', 'workers', 'errors'}
    assert found['schema'] == 1
    assert abs((datetime.now(timezone.utc) - datetime.fromisoformat(found['time'][:-1] + '+00:00')).seconds) < 60
    assert [set(queue) for queue in found['queues']] == [QUEUE] * 3
    assert [queue['queue'] for queue in found['queues']] == ['labels', 'mail', 'supply']
    assert set(found['total']) == COUNTS
    assert (found['total']['failed'], found['workers'], found['errors']) == (83, {}, {})


def test_json_lines_have_one_queue_each(rqreg: Command) -> None:
    found = rqreg('stats', '--output', 'jsonl', 'm*', 'labels').values
    assert [set(queue) for queue in found] == [QUEUE | {'schema', 'time'}] * 2
    assert [queue['queue'] for queue in found] == ['labels', 'mail']


def test_stats_counts_workers_and_waiting_jobs(connection: Redis, changing: Command) -> None:
    queue = Queue('mail', connection=connection)
    for _ in range(3):
        queue.enqueue('len', ())
    worker = Worker([queue], connection=connection)
    worker.register_birth()
    worker.set_state('idle')
    (found,) = changing('stats', '-o', 'json').json['queues']
    assert (found['queued'], found['workers']) == (3, {'idle': 1})
    assert 0 <= found['oldest_age'] < 60
    lines = changing('stats').lines
    assert lines[-1] == '1 worker: 1 idle'
    assert lines[1].split()[:2] == ['mail', '3']


@pytest.mark.parametrize(
    ('sort', 'order'), [('name', ['a', 'b', 'c']), ('failed', ['c', 'a', 'b']), ('queued', ['b', 'a', 'c'])]
)
def test_sort_option_orders_queues_by_column(sort: str, order: list[str], connection: Redis, changing: Command) -> None:
    for name, failed in (('a', 2), ('b', 1), ('c', 3)):
        connection.sadd('rq:queues', f'rq:queue:{name}')
        connection.zadd(f'rq:failed:{name}', {f'job-{n}': 4e9 for n in range(failed)})
    connection.rpush('rq:queue:b', 'job-9')
    assert [queue['queue'] for queue in changing('stats', '--sort', sort, '-o', 'jsonl').values] == order


def test_unreadable_queue_is_left_out_with_status_1(connection: Redis, changing: Command) -> None:
    connection.sadd('rq:queues', 'rq:queue:mail', 'rq:queue:labels')
    connection.set('rq:failed:mail', 'text')
    ended = changing('stats', '-o', 'json')
    assert ended.status == 1
    assert list(ended.json['errors']) == ['mail']
    assert "queue 'mail' was left out: ResponseError: WRONGTYPE" in ended.err


def test_watch_shows_what_has_changed(connection: Redis, changing: Command) -> None:
    connection.sadd('rq:queues', 'rq:queue:mail')
    process = changing.start('stats', '--watch', '0.5', '--output', 'jsonl')
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    connection.zadd('rq:failed:mail', {'a': 4e9, 'b': 4e9})
    later = first
    while later['failed'] == 0:
        later = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert 'changes' not in first
    assert (set(later['changes']), later['changes']['failed']) == (COUNTS, 2)
    assert later['rates']['failed'] > 0
    assert (process.returncode, err) == (130, 'rqreg: interrupted\n')


def test_watch_draws_changes_at_terminal(connection: Redis, changing: Command) -> None:
    connection.sadd('rq:queues', 'rq:queue:mail')
    terminal = changing.at_terminal('stats', '--watch', '0.5')
    terminal.wait_for('no change')
    connection.zadd('rq:failed:mail', {'a': 4e9, 'b': 4e9})
    terminal.wait_for('failed +')
    terminal.type('\x03')
    assert terminal.end() == 130
    assert '2 (+2)' in terminal.text
    assert '\x1b[2J' in terminal.text


def test_server_lost_during_watch_is_status_4() -> None:
    with PrivateRedis() as server:
        server.client().sadd('rq:queues', 'rq:queue:mail')
        process = Command(server.url).start('stats', '--watch', '0.2', '-o', 'jsonl')
        assert process.stdout is not None
        process.stdout.readline()
        server.kill()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert err.startswith('rqreg: no answer from the server: ')
