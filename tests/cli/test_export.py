"""`rqreg export`, `rqreg restore`, and `--export` of the commands that change jobs."""

from __future__ import annotations

import gzip
import json
import resource
import signal
import time
from pathlib import Path

import pytest
from export.state import state
from private_redis import PrivateRedis
from redis import Redis
from rq import Queue

from rqreg_ext.cli.root import run

from .running import Command
from .test_changes import many_failed, sizes

EXPORT = {'schema', 'command', 'file', 'jobs', 'interrupted', 'seconds', 'queues', 'total', 'errors'}


def test_restore_after_delete_gives_equal_database(shop_jobs: Redis, changing: Command, tmp_path: Path) -> None:
    before = state(shop_jobs)
    path = str(tmp_path / 'all.jsonl.gz')
    ended = changing('export', path, '--registry', 'all')
    assert (ended.status, ended.err) == (0, '')
    assert ended.out.startswith(f'exported 86 jobs of 3 queues (labels 40, mail 40, supply 6) into {path} in ')
    assert changing('delete', '--all-queues', '-y').status == 0
    ended = changing('restore', path, '--yes', '--skip-existing')
    assert (ended.status, ended.err) == (0, '')
    assert ended.lines[0].startswith(f'restored 83 jobs of 3 queues (labels 40, mail 40, supply 3) from {path} in ')
    assert ended.lines[1:] == ['3 skipped: exists already']
    assert state(shop_jobs) == before
    ended = changing('restore', path, '--yes')
    assert (ended.status, ended.lines[1:]) == (1, ['86 failed'])
    assert ended.err.count('the job exists already') == 10
    assert ended.err.endswith('and 76 more jobs\n')
    assert state(shop_jobs) == before


def test_export_writes_jobs_of_queues_that_match_filters(shop_jobs: Redis, changing: Command, tmp_path: Path) -> None:
    ended = changing('export', str(tmp_path / 'some'), '--queue', 'm*', '--ended-before', '30d', '-o', 'json')
    assert set(ended.json) == EXPORT
    assert (ended.json['jobs'], ended.json['total']['done'], ended.json['interrupted']) == (20, 20, False)
    assert list(ended.json['queues']) == ['mail']
    ids = changing('ls', '--queue', 'mail', '--ended-before', '30d', '-o', 'ids').lines
    lines = (tmp_path / 'some').read_text().splitlines()[1:-1]
    assert [json.loads(line)['id'] for line in lines] == ids
    assert changing('export', str(tmp_path / 'none'), '--func', 'none', '--fail-if-none').status == 1


def test_export_into_pipe_is_restored_from_it(shop_jobs: Redis, changing: Command) -> None:
    exported = changing('export', '-', '--registry', 'failed', '--registry', 'finished')
    assert (exported.status, len(exported.lines)) == (0, 88)
    assert exported.err.startswith('exported 86 jobs of 3 queues (labels 40, mail 40, supply 6) into - in ')
    other = f'{changing.url[:-1]}1'
    ended = changing('restore', '-', '--url', other, given=exported.out)
    assert (ended.status, ended.out) == (3, '')
    assert 'the jobs come from stdin' in ended.err
    ended = changing('restore', '-', '--url', other, '--yes', '-o', 'json', given=exported.out)
    assert set(ended.json) == EXPORT | {'dry_run'}
    assert (ended.json['file'], ended.json['dry_run'], ended.json['total']['done']) == ('-', False, 86)
    with Redis.from_url(other) as client:
        assert state(client) == state(shop_jobs)


