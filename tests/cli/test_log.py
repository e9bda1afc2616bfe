"""The log of changes, and `rqreg log`."""

from __future__ import annotations

import json
import os
import pwd
import re
import resource
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from documents import DOCS, code_blocks, source_of
from private_redis import PrivateRedis
from redis import Redis

from rqreg_ext import check
from rqreg_ext.cli.change_log import STREAM_LENGTH, masked

from .running import Command, words
from .test_changes import many_failed, sizes

RECORD = {
    *('schema', 'time', 'user', 'sudo_user', 'host', 'action', 'command', 'filters', 'options', 'export', 'server'),
    *('reason', 'interrupted', 'error', 'seconds', 'jobs', 'queues', 'total', 'errors'),
}
KEY = 'rq:rqreg:log'


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_change_is_one_line_of_log(shop_jobs: Redis, changing: Command, tmp_path: Path) -> None:
    log = tmp_path / 'changes.jsonl'
    before = datetime.now(timezone.utc)
    arguments = ('--exc-type', 'shop.Mail*', '--ended-after', '2h', '--limit', '15', '--yes')
    ended = changing(
        'requeue', '--all-queues', *arguments, '--log', str(log), '--reason', 'mail is back', '-u', changing.url
    )
    assert (ended.status, ended.err) == (0, '')
    (record,) = records(log)
    assert set(record) == RECORD
    assert before <= datetime.fromisoformat(record['time'].replace('Z', '+00:00')) <= datetime.now(timezone.utc)
    assert (record['user'], record['host']) == (pwd.getpwuid(os.geteuid()).pw_name, socket.gethostname())
    assert record['command'] == (
        "rqreg requeue --all-queues --exc-type 'shop.Mail*' --ended-after 2h --limit 15 --yes "
        f"--log {log} --reason 'mail is back' -u {changing.url}"
    )
    assert (record['action'], record['reason'], record['export']) == ('requeue', 'mail is back', None)
    assert record['filters'].pop('ended_after').startswith(before.isoformat()[:10][:4])
    assert record['filters'] == {'exc_type': 'shop.Mail*'}
    assert record['options'] == {'all_queues': True, 'registry': 'failed', 'limit': 15}
    assert record['server'] == changing.url.rstrip('/') + ('' if changing.url.endswith('/0') else '/0')
    assert (record['jobs'], record['queues'], record['errors']) == (15, {'mail': 15}, {})
    assert record['total'] == {'done': 15, 'missing': 0, 'unconfirmed': 0, 'skipped': {}, 'failed': 0}
    assert (record['interrupted'], record['error']) == (False, None)


@pytest.mark.parametrize(
    'arguments',
    [
        ('requeue', '--all-queues'),
        ('delete', '--queue', 'mail'),
        ('cancel', '--queue', 'mail'),
        ('trim', '--queue', 'mail', '--keep', '3'),
    ],
)
def test_each_command_that_changes_jobs_is_logged(
    arguments: tuple[str, ...], shop_jobs: Redis, changing: Command, tmp_path: Path
) -> None:
    log = tmp_path / 'log'
    assert changing(*arguments, '--dry-run', RQREG_LOG=str(log)).status == 0
    assert changing(*arguments, RQREG_LOG=str(log)).status == 3
    assert changing(*arguments, '--func', 'none', '--yes', RQREG_LOG=str(log)).status == 0
    # What changed nothing is not logged.
    assert not log.exists() or records(log) == []
    assert changing(*arguments, '--yes', RQREG_LOG=str(log), RQREG_REASON='a drill', SUDO_USER='alice').status == 0
    (record,) = records(log)
    assert (record['action'], record['reason'], record['sudo_user']) == (arguments[0], 'a drill', 'alice')
    assert record['total']['done'] == record['jobs'] > 0


def test_repair_is_logged_but_check_is_not(shop_jobs: Redis, changing: Command, tmp_path: Path) -> None:
    log = tmp_path / 'log'
    (job_id, *_) = shop_jobs.zrange('rq:failed:mail', 0, -1)
    shop_jobs.delete(b'rq:job:' + job_id)
    options = ('fsck', '--all-queues', '--repair', '--settle', '0.1', '--log', str(log))
    assert changing('fsck', '--settle', '0.1', '--log', str(log)).status == 1
    assert changing(*options, '--dry-run').status == 0
    assert not log.exists()
    assert changing(*options, '--yes', '--reason', 'lost').status == 0
    (record,) = records(log)
    assert (record['action'], record['problems'], record['repaired']) == ('fsck', 1, {'missing_job': 1})
    assert (record['reason'], record['total']['done']) == ('lost', 1)


