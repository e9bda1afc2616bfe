"""`rqreg requeue`, `delete` and `cancel`."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from private_redis import PrivateRedis
from redis import Redis
from rq import Queue
from rq.job import Job

from rqreg_ext.cli.root import run

from .running import Command

RESULT = {
    'schema',
    'command',
    'dry_run',
    'jobs',
    'left_out',
    'not_found',
    'interrupted',
    'seconds',
    'queues',
    'total',
    'errors',
}
DRY_RUN = {'schema', 'command', 'dry_run', 'jobs', 'left_out', 'not_found', 'errors', 'queues'}
CHANGES = ['requeue', 'delete', 'cancel']


def sizes(connection: Redis, registry: str = 'failed') -> dict[str, int]:
    counts = {name: connection.zcard(f'rq:{registry}:{name}') for name in ('labels', 'mail', 'supply')}
    return {name: count for name, count in counts.items() if count}  # type: ignore[misc]


def many_failed(connection: Redis, count: int) -> None:
    """Put entries of jobs into the failed registry of the queue mail, of which each has a hash."""
    queue = Queue('mail', connection=connection)
    job = queue.create_job('len', job_id='a')
    job.set_status('failed')  # type: ignore[arg-type]
    job.save()
    connection.sadd('rq:queues', 'rq:queue:mail')
    copy_job(connection, job, count, lambda pipe, ids: pipe.zadd('rq:failed:mail', dict.fromkeys(ids, 4e9)))


def copy_job(connection: Redis, job: Job, count: int, add: Callable[[Any, list[str]], Any]) -> None:
    """Make so many jobs of one, job-000000 and so on; `add` adds their ids to a key in a pipeline."""
    payload = connection.dump(job.key)
    for start in range(0, count, 10_000):
        ids = [f'job-{number:06}' for number in range(start, min(start + 10_000, count))]
        with connection.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.restore(f'rq:job:{job_id}', 0, payload)
            add(pipe, ids)
            pipe.execute()


def test_each_change_works_on_all_queues(shop_jobs: Redis, changing: Command) -> None:
    ended = changing('cancel', '--all-queues', '--func', 'shop.ask_supplier', '--yes')
    assert (ended.status, ended.err) == (0, '')
    assert ended.out.startswith('canceled 3 of 3 jobs of 1 queue (supply 3) in ')
    assert (sizes(shop_jobs), sizes(shop_jobs, 'canceled')) == ({'labels': 40, 'mail': 40}, {'supply': 3})
    assert changing('requeue', '--queue', 'm*', '--ended-before', '30d', '--yes').out.startswith(
        'requeued 20 of 20 jobs'
    )
    assert (sizes(shop_jobs), shop_jobs.llen('rq:queue:mail')) == ({'labels': 40, 'mail': 20}, 20)
    assert changing('delete', '--all-queues', '--yes').out.startswith(
        'deleted 60 of 60 jobs of 2 queues (labels 40, mail 20) in '
    )
    assert sizes(shop_jobs) == {}
    assert len(list(shop_jobs.scan_iter('rq:job:*'))) == 26


def test_json_has_counts_of_dry_run_and_of_result(shop_jobs: Redis, changing: Command) -> None:
    found = changing('requeue', '--all-queues', '--dry-run', '-o', 'json').json
    assert set(found) == DRY_RUN
    assert (found['schema'], found['command'], found['dry_run'], found['jobs']) == (1, 'requeue', True, 83)
    assert found['queues'] == {'labels': 40, 'mail': 40, 'supply': 3}
    found = changing('requeue', '--all-queues', '--yes', '-o', 'json', '--at-front').json
    assert set(found) == RESULT
    assert (found['jobs'], found['total']['done'], found['interrupted'], found['errors']) == (83, 83, False, {})
    assert {name: result['done'] for name, result in found['queues'].items()} == {'labels': 40, 'mail': 40, 'supply': 3}


@pytest.mark.parametrize('name', CHANGES)
def test_dry_run_of_change_counts_jobs_and_changes_nothing(name: str, shop_jobs: Redis, changing: Command) -> None:
    before = {key: shop_jobs.dump(key) for key in shop_jobs.scan_iter()}
    ended = changing(name, '--all-queues', '--dry-run')
    assert (ended.status, ended.err) == (0, '')
    assert ended.out == f'would {name} 83 jobs of 3 queues (labels 40, mail 40, supply 3)\n'
    assert {key: shop_jobs.dump(key) for key in shop_jobs.scan_iter()} == before


@pytest.mark.parametrize('name', CHANGES)
def test_change_without_queues_or_with_both_filters_and_ids_is_wrong_usage(
    name: str, shop_jobs: Redis, changing: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([name, '-u', changing.url, '--yes']) == 2
    assert 'give --queue NAME, or --all-queues' in capsys.readouterr().err
    assert run([name, '-u', changing.url, '--yes', '--all-queues', '--ids-from', '-', '--func', 'x']) == 2
    assert 'give filters or --ids-from, not both' in capsys.readouterr().err
    assert run([name, '-u', changing.url, '--yes', '--queue', 'mial']) == 2
    assert "did you mean 'mail'?" in capsys.readouterr().err
    if name != 'cancel':
        assert run([name, '-u', changing.url, '--yes', '--all-queues', '--registry', 'started']) == 2
    assert sizes(shop_jobs) == {'labels': 40, 'mail': 40, 'supply': 3}


@pytest.mark.parametrize('name', CHANGES)
def test_change_without_terminal_needs_yes(name: str, shop_jobs: Redis, changing: Command) -> None:
    ended = changing(name, '--all-queues', given='y\n')
    assert (ended.status, ended.out) == (3, '')
    assert ended.err == (
        f'rqreg: not confirmed: {name} 83 jobs of 3 queues (labels 40, mail 40, supply 3)? '
        'There is no terminal to ask at: give --yes\n'
    )
    assert sizes(shop_jobs) == {'labels': 40, 'mail': 40, 'supply': 3}


@pytest.mark.parametrize(
    ('answer', 'status', 'left'),
    [('y\n', 0, {}), ('\n', 3, {'supply': 3}), ('no\n', 3, {'supply': 3}), ('\x03', 130, {'supply': 3})],
)
def test_change_asks_before_it_runs_on_terminal(
    answer: str, status: int, left: dict[str, int], shop_jobs: Redis, changing: Command
) -> None:
    terminal = changing.at_terminal('delete', '--queue', 'supply')
    terminal.wait_for('delete 3 jobs of 1 queue (supply 3)? [y/N] ')
    terminal.type(answer)
    assert terminal.end() == status
    assert {name: count for name, count in sizes(shop_jobs).items() if name == 'supply'} == left
    assert ('deleted 3 of 3' in terminal.text) is (status == 0)


def test_change_without_jobs_is_status_0(shop_jobs: Redis, changing: Command) -> None:
    ended = changing('delete', '--all-queues', '--func', 'none')
    assert (ended.status, ended.err) == (0, '')
    assert ended.out.startswith('deleted 0 of 0 jobs in ')
    assert changing('delete', '--all-queues', '--func', 'none', '--fail-if-none').status == 1


def test_change_runs_no_clean_up(shop_jobs: Redis, changing: Command) -> None:
    shop_jobs.zadd('rq:failed:mail', {'expired': 1})
    assert changing('requeue', '--queue', 'mail', '--func', 'shop.*', '--yes').status == 0
    assert shop_jobs.zrange('rq:failed:mail', 0, -1) == [b'expired']


def test_limit_is_for_all_queues_together(shop_jobs: Redis, changing: Command) -> None:
    assert changing('delete', '--all-queues', '--limit', '45', '--yes').out.startswith(
        'deleted 45 of 45 jobs of 2 queues (labels 40, mail 5)'
    )
    assert sizes(shop_jobs) == {'mail': 35, 'supply': 3}
    assert changing('requeue', '--all-queues', '--kwarg', 'template', '--limit', '1', '-y').status == 0
    assert sizes(shop_jobs) == {'mail': 34, 'supply': 3}


@pytest.mark.parametrize('command', [('requeue',), ('delete',), ('cancel',), ('trim', '--keep', '1')])
def test_change_at_rate_goes_on_until_it_is_interrupted(
    command: tuple[str, ...], shop_jobs: Redis, changing: Command
) -> None:
    # The first at once, and all others later than any test may take.
    process = changing.start(*command, '--all-queues', '--rate', '1/h', '--yes')
    deadline = time.monotonic() + 60
    while sum(sizes(shop_jobs).values()) == 83:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err, sum(sizes(shop_jobs).values())) == (130, 'rqreg: interrupted\n', 82)
    # What was under way may not be counted.
    assert re.match(r'interrupted: \w+ [01] of', out)
    assert changing(*command, '--all-queues', '--rate', '600000/m', '--yes').status == 0


@pytest.mark.parametrize('rate', ['0', '-1/s', '1/d', 'x', '1/0', '1e400'])
def test_wrong_rate_is_wrong_usage(rate: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(['delete', '--all-queues', '--rate', rate]) == 2
    assert f'{rate!r} is not a rate: give one like 10/s, 100/m or 5000/h' in capsys.readouterr().err


def test_ids_from_takes_file_and_output_of_another_command(shop_jobs: Redis, changing: Command, tmp_path: Path) -> None:
    ids = changing('ls', '--exc-text', 'order 7', '-o', 'ids').out
    assert len(ids.split()) == 2
    ended = changing('requeue', '--all-queues', '--ids-from', '-', given=ids)
    assert (ended.status, sizes(shop_jobs)) == (3, {'labels': 40, 'mail': 40, 'supply': 3})
    assert 'the ids come from stdin' in ended.err
    ended = changing('requeue', '--all-queues', '--ids-from', '-', '--yes', given=f'{ids}\nunknown\n')
    assert ended.lines[0].startswith('requeued 2 of 2 jobs of 2 queues (labels 1, mail 1) in ')
    assert ended.lines[1:] == ['1 id not found in the registry']
    assert sizes(shop_jobs) == {'labels': 39, 'mail': 39, 'supply': 3}
    (tmp_path / 'ids').write_text(changing('ls', '--queue', 'supply', '-o', 'ids').out)
    assert changing('delete', '--queue', 'supply', '--ids-from', str(tmp_path / 'ids'), '-y').status == 0
    assert sizes(shop_jobs) == {'labels': 39, 'mail': 39}
    (tmp_path / 'ids').write_bytes(b'a\n\xff\n')
    ended = changing('delete', '--queue', 'mail', '--ids-from', str(tmp_path / 'ids'), '-y')
    assert (ended.status, '--ids-from: line 2 is not text' in ended.err) == (2, True)
    assert changing('delete', '--queue', 'mail', '--ids-from', str(tmp_path / 'none'), '-y').status == 2


def test_id_given_twice_is_one_job(shop_jobs: Redis, changing: Command) -> None:
    ids = changing('ls', '--queue', 'supply', '-o', 'ids').out
    ended = changing('requeue', '--queue', 'supply', '--ids-from', '-', '--yes', given=f'{ids}{ids}none\nnone\n')
    assert (ended.status, ended.err) == (0, '')
    assert ended.lines[0].startswith('requeued 3 of 3 jobs of 1 queue (supply 3) in ')
    assert ended.lines[1:] == ['1 id not found in the registry']


def test_requeue_leaves_job_as_rq_requeue_does(shop_jobs: Redis, changing: Command) -> None:
    queue = Queue('supply', connection=shop_jobs)
    job_id, *_ = queue.failed_job_registry.get_job_ids()
    copy = {key: shop_jobs.dump(key) for key in shop_jobs.scan_iter()}

    def outcome() -> Any:
        fields = shop_jobs.hgetall(f'rq:job:{job_id}')
        fields.pop(b'enqueued_at')
        return fields, shop_jobs.lrange('rq:queue:supply', 0, -1), shop_jobs.zscore('rq:failed:supply', job_id)

    queue.failed_job_registry.requeue(job_id)
    expected = outcome()
    shop_jobs.flushdb()
    for key, value in copy.items():
        shop_jobs.restore(key, 0, value)
    assert changing('requeue', '--queue', 'supply', '--id', job_id, '--yes').status == 0
    assert outcome() == expected


def test_jobs_for_which_a_filter_cannot_be_decided_are_named(shop_jobs: Redis, changing: Command) -> None:
    (job_id, *_) = shop_jobs.zrange('rq:failed:supply', 0, -1)
    shop_jobs.hdel(b'rq:job:' + job_id, 'ended_at')
    shop_jobs.delete(b'rq:results:' + job_id)
    ended = changing('delete', '--queue', 'supply', '--ended-after', '1h', '--yes')
    assert ended.lines[1:] == ['1 job left out: no known end']
    assert sizes(shop_jobs)['supply'] == 1


def test_jobs_that_rq_cannot_requeue_are_named(shop_jobs: Redis, changing: Command) -> None:
    (job_id, *_) = shop_jobs.zrange('rq:failed:supply', 0, -1)
    shop_jobs.hset(b'rq:job:' + job_id, 'created_at', 'yesterday')
    ended = changing('requeue', '--queue', 'supply', '--yes')
    assert ended.status == 1
    assert ended.lines[0].startswith('requeued 2 of 3 jobs')
    assert ended.lines[1:] == ['1 failed']
    assert ended.err.startswith(f"rqreg: job '{job_id.decode()}' failed: ")


def test_queue_that_cannot_be_changed_leaves_others_changed(shop_jobs: Redis, changing: Command) -> None:
    shop_jobs.delete('rq:queue:mail')
    shop_jobs.set('rq:queue:mail', 'text')
    ended = changing('requeue', '--all-queues', '--yes', '-o', 'json')
    assert ended.status == 1
    assert {name: result['done'] for name, result in ended.json['queues'].items()}['supply'] == 3
    assert sizes(shop_jobs) == {'mail': 40}


@pytest.mark.parametrize(
    'command',
    [
        ['requeue'],
        ['delete', '--func', 'shop.*'],
        ['cancel', '--ids-from', 'IDS'],
        ['move', '--to', 'night', '--new-queue'],
        ['trim', '--keep', '1'],
        ['trim', '--older-than', '1s'],
    ],
)
def test_queue_that_cannot_be_read_leaves_others_changed(
    command: list[str], shop_jobs: Redis, changing: Command, tmp_path: Path
) -> None:
    (tmp_path / 'ids').write_text(changing('ls', '--queue', 'supply', '-o', 'ids').out)
    shop_jobs.delete('rq:failed:labels', 'rq:failed:mail')
    shop_jobs.set('rq:failed:labels', 'text')
    # An entry that is not text.
    shop_jobs.zadd('rq:failed:mail', {b'\xff': 4e9})
    shop_jobs.hset(b'rq:job:\xff', 'status', 'failed')
    words = [word.replace('IDS', str(tmp_path / 'ids')) for word in command]
    queues = ['--queue', 'labels', '--queue', 'supply']
    if '--func' in words:
        queues += ['--queue', 'mail']
    time.sleep(1.0 if '--older-than' in words else 0.0)
    would = changing(*words, *queues, '--dry-run', '-o', 'json')
    assert (would.status, would.json['jobs']) == (1, 2 if '--keep' in words else 3)
    assert set(would.json['errors']) == ({'labels', 'mail'} if '--func' in words else {'labels'})
    ended = changing(*words, *queues, '--yes', '-o', 'json', '--log', str(tmp_path / 'log'))
    assert (ended.status, ended.json['total']['done']) == (1, would.json['jobs'])
    assert ended.json['errors'] == would.json['errors']
    assert json.loads((tmp_path / 'log').read_text())['errors'] == would.json['errors']
    named = "rqreg: queue 'labels' was left out: ResponseError: WRONGTYPE"
    assert named in would.err
    assert ended.err == would.err
    assert ended.json['errors']['labels'].endswith('(key rq:failed:labels)')


def test_queues_that_wait_and_cannot_be_read_leave_the_others(shop_jobs: Redis, changing: Command) -> None:
    assert changing('requeue', '--all-queues', '--yes').status == 0
    shop_jobs.delete('rq:queue:mail')
    shop_jobs.set('rq:queue:mail', 'text')
    for words, done in (
        (['move', '--waiting', '--queue', 'm*', '--queue', 'supply', '--to', 'labels', '--limit', '1'], 'moved 1 of 1'),
        (['empty', 'mail', 'labels'], 'deleted 41 of 41'),
        (['delete', '--waiting', '--all-queues'], 'deleted 2 of 2'),
    ):
        ended = changing(*words, '--yes')
        assert (ended.status, ended.out.startswith(done)) == (1, True), ended
        assert "queue 'mail' was left out: ResponseError: WRONGTYPE" in ended.err


@pytest.mark.parametrize('name', CHANGES)
def test_ctrl_c_prints_what_was_done_and_the_same_command_does_the_rest(
    name: str, connection: Redis, changing: Command
) -> None:
    many_failed(connection, 30_000)
    process = changing.start(name, '--queue', 'mail', '--yes')
    deadline = time.monotonic() + 60
    while connection.zcard('rq:failed:mail') > 29_000:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    done = 30_000 - connection.zcard('rq:failed:mail')  # type: ignore[operator]
    assert (process.returncode, err) == (130, 'rqreg: interrupted\n')
    word = {'requeue': 'requeued', 'delete': 'deleted', 'cancel': 'canceled'}[name]
    found = re.match(rf'interrupted: {word} ([\d ]+) of 30 000 jobs of 1 queue \(mail 30 000\) in ', out)
    assert found is not None
    # The chunk that was under way may be done as well: its reply was not read any more.
    assert 0 <= done - int(found[1].replace(' ', '')) <= 2000
    assert changing(name, '--queue', 'mail', '--yes').status == 0
    assert connection.zcard('rq:failed:mail') == 0


def test_change_shows_bar_at_terminal(connection: Redis, changing: Command) -> None:
    many_failed(connection, 30_000)
    terminal = changing.at_terminal('delete', '--all-queues', '--yes')
    terminal.wait_for(' of 30 000 jobs')
    # The bar.
    terminal.wait_for('━━━')
    assert terminal.end() == 0
    assert 'deleted 30 000 of 30 000 jobs' in terminal.text.rpartition('\x1b[K')[2]


@pytest.mark.parametrize('missing', [True, False])
def test_rich_is_imported_for_a_bar_only(missing: bool, connection: Redis, changing: Command, tmp_path: Path) -> None:
    (tmp_path / 'rich').mkdir()
    error = 'ImportError' if missing else 'RuntimeError'
    (tmp_path / 'rich' / '__init__.py').write_text(f'raise {error}\n')
    many_failed(connection, 30_000)
    if missing:
        terminal = changing.at_terminal('delete', '--all-queues', '--yes', PYTHONPATH=str(tmp_path))
        terminal.wait_for(' of 30 000 jobs\r\x1b[K')
        assert terminal.end() == 0
    else:
        assert changing('delete', '--all-queues', '--yes', PYTHONPATH=str(tmp_path)).status == 0


def test_server_lost_during_change_is_status_4_with_counts() -> None:
    with PrivateRedis() as server:
        connection = server.client()
        many_failed(connection, 30_000)
        process = Command(server.url).start('delete', '--queue', 'mail', '--yes')
        while connection.zcard('rq:failed:mail') > 29_000:
            time.sleep(0.001)
        server.kill()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert out.startswith('interrupted: deleted ')
    assert 'rqreg: no answer from the server: ' in err


def test_server_lost_during_question_is_status_4() -> None:
    with PrivateRedis() as server:
        many_failed(server.client(), 10)
        terminal = Command(server.url).at_terminal('requeue', '--queue', 'mail')
        terminal.wait_for('[y/N] ')
        server.kill()
        terminal.type('y\n')
        assert terminal.end() == 4
    assert 'interrupted: requeued 0 of 10 jobs of 1 queue (mail 10)' in terminal.text
    assert 'rqreg: no answer from the server: ' in terminal.text


def test_no_more_jobs_are_changed_than_the_question_said(connection: Redis, changing: Command) -> None:
    many_failed(connection, 10)
    terminal = changing.at_terminal('delete', '--queue', 'mail')
    terminal.wait_for('delete 10 jobs of 1 queue (mail 10)? [y/N] ')
    connection.zadd('rq:failed:mail', {f'later-{number}': 4.1e9 for number in range(5)})
    terminal.type('y\n')
    assert terminal.end() == 0
    assert connection.zcard('rq:failed:mail') == 5


def test_trim_command_keeps_the_newest(shop_jobs: Redis, changing: Command) -> None:
    ended = changing('trim', '--all-queues', '--keep', '20', '--dry-run')
    assert (ended.status, ended.out) == (0, 'would delete 40 jobs of 2 queues (labels 20, mail 20)\n')
    newest = changing('ls', '--queue', 'mail', '--newest', '--limit', '20', '-o', 'ids').lines
    ended = changing('trim', '--queue', 'mail', '--keep', '20')
    assert (ended.status, sizes(shop_jobs)) == (3, {'labels': 40, 'mail': 40, 'supply': 3})
    assert 'delete 20 jobs of 1 queue (mail 20)?' in ended.err
    ended = changing('trim', '--queue', 'mail', '--keep', '20', '--yes')
    assert ended.out.startswith('deleted 20 of 20 jobs of 1 queue (mail 20) in ')
    assert set(changing('ls', '--queue', 'mail', '-o', 'ids').lines) == set(newest)
    found = changing('trim', '--all-queues', '--keep', '1', '--func', 'shop.ask*', '--yes', '-o', 'json').json
    assert (set(found), found['command'], found['total']['done']) == (RESULT, 'trim', 2)
    assert sizes(shop_jobs) == {'labels': 40, 'mail': 20, 'supply': 1}


def test_trim_takes_other_registries(shop_jobs: Redis, changing: Command) -> None:
    assert changing('trim', '--all-queues', '--registry', 'finished', '--keep', '2', '-y').status == 0
    assert sizes(shop_jobs, 'finished') == {'supply': 2}
    assert changing('cancel', '--queue', 'supply', '-y').status == 0
    newest = shop_jobs.zrange('rq:canceled:supply', -1, -1)
    assert changing('trim', '--queue', 'supply', '--registry', 'canceled', '--keep', '1', '-y').status == 0
    assert shop_jobs.zrange('rq:canceled:supply', 0, -1) == newest


@pytest.mark.parametrize(
    'arguments',
    [
        ['--keep', '1'],
        ['--all-queues'],
        ['--all-queues', '--keep', '0'],
        ['--all-queues', '--keep', '1', '--registry', 'deferred'],
    ],
)
def test_wrong_usage_of_trim_is_status_2_and_changes_nothing(
    arguments: list[str], shop_jobs: Redis, changing: Command
) -> None:
    assert run(['trim', '--url', changing.url, '--yes', *arguments]) == 2
    assert sizes(shop_jobs) == {'labels': 40, 'mail': 40, 'supply': 3}