def test_restore_puts_jobs_into_another_queue(shop_jobs: Redis, changing: Command, tmp_path: Path) -> None:
    path = str(tmp_path / 'supply')
    changing('export', path, '--queue', 'supply')
    changing('delete', '--queue', 'supply', '-y')
    ended = changing('restore', path, '--to-queue', 'spare', '--dry-run')
    assert (ended.status, sizes(shop_jobs)) == (0, {'labels': 40, 'mail': 40})
    assert ended.out.startswith('would restore 3 jobs of 1 queue (spare 3) from ')
    assert changing('restore', path, '--to-queue', 'spare', '--yes').status == 0
    assert changing('stats', 'spare', '-o', 'json').json['queues'][0]['failed'] == 3
    assert changing('requeue', '--queue', 'spare', '--yes').out.startswith('requeued 3 of 3 jobs')
    assert shop_jobs.llen('rq:queue:spare') == 3


@pytest.mark.parametrize(('answer', 'status'), [('y\n', 0), ('n\n', 3), ('\x03', 130)])
def test_restore_asks_before_it_runs_on_terminal(
    answer: str, status: int, shop_jobs: Redis, changing: Command, tmp_path: Path
) -> None:
    path = str(tmp_path / 'supply.gz')
    changing('export', path, '--queue', 'supply')
    changing('delete', '--queue', 'supply', '-y')
    terminal = changing.at_terminal('restore', path)
    terminal.wait_for('restore 3 jobs of 1 queue (supply 3)? [y/N] ')
    terminal.type(answer)
    assert terminal.end() == status, terminal.text
    assert sizes(shop_jobs).get('supply', 0) == (3 if status == 0 else 0)


def test_restore_without_terminal_needs_yes(shop_jobs: Redis, changing: Command, tmp_path: Path) -> None:
    path = tmp_path / 'supply'
    changing('export', str(path), '--queue', 'supply')
    ended = changing('restore', str(path))
    assert ended.status == 3
    assert 'not confirmed: restore 3 jobs of 1 queue (supply 3)? There is no terminal' in ended.err
    (tmp_path / 'cut').write_bytes(path.read_bytes()[:-30])
    assert 'which is damaged or cut off' in changing('restore', str(tmp_path / 'cut')).err
    assert changing('restore', str(tmp_path / 'none')).status == 1