@pytest.mark.parametrize('where', ['{folder}/none/log', '{folder}', 'syslog:{folder}/none', 'syslog:{folder}'])
def test_nothing_is_changed_if_the_log_cannot_be_written(
    where: str, shop_jobs: Redis, changing: Command, tmp_path: Path
) -> None:
    path = where.format(folder=tmp_path)
    for arguments in (('delete', '--all-queues', '--yes'), ('fsck', '--all-queues', '--repair', '--yes')):
        ended = changing(*arguments, '--log', path)
        assert (ended.status, ended.out) == (2, '')
        assert f'rqreg {arguments[0]}: --log {path}: ' in ended.err
        assert 'nothing was changed' in ended.err
    assert sizes(shop_jobs) == {'labels': 40, 'mail': 40, 'supply': 3}


@pytest.mark.parametrize('name', ['', '-'])
@pytest.mark.parametrize('option', ['--log', '--export'])
def test_option_without_name_of_file_is_wrong_usage(
    option: str, name: str, shop_jobs: Redis, changing: Command, tmp_path: Path
) -> None:
    before = set(Path().iterdir())
    ended = changing('delete', '--all-queues', '--yes', option, name)
    assert (ended.status, ended.out) == (2, '')
    assert f'{option} {name or repr(name)}: give the name of a file' in ended.err
    assert (sizes(shop_jobs), set(Path().iterdir())) == ({'labels': 40, 'mail': 40, 'supply': 3}, before)


def test_reason_without_log_is_wrong_usage(shop_jobs: Redis, changing: Command) -> None:
    ended = changing('delete', '--all-queues', '--yes', '--reason', 'x')
    assert ended.status == 2
    assert 'give --log, or set RQREG_LOG' in ended.err
    assert sizes(shop_jobs) == {'labels': 40, 'mail': 40, 'supply': 3}


