"""`rqreg exporter --once`, and the values of the metrics."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cli.running import Command, words
from documents import DOCS, source_of
from private_redis import PrivateRedis
from redis import Redis
from rq import Queue, SimpleWorker, Worker

from .serving import named, samples_in, value

QUEUES = ('labels', 'mail', 'supply')
STATUSES = {'queued', 'started', 'finished', 'failed', 'deferred', 'scheduled', 'canceled'}


def once(command: Command, *arguments: str, status: int = 0, err: str = '') -> dict:
    ended = command('exporter', '--once', *arguments)
    assert (ended.status, ended.err) == (status, err)
    return samples_in(ended.out)


def test_jobs_are_counted_by_queue_and_status(rqreg: Command) -> None:
    samples = once(rqreg)
    jobs = named(samples, 'rq_jobs')
    assert {queue for queue, _ in jobs} == set(QUEUES)
    assert {status for _, status in jobs} - {'ready'} == STATUSES
    assert {key: count for key, count in jobs.items() if count} == {
        ('labels', 'failed'): 40,
        ('mail', 'failed'): 40,
        ('supply', 'failed'): 3,
        ('supply', 'finished'): 3,
    }
    assert named(samples, 'rq_queue_latency_seconds') == {(name,): 0 for name in QUEUES}
    assert named(samples, 'rq_queue_workers') == {(name,): 0 for name in QUEUES}


def test_exporter_reports_its_own_scrape(rqreg: Command) -> None:
    samples = once(rqreg)
    assert value(samples, 'rq_up') == 1
    assert set(named(samples, 'rq_scrape_errors').values()) == {0}
    assert {part for (part,) in named(samples, 'rq_scrape_errors')} == {'queues', 'latency', 'workers', 'errors'}
    assert value(samples, 'rq_request_processing_seconds_count') == 1
    seconds = value(samples, 'rq_request_processing_seconds_sum')
    assert value(samples, 'rq_scrape_duration_seconds') == seconds
    assert seconds
    assert len(named(samples, 'rq_exporter_build_info')) == 1
    # Those of the process are node_exporter's own, where it reads the file.
    assert not [name for name, _ in samples if name.startswith(('process_', 'python_'))]


def test_workers_are_counted_by_state_and_queue(connection: Redis, changing: Command) -> None:
    queues = [Queue(name, connection=connection) for name in ('mail', 'labels')]
    for _ in range(3):
        queues[0].enqueue('len', ())
    queues[1].enqueue('no.such_function')
    first = SimpleWorker(queues, connection=connection, name='first')
    first.work(burst=True, logging_level='CRITICAL')
    job = queues[0].enqueue('len', ())
    for name, state in (('first', 'busy'), ('second', 'idle')):
        worker = first if name == 'first' else Worker(queues[:1], connection=connection, name=name)
        connection.delete(worker.key)
        worker.register_birth()
        worker.set_state(state)
    first.prepare_execution(job)
    first.refresh()
    samples = once(changing)
    assert named(samples, 'rq_workers_by_state') == {('busy',): 1, ('idle',): 1, ('suspended',): 0}
    assert named(samples, 'rq_workers') == {('first', 'mail,labels', 'busy'): 1, ('second', 'mail', 'idle'): 1}
    assert named(samples, 'rq_queue_workers') == {('mail',): 2, ('labels',): 1}
    for name in ('success', 'failed', 'working_time'):
        assert set(named(samples, f'rq_workers_{name}_total')) == {('first', 'mail,labels'), ('second', 'mail')}
    assert [name for name, _ in named(samples, 'rq_worker_job_start_timestamp_seconds')] == ['first']


def test_jobs_of_a_worker_are_counted(connection: Redis, changing: Command) -> None:
    queue = Queue('mail', connection=connection)
    for _ in range(3):
        queue.enqueue('len', ())
    queue.enqueue('no.such_function')
    # A worker takes its name out of Redis when it ends.
    worker = SimpleWorker([queue], connection=connection, name='first')
    worker.register_death = lambda: None
    worker.work(burst=True, logging_level='CRITICAL')
    samples = once(changing)
    counts = {'successful_job_count': 'success', 'failed_job_count': 'failed', 'total_working_time': 'working_time'}
    stored = connection.hgetall(worker.key)
    assert stored[b'successful_job_count'] == b'3'
    for field, name in counts.items():
        (found,) = named(samples, f'rq_workers_{name}_total').values()
        assert found == float(stored[field.encode()]), name


def test_metrics_have_no_names_of_workers_if_so_asked(connection: Redis, changing: Command) -> None:
    worker = Worker([Queue('mail', connection=connection)], connection=connection, name='first')
    worker.register_birth()
    worker.set_state('started')
    samples = once(changing, '--no-worker-names')
    assert named(samples, 'rq_workers_by_state')['started',] == 1
    assert not [name for name, labels in samples if 'name' in dict(labels)]


def test_latency_is_that_of_oldest_waiting_job(connection: Redis, changing: Command) -> None:
    queue = Queue('mail', connection=connection)
    for _ in range(2):
        job = queue.enqueue('len', ())
    connection.hset(job.key, 'enqueued_at', '2020-01-01T00:00:00.000000Z')
    samples = once(changing)
    assert 1e8 < (value(samples, 'rq_queue_latency_seconds', queue='mail') or 0) < 1e10
    assert value(samples, 'rq_jobs', queue='mail', status='queued') == 2


def test_queues_are_selected_by_name_and_glob(rqreg: Command) -> None:
    assert {queue for queue, _ in named(once(rqreg, 'm*', 'labels'), 'rq_jobs')} == {'mail', 'labels'}
    # One that is not there yet has no jobs, and a glob may match nothing.
    samples = once(rqreg, 'later', 'x*')
    assert set(named(samples, 'rq_jobs').values()) == {0}
    assert {queue for queue, _ in named(samples, 'rq_jobs')} == {'later'}


def test_failed_jobs_are_counted_by_function_and_exception(rqreg: Command) -> None:
    samples = once(rqreg, '--errors', '2')
    found = named(samples, 'rq_failed_jobs')
    assert found == {('KeyError', 'shop.print_label'): 40, ('shop.MailServerDown', 'shop.send_mail'): 40}
    assert value(samples, 'rq_failed_jobs', function='shop.print_label', exception='KeyError') == 40
    assert (value(samples, 'rq_failed_jobs_read_timestamp_seconds') or 0) > 1.6e9
    assert named(once(rqreg, '--errors', '9', 'supply'), 'rq_failed_jobs') == {('TimeoutError', 'shop.ask_supplier'): 3}
    assert not named(once(rqreg), 'rq_failed_jobs')


NAMES = ['a "quoted" one', 'back\\slash', 'two\nlines', 'tab\t, bell\a', 'Grüße 世界 🐇', '{}', "it's", ' ', '%s']


def test_names_with_any_characters_are_read_back(connection: Redis, changing: Command) -> None:
    for name in NAMES:
        connection.sadd('rq:queues', f'rq:queue:{name}')
        connection.zadd(f'rq:failed:{name}', {'a': 4e9})
    samples = once(changing)
    assert {queue for queue, status in named(samples, 'rq_jobs') if status == 'failed'} == set(NAMES)
    assert all(value(samples, 'rq_jobs', queue=name, status='failed') == 1 for name in NAMES)


def test_unreadable_queue_is_left_out_with_status_1(connection: Redis, changing: Command) -> None:
    connection.sadd('rq:queues', 'rq:queue:mail', 'rq:queue:labels')
    connection.set('rq:failed:mail', 'text')
    ended = changing('exporter', '--once')
    assert ended.status == 1
    assert ended.err.startswith("rqreg: queue 'mail' is left out: ResponseError: WRONGTYPE")
    samples = samples_in(ended.out)
    assert {queue for queue, _ in named(samples, 'rq_jobs')} == {'labels'}
    assert (value(samples, 'rq_up'), value(samples, 'rq_scrape_errors', part='queues')) == (1, 1)


def test_damaged_worker_leaves_workers_out_only(connection: Redis, changing: Command) -> None:
    connection.sadd('rq:queues', 'rq:queue:mail')
    connection.sadd('rq:workers', 'rq:worker:odd')
    connection.hset('rq:worker:odd', mapping={'birth': 'x', 'state': b'\xff', 'pid': 'many'})
    ended = changing('exporter', '--once')
    assert (ended.status, ended.err.startswith('rqreg: workers not read: ')) == (1, True)
    samples = samples_in(ended.out)
    assert value(samples, 'rq_jobs', queue='mail', status='failed') == 0
    assert (value(samples, 'rq_up'), value(samples, 'rq_scrape_errors', part='workers')) == (1, 1)
    assert not named(samples, 'rq_workers_by_state')


def test_user_with_few_rights_gets_readable_metrics(redis_server: PrivateRedis, shop_jobs: Redis) -> None:
    Queue('mail', connection=shop_jobs).enqueue('len', ())
    commands = ('+smembers', '+llen', '+zcard', '+time', '+exists', '+sort', '+lrange')
    keys = ('~rq:queues', '~rq:queue:*', '~rq:wip:*', '~rq:finished:*', '~rq:failed:mail', '~rq:failed:labels')
    others = ('~rq:deferred:*', '~rq:scheduled:*', '~rq:canceled:*', '~rq:ready:*')
    shop_jobs.execute_command('ACL', 'SETUSER', 'few', 'reset', 'on', '>secret', *commands, *keys, *others)
    try:
        url = redis_server.url.replace('redis://', 'redis://few:secret@')
        ended = Command(url)('exporter', '--once', '--errors', '5')
    finally:
        shop_jobs.execute_command('ACL', 'DELUSER', 'few')
    samples = samples_in(ended.out)
    assert ended.status == 1
    assert {queue for queue, _ in named(samples, 'rq_jobs')} == {'mail', 'labels'}
    assert value(samples, 'rq_jobs', queue='mail', status='failed') == 40
    assert value(samples, 'rq_up') == 1
    # The queue `supply`; where a job waits, its latency; the workers; the failed jobs.
    # Redis 6 does not ask for the rights to what SORT gets.
    latency = int(shop_jobs.info('server')['redis_version'] >= '7')
    assert named(samples, 'rq_scrape_errors') == {
        ('queues',): 1,
        ('latency',): latency,
        ('workers',): 1,
        ('errors',): 1,
    }
    assert not named(samples, 'rq_workers_by_state')
    assert {*named(samples, 'rq_queue_latency_seconds')} == ({('labels',)} if latency else {('labels',), ('mail',)})
    for text in ("queue 'supply'", 'workers not read', 'failed jobs not counted'):
        assert text in ended.err
    assert ("queue 'mail'" in ended.err) == bool(latency)


def test_documented_rights_give_all_metrics(redis_server: PrivateRedis, shop_jobs: Redis) -> None:
    Queue('mail', connection=shop_jobs).enqueue('len', ())
    worker = SimpleWorker([Queue('mail', connection=shop_jobs)], connection=shop_jobs, name='first')
    worker.register_birth()
    worker.prepare_execution(worker.queues[0].enqueue('len', ()))
    (rule,) = re.findall(r'ACL SETUSER exporter (.*)', source_of(DOCS / 'watch-many-queues.md'))
    shop_jobs.execute_command('ACL', 'SETUSER', 'exporter', 'reset', *rule.split())
    try:
        url = redis_server.url.replace('redis://', 'redis://exporter:secret@')
        samples = once(Command(url), '--errors', '5')
        assert once(Command(url), 'm*', 'labels')
    finally:
        shop_jobs.execute_command('ACL', 'DELUSER', 'exporter')
    expected = once(Command(redis_server.url), '--errors', '5')
    assert set(samples) == set(expected)
    assert named(samples, 'rq_jobs') == named(expected, 'rq_jobs')
    assert len(named(samples, 'rq_worker_job_start_timestamp_seconds')) == 1


def test_missing_server_makes_rq_up_0() -> None:
    with PrivateRedis() as server:
        url = server.url
    ended = Command(url)('exporter', '--once')
    assert ended.status == 4
    assert ended.err.startswith('rqreg: no answer from the server: ConnectionError: ')
    samples = samples_in(ended.out)
    assert value(samples, 'rq_up') == 0
    assert not named(samples, 'rq_jobs')
    assert not named(samples, 'rq_workers_by_state')


# ---- The file


def test_file_is_replaced_at_once_and_readable(rqreg: Command, tmp_path: Path) -> None:
    file = tmp_path / 'rq.prom'
    file.write_text('what was there before')
    ended = rqreg('exporter', '--once', '--file', str(file))
    assert ended == (0, '', '')
    assert value(samples_in(file.read_text()), 'rq_jobs', queue='mail', status='failed') == 40
    assert os.listdir(tmp_path) == ['rq.prom']
    # node_exporter runs as another user.
    assert file.stat().st_mode & 0o444 == 0o444


def test_file_that_cannot_be_written_is_status_2(rqreg: Command, tmp_path: Path) -> None:
    ended = rqreg('exporter', '--once', '--file', str(tmp_path / 'nowhere' / 'rq.prom'))
    assert ended.status == 2
    assert '/nowhere/rq.prom: No such file or directory' in ended.err


# ---- Options


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('--file', 'rq.prom'), '--file needs --once'),
        (('--tls-cert', sys.executable), '--tls-cert and --tls-key need each other'),
        (('--errors', '0'), '0 is not in the range'),
        (('--port', '65536'), '65536 is not in the range'),
        (('--print', 'rules'), "'rules' is not one of"),
    ],
)
def test_wrong_usage_of_exporter_is_status_2(arguments: tuple[str, ...], message: str, rqreg: Command) -> None:
    ended = rqreg('exporter', *arguments)
    assert (ended.status, ended.out) == (2, '')
    assert message in ended.err


def test_exporter_names_the_extra_if_prometheus_client_is_missing(rqreg: Command, tmp_path: Path) -> None:
    (tmp_path / 'prometheus_client.py').write_text('raise ImportError("no prometheus_client here")')
    ended = rqreg('exporter', PYTHONPATH=str(tmp_path))
    assert (ended.status, ended.out) == (2, '')
    assert "pip install 'rqreg-ext[exporter]'" in ended.err
    # What needs it not goes on.
    assert rqreg('exporter', '--print', 'keda', PYTHONPATH=str(tmp_path)).status == 0
    assert rqreg('stats', PYTHONPATH=str(tmp_path)).status == 0


@pytest.mark.parametrize(
    ('name', 'text'), [('alerts', 'alert: RQRedisDown'), ('keda', 'kind: ScaledObject'), ('dashboard', '"title": "RQ"')]
)
def test_print_option_writes_files_for_prometheus(name: str, text: str, rqreg: Command) -> None:
    ended = rqreg('exporter', '--print', name)
    assert (ended.status, ended.err) == (0, '')
    assert text in ended.out
    assert name != 'dashboard' or json.loads(ended.out)['panels']


def test_exporter_ends_quietly_if_pipe_is_closed(rqreg: Command) -> None:
    process = subprocess.Popen(
        words('exporter', '--once'),
        env=rqreg.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert (process.wait(60), process.stderr.read()) == (0, '')
    process.stderr.close()