def test_files_that_cannot_be_used_are_status_1(
    shop_jobs: Redis, changing: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'jobs'
    path.write_text('mine')
    assert run(['export', str(path), '-u', changing.url]) == 1
    assert f'{path}: the file exists already: give another name' in capsys.readouterr().err
    assert run(['export', str(tmp_path / 'no' / 'jobs'), '-u', changing.url]) == 1
    assert 'No such file or directory' in capsys.readouterr().err
    assert run(['restore', str(path), '-u', changing.url, '--yes']) == 1
    assert f'{path}, line 1: it is not JSON' in capsys.readouterr().err
    assert run(['restore', str(tmp_path / 'none'), '-u', changing.url, '--yes']) == 1
    assert path.read_text() == 'mine'
    assert [each.name for each in tmp_path.iterdir()] == ['jobs']


def test_restore_of_cut_file_keeps_what_it_did(shop_jobs: Redis, changing: Command, tmp_path: Path) -> None:
    path = tmp_path / 'mail'
    changing('export', str(path), '--queue', 'mail')
    changing('delete', '--queue', 'mail', '-y')
    lines = path.read_bytes().splitlines(keepends=True)
    (tmp_path / 'cut.gz').write_bytes(gzip.compress(b''.join(lines[:11])))
    ended = changing('restore', str(tmp_path / 'cut.gz'), '--yes')
    assert ended.status == 1
    assert ended.out.startswith('interrupted: restored 10 jobs of 1 queue (mail 10) from ')
    assert 'cut.gz, line 11: the file ends after it' in ended.err
    assert sizes(shop_jobs)['mail'] == 10
    assert changing('restore', str(path), '--yes', '--skip-existing').status == 0
    assert sizes(shop_jobs)['mail'] == 40


@pytest.mark.parametrize('name', ['requeue', 'delete', 'cancel'])
def test_jobs_are_exported_before_they_are_changed(
    name: str, shop_jobs: Redis, changing: Command, tmp_path: Path
) -> None:
    before = state(shop_jobs)
    path = str(tmp_path / 'first.gz')
    ids = changing('ls', '--queue', 'mail', '--ended-before', '30d', '-o', 'ids').lines
    ended = changing(name, '--queue', 'mail', '--ended-before', '30d', '--export', path, '--dry-run')
    assert (ended.status, list(tmp_path.iterdir())) == (0, [])
    assert changing(name, '--queue', 'mail', '--ended-before', '30d', '--export', path).status == 3
    assert (state(shop_jobs), list(tmp_path.iterdir())) == (before, [])
    ended = changing(name, '--queue', 'mail', '--ended-before', '30d', '--limit', '15', '--export', path, '--yes')
    assert (ended.status, ended.err) == (0, '')
    done = {'requeue': 'requeued', 'delete': 'deleted', 'cancel': 'canceled'}[name]
    assert ended.out.startswith(f'{done} 15 of 15 jobs')
    with gzip.open(path) as file:
        assert [json.loads(line)['id'] for line in file.readlines()[1:-1]] == ids[:15]
    if name != 'delete':
        changing('delete', '--queue', 'mail', '--registry', 'canceled', '--yes')
        for job_id in ids[:15]:
            shop_jobs.delete(f'rq:job:{job_id}', f'rq:results:{job_id}', 'rq:queue:mail')
    assert changing('restore', path, '--yes').status == 0
    assert state(shop_jobs) == before


@pytest.mark.parametrize(
    'words',
    [
        ['move', '--waiting', '--queue', 'mail', '--to', 'night', '--new-queue'],
        ['delete', '--waiting', '--queue', 'mail', '--kwarg', 'template=reminder'],
        ['cancel', '--waiting', '--queue', 'mail', '--limit', '7'],
        ['delete', '--waiting', '--queue', 'mail', '--ids-from', 'IDS'],
        ['empty', 'mail', 'labels'],
    ],
)
def test_jobs_that_wait_are_exported_before_they_are_changed(
    words: list[str], shop_jobs: Redis, changing: Command, tmp_path: Path
) -> None:
    assert changing('requeue', '--all-queues', '--yes').status == 0
    (tmp_path / 'ids').write_text(''.join(changing('ls', '--waiting', '--queue', 'mail', '-o', 'ids').out))
    words = [word.replace('IDS', str(tmp_path / 'ids')) for word in words]
    before = state(shop_jobs)
    path = str(tmp_path / 'first.gz')
    ended = changing(*words, '--export', path, '--dry-run')
    assert (ended.status, (tmp_path / 'first.gz').exists()) == (0, False)
    ended = changing(*words, '--export', path, '--yes', '-o', 'json')
    assert (ended.status, ended.err) == (0, '')
    with gzip.open(path) as file:
        exported = list(map(json.loads, file.readlines()[1:-1]))
    assert len(exported) == ended.json['total']['done'] == ended.json['jobs'] > 0
    assert {job['registry'] for job in exported} == {'queued'}
    changing('empty', 'night', '--yes')
    changing('delete', '--all-queues', '--registry', 'canceled', '--yes')
    shop_jobs.srem('rq:queues', 'rq:queue:night')
    assert changing('restore', path, '--yes').out.startswith(f'restored {len(exported)} jobs')
    after = state(shop_jobs)
    # They come to the end.
    assert sorted(after.pop(b'rq:queue:mail')) == sorted(before.pop(b'rq:queue:mail'))
    assert after == before


def test_empty_with_export_deletes_only_exported_jobs(connection: Redis, changing: Command, tmp_path: Path) -> None:
    queue = Queue('mail', connection=connection)
    for number in range(10):
        queue.enqueue(len, 'text', job_id=f'job-{number}')
    terminal = changing.at_terminal('empty', 'mail', '--export', str(tmp_path / 'jobs'))
    terminal.wait_for('[y/N] ')
    # As a worker does.
    connection.lpop('rq:queue:mail', 4)
    queue.enqueue(len, 'text', job_id='later')
    queue.enqueue(len, 'text', job_id='latest')
    terminal.type('y\n')
    assert terminal.end() == 0
    written = [json.loads(line)['id'] for line in (tmp_path / 'jobs').read_text().splitlines()[1:-1]]
    kept = [job_id.decode() for job_id in connection.lrange('rq:queue:mail', 0, -1)]
    assert [*written, *kept] == [*(f'job-{number}' for number in range(4, 10)), 'later', 'latest']


def test_export_with_waiting_writes_jobs_that_wait(shop_jobs: Redis, changing: Command, tmp_path: Path) -> None:
    assert changing('requeue', '--queue', 'mail', '--queue', 'supply', '--yes').status == 0
    before = state(shop_jobs)
    path = str(tmp_path / 'jobs')
    for options, counts in (
        (['--waiting'], {'mail': 40, 'supply': 3}),
        (['--waiting', '--kwarg', 'template=reminder'], {'mail': 10}),
        (['--waiting', '--registry', 'finished'], {'mail': 40, 'supply': 6}),
        (['--waiting', '--registry', 'all', '--limit', '45'], {'labels': 40, 'mail': 5}),
    ):
        ended = changing('export', path, *options, '-o', 'json')
        assert ended.status == 0
        assert {name: result['done'] for name, result in ended.json['queues'].items() if result['done']} == counts
        Path(path).unlink()
    changing('export', path, '--waiting', '--registry', 'all')
    other = f'{changing.url[:-1]}1'
    assert changing('restore', path, '--url', other, '--yes').out.startswith('restored 86 jobs of 3 queues')
    with Redis.from_url(other) as client:
        assert state(client) == before
    ended = changing('export', '-', '--waiting', '--min-score', '5')
    assert (ended.status, '--min-score is for registries' in ended.err) == (2, True)


def test_export_writes_jobs_of_given_ids(shop_jobs: Redis, changing: Command, tmp_path: Path) -> None:
    assert changing('requeue', '--queue', 'supply', '--limit', '1', '--yes').status == 0
    ids = [*changing('ls', '-o', 'ids', '--exc-text', 'order 7').lines, *changing('ls', '--waiting', '-o', 'ids').lines]
    given = '\n'.join([*ids, 'none', *ids])
    for options, count, not_found in (
        ([], 2, 2),
        (['--waiting'], 1, 3),
        (['--waiting', '--registry', 'failed'], 3, 1),
        (['--limit', '1'], 1, 0),
    ):
        ended = changing('export', '-', '--ids-from', '-', *options, given=given)
        assert (ended.status, len(ended.lines)) == (0, count + 2)
        assert {json.loads(line)['id'] for line in ended.lines[1:-1]} <= set(ids)
        said = [f'{not_found} {"id" if not_found == 1 else "ids"} not found'] if not_found else []
        assert ended.err.splitlines()[1:] == said
    ended = changing('export', str(tmp_path / 'jobs'), '--ids-from', '-', '-o', 'json', given=given)
    assert (ended.json['jobs'], ended.json['not_found']) == (2, 2)
    assert changing('export', '-', '--ids-from', '-', '--func', 'x', given=given).status == 2


def test_trim_with_export_writes_what_it_deletes(shop_jobs: Redis, changing: Command, tmp_path: Path) -> None:
    before = state(shop_jobs)
    for number, options in enumerate((['--keep', '15'], ['--older-than', '30d'])):
        path = str(tmp_path / str(number))
        ended = changing('trim', '--all-queues', *options, '--export', path, '--yes')
        assert (ended.status, ended.err) == (0, '')
        count = 50 if number == 0 else 40
        assert ended.out.startswith(f'deleted {count} of {count} jobs of 2 queues')
        assert sum(sizes(shop_jobs).values()) == 83 - count
        assert changing('restore', path, '--yes').out.startswith(f'restored {count} jobs')
        assert state(shop_jobs) == before


@pytest.mark.parametrize('name', ['requeue', 'delete', 'cancel', 'trim'])
def test_nothing_is_changed_if_the_export_fails(
    name: str, shop_jobs: Redis, changing: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'jobs'
    path.write_text('mine')
    before = state(shop_jobs)
    options = [name, '-u', changing.url, '--all-queues', '--yes', *(['--keep', '1'] if name == 'trim' else [])]
    assert run([*options, '--export', str(path)]) == 1
    assert f'nothing was changed: {path}: the file exists already' in capsys.readouterr().err
    assert run([*options, '--export', str(tmp_path / 'no' / 'jobs')]) == 1
    assert state(shop_jobs) == before
    # Not the newest, which trim keeps.
    job_id = min(shop_jobs.zrange('rq:failed:supply', 0, -1), key=lambda i: shop_jobs.hget(b'rq:job:' + i, 'ended_at'))
    shop_jobs.delete(b'rq:results:' + job_id)
    shop_jobs.set(b'rq:results:' + job_id, 'text')
    before = state(shop_jobs)
    assert run([*options, '--export', str(tmp_path / 'other')]) == 1
    assert f"nothing was changed: 1 job not exported, '{job_id.decode()}': " in capsys.readouterr().err
    assert state(shop_jobs) == before
    assert [each.name for each in tmp_path.iterdir()] == ['jobs']


def test_export_onto_full_disk_is_reported(shop_jobs: Redis, changing: Command, tmp_path: Path) -> None:
    before = state(shop_jobs)
    for name in ('jobs', 'jobs.gz'):
        path = tmp_path / name
        for arguments, said in (
            (['export', str(path)], f'rqreg: {path}: File too large\n'),
            (
                ['delete', '--all-queues', '-y', '--export', str(path)],
                f'rqreg: nothing was changed: {path}: File too large\n',
            ),
        ):
            process = changing.start(
                *arguments,
                # As with a full disk.
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000)),
            )
            _, err = process.communicate(timeout=60)
            assert (process.returncode, err) == (1, said)
            assert list(tmp_path.iterdir()) == []
    assert state(shop_jobs) == before


