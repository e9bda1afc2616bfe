"""`--waiting`, `rqreg empty` and `rqreg move`."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from bulk.test_move_many import restore, snapshot_of, state
from private_redis import PrivateRedis
from redis import Redis
from rq import Queue

from rqreg_ext.cli.root import run

from .running import Command, words
from .test_changes import DRY_RUN, RESULT, copy_job, sizes

WAITING_CHANGES = [
    ['delete', '--waiting'],
    ['cancel', '--waiting'],
    ['move', '--waiting', '--to', 'low', '--new-queue'],
]
DONE = {'delete': 'deleted', 'cancel': 'canceled', 'move': 'moved', 'empty': 'deleted'}


@pytest.fixture
def waiting_jobs(shop_jobs: Redis) -> Redis:
    """A client of a Redis where the failed jobs of the shop wait again."""
    for name in ('labels', 'mail', 'supply'):
        registry = Queue(name, connection=shop_jobs).failed_job_registry
        for job_id in registry.get_job_ids():
            registry.requeue(job_id)
    return shop_jobs


def lengths(connection: Redis) -> dict[str, int]:
    counts = {name: connection.llen(f'rq:queue:{name}') for name in ('labels', 'low', 'mail', 'supply')}
    return {name: count for name, count in counts.items() if count}  # type: ignore[misc]


def many_waiting(connection: Redis, count: int) -> None:
    """Put jobs into the queue mail, of which each has a hash."""
    queue = Queue('mail', connection=connection)
    job = queue.enqueue('len', job_id='a')
    queue.remove(job)
    copy_job(connection, job, count, lambda pipe, ids: pipe.rpush('rq:queue:mail', *ids))


def interrupt(process: subprocess.Popen[str], connection: Redis, left: int) -> tuple[str, str]:
    """Send SIGINT when fewer jobs than that wait, and return what the command printed."""
    deadline = time.monotonic() + 60
    while connection.llen('rq:queue:mail') > left:  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=60)


# ---- ls


def test_ls_waiting_lists_jobs_in_order_of_queue(waiting_jobs: Redis, changing: Command) -> None:
    queue = Queue('mail', connection=waiting_jobs)
    assert changing('ls', '--waiting', '--queue', 'mail', '-o', 'ids').lines == queue.job_ids
    assert len(changing('ls', '--waiting', '--kwarg', 'template=reminder', '-o', 'ids').lines) == 10
    assert changing('ls', '--waiting', '--enqueued-before', '1h', '-o', 'ids').lines == []
    found = changing('ls', '--waiting', '--queue', 'supply', '-o', 'json').json['jobs']
    assert [set(job) for job in found] == [{'id', 'queue', 'func_name', 'enqueued_at'}] * 3
    assert (found[0]['queue'], found[0]['func_name']) == ('supply', 'shop.ask_supplier')
    assert changing('ls', '--queue', 'supply', '-o', 'ids').lines == []


@pytest.mark.parametrize('columns', [80, 200])
def test_ls_waiting_prints_text_that_fits_columns(columns: int, waiting_jobs: Redis, changing: Command) -> None:
    title, *rows = changing('ls', '--waiting', '--queue', 'mail', COLUMNS=str(columns)).lines
    assert title.split() == ['id', 'queue', 'func_name', 'enqueued_at']
    assert len(rows) == 40
    assert max(map(len, rows)) <= columns


def test_missing_job_is_listed_without_fields(waiting_jobs: Redis, changing: Command) -> None:
    waiting_jobs.rpush('rq:queue:supply', 'gone')
    found = changing('ls', '--waiting', '--queue', 'supply', '-o', 'jsonl').values
    assert found[-1] == {'schema': 1, 'id': 'gone', 'queue': 'supply', 'func_name': None, 'enqueued_at': None}


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['ls', '--waiting', '--registry', 'failed'], 'give --registry or --waiting, not both'),
        (['ls', '--waiting', '--min-score', '5'], '--min-score is for registries'),
        (['ls', '--waiting', '--newest'], 'jobs that wait have none'),
        (['requeue', '--waiting', '--queue', 'mail', '--yes'], '--waiting'),
        (['delete', '--waiting', '--yes'], 'give --queue NAME, or --all-queues'),
        (['move', '--queue', 'mail', '--yes'], '--to'),
        (['move', '--queue', 'mail', '--to', 'mail', '--yes'], 'are there already'),
        (['move', '--queue', 'mail', '--to', '', '--yes'], 'give the name of a queue'),
        (['move', '--queue', 'mail', '--to', 'lables', '--yes'], "there is no queue 'lables' (did you mean 'labels'?)"),
        (['move', '--queue', 'mail', '--to', 'low', '--yes'], 'Give --new-queue for one that has had no job yet'),
        (['move', '--queue', 'mail', '--to', 'labels', '--registry', 'started', '--yes'], 'started'),
        (
            ['move', '--queue', 'mail', '--to', 'labels', '--registry', 'scheduled', '--at-front', '--yes'],
            '--at-front is for jobs that failed or wait',
        ),
        (['empty', '--yes'], 'QUEUE'),
        (['empty', 'mial', '--yes'], "did you mean 'mail'?"),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, list) else '',
)
def test_wrong_usage_changes_nothing_and_is_status_2(
    arguments: list[str], message: str, waiting_jobs: Redis, changing: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {key: waiting_jobs.dump(key) for key in waiting_jobs.scan_iter()}
    assert run([arguments[0], '--url', changing.url, *arguments[1:]]) == 2
    out, err = capsys.readouterr()
    assert out == ''
    assert message in err
    assert {key: waiting_jobs.dump(key) for key in waiting_jobs.scan_iter()} == before


# ---- Changes of jobs that wait


def test_cancel_move_and_delete_change_waiting_jobs(waiting_jobs: Redis, changing: Command) -> None:
    ended = changing('cancel', '--waiting', '--all-queues', '--func', 'shop.ask_supplier', '--yes')
    assert (ended.status, ended.err) == (0, '')
    assert ended.out.startswith('canceled 3 of 3 jobs of 1 queue (supply 3) in ')
    assert (lengths(waiting_jobs), sizes(waiting_jobs, 'canceled')) == ({'labels': 40, 'mail': 40}, {'supply': 3})
    ended = changing('move', '--waiting', '--queue', 'm*', '--limit', '15', '--to', 'low', '--new-queue', '-y')
    assert ended.out.startswith('moved 15 of 15 jobs of 1 queue (mail 15) to low in ')
    assert lengths(waiting_jobs) == {'labels': 40, 'low': 15, 'mail': 25}
    ended = changing('move', '--waiting', '--all-queues', '--to', 'low', '--dry-run')
    assert ended.out == 'would move 65 jobs of 2 queues (labels 40, mail 25) to low\n'
    ended = changing('delete', '--waiting', '--all-queues', '--yes')
    assert ended.out.startswith('deleted 80 of 80 jobs of 3 queues (labels 40, low 15, mail 25) in ')
    assert lengths(waiting_jobs) == {}


def test_move_takes_ids_from_another_command(waiting_jobs: Redis, changing: Command) -> None:
    ids = changing('ls', '--waiting', '--kwarg', 'template=reminder', '-o', 'ids').out
    ended = changing(
        'move', '--waiting', '--all-queues', '--to', 'labels', '--ids-from', '-', '-y', given=f'{ids}unknown\n'
    )
    assert ended.lines[0].startswith('moved 10 of 10 jobs of 1 queue (mail 10) to labels in ')
    assert ended.lines[1:] == ['1 id not found in the registry']
    assert lengths(waiting_jobs) == {'labels': 50, 'mail': 30, 'supply': 3}
    assert Queue('labels', connection=waiting_jobs).job_ids[-10:] == ids.split()


def test_move_moves_failed_jobs(shop_jobs: Redis, changing: Command) -> None:
    found = changing('move', '--queue', 'mail', '--to', 'low', '--new-queue', '--yes', '-o', 'json').json
    assert set(found) == RESULT
    assert (found['command'], found['jobs'], found['total']['done']) == ('move', 40, 40)
    assert (sizes(shop_jobs), lengths(shop_jobs)) == ({'labels': 40, 'supply': 3}, {'low': 40})
    assert shop_jobs.sismember('rq:queues', 'rq:queue:low')
    assert changing('move', '--queue', 'supply', '--registry', 'finished', '--to', 'low', '-y').status == 0
    assert shop_jobs.zcard('rq:finished:low') == 3
    found = changing('move', '--all-queues', '--to', 'low', '--dry-run', '-o', 'json').json
    assert (set(found), found['queues']) == (DRY_RUN, {'labels': 40, 'supply': 3})


def test_move_names_target_in_its_question(shop_jobs: Redis, changing: Command) -> None:
    terminal = changing.at_terminal('move', '--queue', 'supply', '--to', 'mail')
    terminal.wait_for('move 3 jobs of 1 queue (supply 3) to mail? [y/N] ')
    terminal.type('y\n')
    assert terminal.end() == 0
    assert 'moved 3 of 3 jobs of 1 queue (supply 3) to mail in ' in terminal.text
    assert lengths(shop_jobs) == {'mail': 3}


@pytest.mark.parametrize('arguments', WAITING_CHANGES, ids=lambda value: value[0])
def test_ctrl_c_prints_what_was_done_and_the_same_command_does_the_rest(
    arguments: list[str], connection: Redis, changing: Command
) -> None:
    many_waiting(connection, 30_000)
    process = changing.start(*arguments, '--queue', 'mail', '--yes')
    out, err = interrupt(process, connection, left=29_000)
    done = 30_000 - connection.llen('rq:queue:mail')  # type: ignore[operator]
    assert (process.returncode, err) == (130, 'rqreg: interrupted\n')
    found = re.match(rf'interrupted: {DONE[arguments[0]]} ([\d ]+) of 30 000 jobs of 1 queue \(mail 30 000\)', out)
    assert found is not None
    # The chunk that was under way may be done as well: its reply was not read any more.
    assert 0 <= done - int(found[1].replace(' ', '')) <= 2000
    assert changing(*arguments, '--queue', 'mail', '--yes').status == 0
    assert connection.llen('rq:queue:mail') == 0


# ---- empty


def test_empty_asks_deletes_and_counts(waiting_jobs: Redis, changing: Command) -> None:
    ended = changing('empty', 'mail', 'supply', '--dry-run')
    assert (ended.status, ended.out) == (0, 'would delete 43 jobs of 2 queues (mail 40, supply 3)\n')
    ended = changing('empty', 'mail')
    assert (ended.status, ended.out, lengths(waiting_jobs)['mail']) == (3, '', 40)
    assert 'delete 40 jobs of 1 queue (mail 40)? There is no terminal to ask at: give --yes' in ended.err
    waiting_jobs.rpush('rq:queue:mail', 'gone')
    ended = changing('empty', 'm*', '--yes')
    assert ended.lines[0].startswith('deleted 40 of 41 jobs of 1 queue (mail 41) in ')
    assert ended.lines[1:] == ['1 skipped: no such job']
    assert lengths(waiting_jobs) == {'labels': 40, 'supply': 3}
    found = changing('empty', 'labels', 'supply', '-y', '-o', 'json').json
    assert set(found) == RESULT
    assert (found['command'], found['total']['done'], found['interrupted']) == ('empty', 43, False)
    assert changing('empty', 'mail', '--yes').status == 0
    assert changing('empty', 'mail', '--yes', '--fail-if-none').status == 1


def test_empty_leaves_what_rq_empty_leaves(waiting_jobs: Redis, changing: Command) -> None:
    copy = snapshot_of(waiting_jobs)
    rq = str(Path(words()[0]).parent / 'rq')
    subprocess.run([rq, 'empty', '-u', changing.url, 'mail'], check=True, capture_output=True)
    expected = state(waiting_jobs)
    restore(waiting_jobs, copy)
    assert changing('empty', 'mail', '--yes').status == 0
    assert state(waiting_jobs) == expected


def test_empty_deletes_no_more_jobs_than_it_said(connection: Redis, changing: Command) -> None:
    many_waiting(connection, 10)
    terminal = changing.at_terminal('empty', 'mail')
    terminal.wait_for('delete 10 jobs of 1 queue (mail 10)? [y/N] ')
    connection.rpush('rq:queue:mail', 'later-1', 'later-2')
    terminal.type('y\n')
    assert terminal.end() == 0
    assert connection.lrange('rq:queue:mail', 0, -1) == [b'later-1', b'later-2']


def test_ctrl_c_in_empty_says_what_was_deleted(connection: Redis, changing: Command) -> None:
    many_waiting(connection, 100_000)
    process = changing.start('empty', 'mail', '--yes')
    out, err = interrupt(process, connection, left=99_000)
    done = 100_000 - connection.llen('rq:queue:mail')  # type: ignore[operator]
    assert (process.returncode, err) == (130, 'rqreg: interrupted\n')
    found = re.match(r'interrupted: deleted ([\d ]+) of 100 000 jobs of 1 queue \(mail 100 000\) in ', out)
    assert found is not None
    assert 0 <= done - int(found[1].replace(' ', '')) <= 2000
    assert changing('empty', 'mail', '--yes').status == 0
    assert list(connection.scan_iter('rq:job:job-*')) == []


def test_server_lost_during_empty_is_status_4() -> None:
    with PrivateRedis() as server:
        connection = server.client()
        many_waiting(connection, 100_000)
        process = Command(server.url).start('empty', 'mail', '--yes')
        while connection.llen('rq:queue:mail') > 99_000:  # type: ignore[operator]
            time.sleep(0.001)
        server.kill()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert out.startswith('interrupted: deleted ')
    assert 'rqreg: no answer from the server: ' in err


def test_empty_shows_bar_at_terminal(connection: Redis, changing: Command) -> None:
    many_waiting(connection, 50_000)
    terminal = changing.at_terminal('empty', 'mail', '--yes')
    terminal.wait_for(' of 50 000 jobs')
    assert terminal.end() == 0
    assert 'deleted 50 000 of 50 000 jobs' in terminal.text.rpartition('\x1b[K')[2]


def test_ls_waiting_ends_quietly_if_pipe_is_closed(connection: Redis, changing: Command) -> None:
    many_waiting(connection, 20_000)
    process = changing.start('ls', '--waiting', '--queue', 'mail', '-o', 'ids')
    assert process.stdout is not None
    assert process.stdout.readline() == 'job-000000\n'
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ''