def test_change_that_could_not_be_logged_is_reported(shop_jobs: Redis, changing: Command, tmp_path: Path) -> None:
    log = tmp_path / 'log'
    log.write_text('x' * 4090)
    ended = subprocess.run(
        words('delete', '--queue', 'supply', '--yes', '--log', str(log)),
        env=changing.environment(),
        capture_output=True,
        text=True,
        check=False,
        # As with a full disk.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert ended.returncode == 1
    assert ended.stdout.startswith('deleted 3 of 3 jobs')
    message, _, line = ended.stderr.partition('): ')
    assert message.startswith(f'rqreg: --log {log}: this could not be logged (OSError: 6 of ')
    assert json.loads(line)['total']['done'] == 3


def test_lines_of_concurrent_commands_do_not_mix(shop_jobs: Redis, changing: Command, tmp_path: Path) -> None:
    log = tmp_path / 'log'
    reasons = [letter * 20_000 for letter in 'abcd']
    processes = [
        changing.start('requeue', '--queue', 'mail', '--limit', '5', '--yes', '--log', str(log), '--reason', reason)
        for reason in reasons
    ]
    for process in processes:
        assert process.communicate(timeout=60)[1] == ''
    assert sorted(record['reason'] for record in records(log)) == reasons


# ---- However it ends


@pytest.mark.parametrize('signum', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_change_is_logged(
    signum: signal.Signals, connection: Redis, changing: Command, tmp_path: Path
) -> None:
    log = tmp_path / 'log'
    many_failed(connection, 30_000)
    process = changing.start('delete', '--queue', 'mail', '--yes', '--log', str(log))
    while connection.zcard('rq:failed:mail') > 29_000:
        time.sleep(0.001)
    process.send_signal(signum)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130 if signum == signal.SIGINT else 128 + signum, 'rqreg: interrupted\n')
    (record,) = records(log)
    assert record['interrupted']
    assert 0 < record['total']['done'] <= 30_000 - connection.zcard('rq:failed:mail')  # type: ignore[operator]
    assert f'interrupted: deleted {record["total"]["done"]:,} of'.replace(',', ' ') in out


def test_change_is_logged_if_terminal_is_closed(connection: Redis, changing: Command, tmp_path: Path) -> None:
    log = tmp_path / 'log'
    many_failed(connection, 100_000)
    terminal = changing.at_terminal('delete', '--queue', 'mail', '--yes', '--log', str(log))
    terminal.wait_for(' of 100 000 jobs')
    assert terminal.hang_up() == 128 + signal.SIGHUP
    (record,) = records(log)
    assert record['interrupted']
    assert 0 < record['total']['done'] < 100_000


def test_change_is_logged_if_server_is_lost(tmp_path: Path) -> None:
    log = tmp_path / 'log'
    with PrivateRedis() as server:
        connection = server.client()
        many_failed(connection, 30_000)
        process = Command(server.url).start('delete', '--queue', 'mail', '--yes', '--log', str(log))
        while connection.zcard('rq:failed:mail') > 29_000:
            time.sleep(0.001)
        server.kill()
        process.communicate(timeout=60)
    assert process.returncode == 4
    (record,) = records(log)
    assert record['total']['done'] > 0
    assert 'Error' in record['error']
    assert not record['interrupted']


# ---- The stream


def test_log_in_stream_is_shown_and_no_problem(shop_jobs: Redis, changing: Command) -> None:
    for name in ('labels', 'mail'):
        assert (
            changing('requeue', '--queue', name, '--limit', '1', '-y', '--log', 'stream', '--reason', name).status == 0
        )
    assert [json.loads(fields[b'json'])['reason'] for _, fields in shop_jobs.xrange(KEY)] == ['labels', 'mail']
    found = changing('log', '--log', 'stream', '-o', 'json').json
    assert [record['reason'] for record in found['changes']] == ['labels', 'mail']
    # Neither our checks nor RQ take it for something else.
    assert not check(shop_jobs, settle=0)
    assert changing('stats', '-o', 'json').json['queues'][0]['queue'] == 'labels'


def test_stream_keeps_newest_changes_only(shop_jobs: Redis, changing: Command) -> None:
    with shop_jobs.pipeline(transaction=False) as pipe:
        for _ in range(STREAM_LENGTH + 1000):
            pipe.xadd(KEY, {'json': '{}'})
        pipe.execute()
    assert changing('delete', '--queue', 'supply', '-y', '--log', 'stream').status == 0
    assert STREAM_LENGTH <= shop_jobs.xlen(KEY) < STREAM_LENGTH + 200
    assert changing('log', '--log', 'stream', '--limit', '1', '-o', 'json').json['changes'][0]['action'] == 'delete'


def test_unwritable_stream_prevents_change(shop_jobs: Redis, changing: Command) -> None:
    shop_jobs.set(KEY, 'text')
    ended = changing('delete', '--queue', 'supply', '-y', '--log', 'stream')
    assert (ended.status, 'the server refuses' in ended.err, f'(key {KEY})' in ended.err) == (4, True, True)
    shop_jobs.delete(KEY)
    shop_jobs.execute_command('ACL', 'SETUSER', 'few', 'on', '>few', '~*', '+@all', '-xadd')
    try:
        ended = changing(
            'delete', '--queue', 'supply', '-y', '--log', 'stream', '-u', changing.url.replace('//', '//few:few@')
        )
        assert (ended.status, 'the server refuses' in ended.err) == (4, True)
    finally:
        shop_jobs.execute_command('ACL', 'DELUSER', 'few')
    assert sizes(shop_jobs)['supply'] == 3
    assert not shop_jobs.exists(KEY)


def test_rights_named_on_page_are_enough_for_log(shop_jobs: Redis, changing: Command) -> None:
    page = source_of(DOCS / 'rights.md')
    (paragraph,) = (part for part in page.split('\n\n') if part.startswith('`rqreg --log stream`'))
    (_, registries, *_) = (line for block in code_blocks(page, 'text') for line in block.splitlines())
    writing, reading = (f'+{command.lower()}' for command in re.findall('`(X[A-Z]+)`', paragraph))
    url = changing.url.replace('//', '//app:secret@')
    try:
        for rights, status in (([reading], 4), ([writing], 0), ([writing, reading], 0)):
            shop_jobs.execute_command(*registries.split())
            shop_jobs.execute_command('ACL', 'SETUSER', 'app', *rights)
            before = sizes(shop_jobs)
            ended = changing('delete', '--queue', 'mail', '--limit', '1', '-y', '--log', 'stream', '-u', url)
            assert (ended.status, sizes(shop_jobs) != before) == (status, not status), ended
            ended = changing('log', '--log', 'stream', '-u', url)
            assert ended.status == (0 if reading in rights else 4)
        assert len(ended.lines) == 3
    finally:
        shop_jobs.execute_command('ACL', 'DELUSER', 'app')


# ---- Syslog


@contextmanager
def syslog(kind: int) -> Iterator[tuple[str, list[bytes]]]:
    """A daemon that takes the messages to a socket, and the path of that."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, kind) as listening:
        path = os.path.join(folder, 'log')
        listening.bind(path)
        messages: list[bytes] = []

        def read() -> None:
            while True:
                if kind == socket.SOCK_DGRAM:
                    message = listening.recv(1 << 20)
                else:
                    connection, _ = listening.accept()
                    with connection, connection.makefile('rb') as file:
                        message = file.read()
                if message:
                    messages.append(message)
                if b'"delete"' in message:
                    return

        if kind == socket.SOCK_STREAM:
            listening.listen()
        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        yield path, messages
        thread.join(30)


@pytest.mark.parametrize('kind', [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_change_is_sent_to_syslog(kind: int, shop_jobs: Redis, changing: Command) -> None:
    with syslog(kind) as (path, messages):
        ended = changing('delete', '--queue', 'supply', '-y', '--log', f'syslog:{path}', '--reason', 'größer')
        assert (ended.status, ended.err) == (0, '')
    (message,) = messages
    head, _, line = message.decode().rstrip('\0').partition(': ')
    assert head.startswith('<13>rqreg[')
    assert json.loads(line)['reason'] == 'größer'
    ended = changing('log', '--log', 'syslog')
    assert (ended.status, 'journalctl --identifier rqreg' in ended.err) == (2, True)


# ---- rqreg log


def test_log_shows_changes_and_counts_torn_lines(shop_jobs: Redis, changing: Command, tmp_path: Path) -> None:
    log = str(tmp_path / 'log')
    for name in ('labels', 'mail', 'supply'):
        changing('cancel', '--queue', name, '-y', RQREG_LOG=log, RQREG_REASON=f'for {name}')
    with open(log, 'a') as file:
        file.write('torn\n{"time": "yesterday", "command": "x"}\n[1]\n')
        file.write('{"time": "0001-01-01T00:00+05:00", "command": "x"}\n' + '[' * 100_000 + '\n')
    ended = changing('log', RQREG_LOG=log)
    assert ended.status == 0
    assert ended.err == f'rqreg: --log {log}: 5 lines left out, without the record of a change\n'
    title, *lines = ended.lines
    assert title.split() == ['time', 'user', 'done', 'jobs', 'ended', 'command', 'reason']
    assert [line.split()[-1] for line in lines] == ['labels', 'mail', 'supply']
    assert 'cancel --queue mail -y' in lines[1]
    narrow = changing('log', RQREG_LOG=log, COLUMNS='80')
    assert max(map(len, narrow.lines)) <= 80
    newest = changing('log', '--limit', '2', '-o', 'jsonl', RQREG_LOG=log).values
    assert [record['reason'] for record in newest] == ['for mail', 'for supply']
    assert newest == changing('log', '--since', newest[0]['time'], '-o', 'json', RQREG_LOG=log).json['changes']
    assert changing('log', '--since', '2999-01-01T00:00Z', '-o', 'jsonl', RQREG_LOG=log).out == ''


def test_missing_log_is_wrong_usage(changing: Command, tmp_path: Path) -> None:
    ended = changing('log')
    assert (ended.status, 'give --log FILE or --log stream, or set RQREG_LOG' in ended.err) == (2, True)
    ended = changing('log', '--log', str(tmp_path / 'none'))
    assert (ended.status, 'none: No such file' in ended.err) == (2, True)
    assert changing('log', '--log', 'stream', '-o', 'json').json['changes'] == []


def test_fifo_is_read_if_somebody_writes_to_it(shop_jobs: Redis, changing: Command, tmp_path: Path) -> None:
    log, fifo = tmp_path / 'log', tmp_path / 'fifo'
    os.mkfifo(fifo)
    ended = changing('log', '--log', str(fifo))
    assert (ended.status, ended.out) == (2, '')
    assert f'--log {fifo}: it is a FIFO, and nobody has written to it' in ended.err
    changing('cancel', '--queue', 'mail', '-y', RQREG_LOG=str(log))
    writer = threading.Thread(target=lambda: fifo.write_bytes(log.read_bytes()))
    writer.start()
    shown = changing('log', '--log', str(fifo), '-o', 'json').json['changes']
    writer.join()
    assert shown == records(log)


def test_fifo_that_nobody_reads_prevents_change(shop_jobs: Redis, changing: Command, tmp_path: Path) -> None:
    fifo = tmp_path / 'fifo'
    os.mkfifo(fifo)
    ended = changing('delete', '--all-queues', '--yes', '--log', str(fifo))
    assert (ended.status, 'nothing was changed' in ended.err) == (2, True)
    assert sizes(shop_jobs) == {'labels': 40, 'mail': 40, 'supply': 3}
    reader = subprocess.Popen(['cat', str(fifo)], stdout=subprocess.PIPE)
    # cat waits until there is a writer.
    with open(fifo, 'wb'):
        assert changing('delete', '--queue', 'mail', '--yes', '--log', str(fifo)).status == 0
    out, _ = reader.communicate()
    assert json.loads(out)['action'] == 'delete'


@pytest.mark.parametrize(
    ('word', 'expected'),
    [
        ('redis://localhost:6379/0', 'redis://localhost:6379/0'),
        ('redis://:secret@localhost', 'redis://:***@localhost'),
        ('rediss://app:se:c@ret/s@host/1', 'rediss://app:***@host/1'),
        ('--url=redis://app:secret@host', '--url=redis://app:***@host'),
        ('redis://app@host', 'redis://app@host'),
        ('unix:///tmp/redis.sock?db=1&password=secret&x=1', 'unix:///tmp/redis.sock?db=1&password=***&x=1'),
        ('a@b', 'a@b'),
    ],
)
def test_passwords_are_masked(word: str, expected: str) -> None:
    assert masked(word) == expected