def test_damaged_or_endless_file_is_refused_by_restore(shop_jobs: Redis, changing: Command, tmp_path: Path) -> None:
    path = tmp_path / 'supply'
    changing('export', str(path), '--queue', 'supply')
    before = state(shop_jobs)
    *lines, last = path.read_text().splitlines(keepends=True)
    for queues in ('5', '{"a": "b"}', '{"a": 1.5}'):
        path.write_text(''.join((*lines, last.replace('{"supply": 3}', queues))))
        ended = changing('restore', str(path))
        assert (ended.status, ended.out) == (3, '')
        assert f'restore the jobs of {path}, which is damaged or cut off? There' in ended.err
    # Of any length, and without lines.
    limit = {'preexec_fn': lambda: resource.setrlimit(resource.RLIMIT_AS, (2_000_000_000, 2_000_000_000))}
    for name in ('/dev/zero', '/dev/urandom'):
        process = changing.start('restore', name, **limit)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, 'which is damaged' in err) == (3, True)
        process = changing.start('restore', name, '--yes', **limit)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1
        assert err.startswith(f'rqreg: {name}, line 1: ')
    assert state(shop_jobs) == before


def test_trim_older_than_deletes_jobs_of_that_age(shop_jobs: Redis, changing: Command) -> None:
    ended = changing('trim', '--all-queues', '--older-than', '30d', '--dry-run')
    assert (ended.status, ended.out) == (0, 'would delete 40 jobs of 2 queues (labels 20, mail 20)\n')
    assert changing('trim', '--queue', 'mail', '--older-than', '30d', '-y').out.startswith('deleted 20 of 20 jobs')
    assert changing('trim', '--all-queues', '--registry', 'finished', '--older-than', '1s', '-y').status == 0
    assert changing('cancel', '--queue', 'supply', '-y').status == 0
    (oldest, *others) = shop_jobs.zrange('rq:canceled:supply', 0, -1)
    shop_jobs.zadd('rq:canceled:supply', {oldest: time.time() - 40 * 86400})
    assert changing('trim', '--all-queues', '--registry', 'canceled', '--older-than', '30d', '-y').out.startswith(
        'deleted 1 of 1 job of 1 queue (supply 1)'
    )
    assert sorted(shop_jobs.zrange('rq:canceled:supply', 0, -1)) == sorted(others)
    assert sizes(shop_jobs) == {'labels': 40, 'mail': 20}


