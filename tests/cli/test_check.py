"""`rqreg check`: exit statuses, the line, and the performance data of monitoring plugins."""

from __future__ import annotations

import re
import socket
import time
from datetime import timedelta

import pytest
from private_redis import free_port
from redis import Redis
from rq import Queue, SimpleWorker
from rq.utils import now, utcformat

from rqreg_ext.cli.root import run

from .running import Command

# As the guidelines of monitoring plugins have it: 'label'=value[unit];warning;critical;least
PERFORMANCE = re.compile(r"'[^'=]+'=\d+(?:\.\d+)?s?;(?:\d+(?:\.\d+)?:?)?;(?:\d+(?:\.\d+)?:?)?;0")


def status(command: Command, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Return the exit status, and the text before the performance data, whose form is checked."""
    ended = run(['check', '--url', command.url, *arguments])
    text, _, performance = capsys.readouterr().out.partition(' | ')
    assert all(map(PERFORMANCE.fullmatch, performance.split()))
    return ended, text


def test_check_without_bounds_is_ok(rqreg: Command) -> None:
    ended = rqreg('check')
    assert (ended.status, ended.err) == (0, '')
    assert ended.out == (
        'RQ OK - 0 waiting, 83 failed, no job waits, 0 workers | '
        "'queued'=0;;;0 'failed'=83;;;0 'latency'=0s;;;0 'workers'=0;;;0\n"
    )


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        (['--failed', '83:100'], (0, 'RQ OK - 0 waiting, 83 failed, no job waits, 0 workers')),
        (['--failed', '82:83'], (1, 'RQ WARNING - 83 failed')),
        (['--failed', '10:82'], (2, 'RQ CRITICAL - 83 failed')),
        (['--failed', '82'], (2, 'RQ CRITICAL - 83 failed')),
        (['--failed', '82:'], (1, 'RQ WARNING - 83 failed')),
        (['--failed', 'mail=39:', '--failed', 'supply=3'], (1, 'RQ WARNING - 40 failed in mail')),
        (['--failed', '40:', '--queue', 'm*'], (0, 'RQ OK - 0 waiting, 40 failed, no job waits, 0 workers')),
        (['--queue', 'mail', '--failed', 'labels=5'], (2, 'RQ CRITICAL - 40 failed in labels')),
        (['--workers', '1:'], (1, 'RQ WARNING - 0 workers')),
        (['--workers', '2:1', '--failed', '1:'], (2, 'RQ CRITICAL - 83 failed, 0 workers')),
        (['--workers', 'mail=0'], (0, 'RQ OK - 0 waiting, 83 failed, no job waits, 0 workers in mail')),
        (['--queue', 'mail', '--workers', '1'], (2, 'RQ CRITICAL - 0 workers')),
        (['--latency', '1:2'], (0, 'RQ OK - 0 waiting, 83 failed, no job waits, 0 workers')),
        (['--stuck', '10m'], (0, 'RQ OK - 0 waiting, 83 failed, no job waits, 0 workers, no worker runs a job')),
        (['--failed-rate', '10/h:42/h'], (2, 'RQ CRITICAL - 43 failed in the last h')),
        (['--failed-rate', '10/h:43/h'], (1, 'RQ WARNING - 43 failed in the last h')),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, list) else '',
)
def test_counts_beyond_bounds_are_warning_or_critical(
    arguments: list[str], expected: tuple[int, str], rqreg: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    found, text = status(rqreg, capsys, *arguments)
    assert (found, text.rstrip()) == expected


def test_jobs_that_wait_or_run_too_long_are_warning_or_critical(
    connection: Redis, changing: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    mail, labels = (Queue(name, connection=connection) for name in ('mail', 'labels'))
    waiting, running = mail.enqueue('len', ()), labels.enqueue('len', (), job_id='a')
    connection.hset(waiting.key, 'enqueued_at', utcformat(now() - timedelta(minutes=10)))
    worker = SimpleWorker([labels], connection=connection, name='crew')
    worker.register_birth()
    worker.prepare_execution(running)
    worker.prepare_job_execution(running, remove_from_intermediate_queue=False)
    found, text = status(changing, capsys, '--latency', '5m:1h')
    assert found == 1
    assert re.match('RQ WARNING - oldest job waits 10m.* in mail', text)
    assert status(changing, capsys, '--latency', 'mail=60:300')[0] == 2
    assert status(changing, capsys, '--latency', 'labels=60:300')[0] == 0
    time.sleep(0.2)
    found, text = status(changing, capsys, '--stuck', '0.1')
    assert (found, 'worker crew has run job a for 0s' in text) == (2, True)
    assert status(changing, capsys, '--stuck', '1h')[0] == 0
    assert status(changing, capsys, '--stuck', '0.1', '--queue', 'mail')[0] == 0
    assert status(changing, capsys, '--workers', '1', '--queue', 'labels')[0] == 0
    assert status(changing, capsys, '--workers', '1', '--queue', 'mail')[0] == 2
    assert status(changing, capsys, '--workers', '2') == (2, 'RQ CRITICAL - 1 worker')
    assert status(changing, capsys, '--queued', '0')[0] == 2


@pytest.mark.parametrize(
    'arguments',
    [
        ['--failed', 'x'],
        ['--failed', ':'],
        ['--failed', 'nan:1'],
        ['--latency', '1y'],
        ['--latency', '999999999999d'],
        ['--stuck', '1e300'],
        ['--timeout', '999999999999d'],
        ['--failed-rate', '10/m:50/h'],
        ['--failed-rate', '10'],
        ['--failed-rate', 'mail=1/m'],
        ['--failed', 'mial=5'],
        ['--queue', 'mial'],
        ['--no-such-option'],
    ],
)
def test_wrong_usage_of_check_is_unknown(
    arguments: list[str], rqreg: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(['check', '--url', rqreg.url, *arguments]) == 3
    out, err = capsys.readouterr()
    assert out == ''
    assert err.startswith('rqreg check: ')


def test_probe_ends_with_status_0_or_1(rqreg: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(rqreg, capsys, '--probe')[0] == 0
    assert status(rqreg, capsys, '--probe', '--failed', '1:100')[0] == 0
    assert status(rqreg, capsys, '--probe', '--failed', '1')[0] == 1
    assert Command(f'redis://127.0.0.1:{free_port()}')('check', '--probe').status == 1


def test_missing_server_is_critical() -> None:
    ended = Command(f'redis://127.0.0.1:{free_port()}')('check')
    assert (ended.status, ended.err) == (2, '')
    assert ended.out.startswith('RQ CRITICAL - ConnectionError: ')


def test_silent_server_is_critical_after_timeout() -> None:
    with socket.create_server(('127.0.0.1', 0)) as silent:
        ended = Command(f'redis://127.0.0.1:{silent.getsockname()[1]}')('check', '--timeout', '1')
    assert (ended.status, ended.out, ended.err) == (2, 'RQ CRITICAL - no answer within 1 s\n', '')


def test_tiny_timeout_is_critical_at_once(rqreg: Command) -> None:
    ended = rqreg('check', '--timeout', '1e-9')
    assert (ended.status, ended.out, ended.err) == (2, 'RQ CRITICAL - no answer within 1e-09 s\n', '')


def test_unreadable_queue_is_unknown_unless_another_is_critical(
    connection: Redis, changing: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    connection.sadd('rq:queues', 'rq:queue:mail', 'rq:queue:labels')
    connection.set('rq:failed:mail', 'text')
    connection.zadd('rq:failed:labels', {'a': 4e9})
    found, text = status(changing, capsys)
    assert found == 3
    assert text.startswith('RQ UNKNOWN - queue mail not read: ResponseError: WRONGTYPE')
    # What is known to be wrong goes before what is unknown.
    assert status(changing, capsys, '--failed', '0')[0] == 2