@pytest.mark.parametrize('options', [[], ['--keep', '1', '--older-than', '1d'], ['--older-than', 'old']])
def test_wrong_usage_of_trim_by_age_is_status_2_and_changes_nothing(
    options: list[str], shop_jobs: Redis, changing: Command
) -> None:
    assert run(['trim', '-u', changing.url, '--all-queues', '--yes', *options]) == 2
    assert sizes(shop_jobs) == {'labels': 40, 'mail': 40, 'supply': 3}


def test_ctrl_c_during_export_leaves_no_file(connection: Redis, changing: Command, tmp_path: Path) -> None:
    many_failed(connection, 30_000)
    for arguments in (
        ['export', str(tmp_path / 'jobs')],
        ['delete', '--all-queues', '-y', '--export', str(tmp_path / 'jobs')],
    ):
        process = changing.start(*arguments)
        _wait_for_part(tmp_path)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (130, 'rqreg: interrupted\n')
        assert list(tmp_path.iterdir()) == []
        assert connection.zcard('rq:failed:mail') == 30_000


def _wait_for_part(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not any(path.suffix == '.part' and path.stat().st_size > 100_000 for path in folder.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_ctrl_c_during_restore_says_what_was_done(connection: Redis, changing: Command, tmp_path: Path) -> None:
    many_failed(connection, 30_000)
    # It is in no registry.
    connection.delete('rq:job:a')
    path = str(tmp_path / 'jobs')
    assert changing('export', path).status == 0
    before = state(connection)
    connection.flushdb()
    process = changing.start('restore', path, '--yes')
    deadline = time.monotonic() + 60
    while connection.zcard('rq:failed:mail') < 3000:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, 'rqreg: interrupted\n')
    assert out.startswith('interrupted: restored ')
    done = connection.zcard('rq:failed:mail')
    assert 3000 <= done < 30_000
    ended = changing('restore', path, '--yes', '--skip-existing')
    assert (ended.status, ended.lines[1]) == (0, f'{done:,} skipped: exists already'.replace(',', ' '))
    assert state(connection) == before


def test_server_lost_during_export_or_restore_is_status_4(tmp_path: Path) -> None:
    with PrivateRedis() as server:
        connection = server.client()
        many_failed(connection, 30_000)
        command = Command(server.url)
        assert command('export', str(tmp_path / 'all')).status == 0
        process = command.start('export', str(tmp_path / 'jobs'))
        _wait_for_part(tmp_path)
        server.kill()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert 'rqreg: no answer from the server: ' in err
    assert [path.name for path in tmp_path.iterdir()] == ['all']
    with PrivateRedis() as server:
        process = Command(server.url).start('restore', str(tmp_path / 'all'), '--yes')
        while server.client().zcard('rq:failed:mail') < 1000:
            time.sleep(0.01)
        server.kill()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert out.startswith('interrupted: restored ')
    assert 'rqreg: no answer from the server: ' in err


def test_export_ends_quietly_if_pipe_is_closed(connection: Redis, changing: Command) -> None:
    many_failed(connection, 30_000)
    process = changing.start('export', '-')
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ''
    assert process.wait(60) == 0


def test_export_shows_bar_at_terminal(connection: Redis, changing: Command, tmp_path: Path) -> None:
    many_failed(connection, 30_000)
    terminal = changing.at_terminal('export', str(tmp_path / 'jobs'))
    terminal.wait_for(' of 30 000 jobs')
    assert terminal.end() == 0
    assert 'exported 30 000 jobs' in terminal.text.rpartition('\x1b[K')[2]
