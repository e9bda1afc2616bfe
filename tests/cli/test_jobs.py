"""`rqreg ls` and its filters."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import shop
from private_redis import PrivateRedis
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

import rqreg_ext
from rqreg_ext._query.filters import JobFilters
from rqreg_ext.cli.filters import OPTION_OF
from rqreg_ext.cli.root import run

from .running import Command, words

FILTERS = [
    (['--id', '*'], 83),
    (['--func', 'shop.send_*'], 40),
    (['--func', r're:^shop\.(send|ask)'], 43),
    (['--func', 'send'], 0),
    (['--description', '*order*'], 0),
    (['--worker', '*'], 83),
    (['--exc-type', 'shop.MailServerDown'], 40),
    (['--exc-message', 'refused'], 40),
    (['--exc-text', 'no answer about tea'], 1),
    (['--arg', '0:=5'], 2),
    (['--arg', '0=5'], 0),
    (['--arg', '0=tea'], 1),
    (['--kwarg', 'template'], 40),
    (['--kwarg', 'template=reminder'], 10),
    (['--meta', 'shop'], 40),
    (['--meta', 'shop=de', '--kwarg', 'template=reminder'], 10),
    (['--meta', 'shop:=5'], 0),
    (['--status', 'failed'], 83),
    (['--status', 'stopped', '--status', 'finished'], 0),
    (['--created-after', '1h'], 83),
    (['--created-before', '1h'], 0),
    (['--enqueued-before', '30d'], 40),
    (['--started-after', '2026-01-01T00:00Z'], 83),
    (['--ended-before', '30d'], 40),
    (['--ended-before', '1w40d'], 0),
    (['--ended-after', '30d', '--func', 'shop.print_label'], 20),
    (['--min-score', '1e9'], 83),
    (['--max-score', '1e9'], 0),
    (['--queue', 'mail'], 40),
    (['--queue', 'm*', '--queue', 'supply'], 43),
    (['--queue', 'm*', '--queue', 'mail', '--queue', '*ail'], 40),
    (['--all-queues'], 83),
    (['--registry', 'finished'], 3),
    (['--registry', 'canceled'], 0),
    (['--limit', '7'], 7),
]


def in_process(command: Command, *arguments: str) -> int:
    """Run the command in this process, where its imports are done."""
    return run([arguments[0], '--url', command.url, *arguments[1:]])


@pytest.mark.parametrize(
    ('arguments', 'count'), FILTERS, ids=lambda value: ' '.join(value) if isinstance(value, list) else ''
)
def test_filters_select_listed_jobs(
    arguments: list[str], count: int, rqreg: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_process(rqreg, 'ls', '--output', 'ids', *arguments) == 0
    out, err = capsys.readouterr()
    assert (len(out.splitlines()), err) == (count, '')


def test_each_filter_of_find_is_an_option_and_is_tried() -> None:
    assert OPTION_OF.keys() == JobFilters.__annotations__.keys()
    tried = {word for arguments, _ in FILTERS for word in arguments if word.startswith('--')}
    # Of each time, one side is enough.
    sides = {name.removesuffix('-before').removesuffix('-after') for name in tried}
    assert {name.removesuffix('-before').removesuffix('-after') for name in OPTION_OF.values()} - sides == set()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--func', 're:('], "'re:(' is not a regular expression: missing ), unterminated subpattern"),
        (
            ['--ended-after', 'yesterday'],
            "'yesterday' is not a time: give a duration before now, like 90s, 15m, 2h or 30d",
        ),
        (['--ended-after', '2026-11-29T10:00'], 'has no time zone, and may be local time or UTC'),
        (['--ended-after', '1h', '--ended-before', '2h'], 'so nothing matches'),
        (['--exc-text', ''], 'is found in every text'),
        (['--status', 'lost'], "'lost' in status is not a status"),
        (['--arg', 'first=5'], "--arg 'first=5': give a position and a value"),
        (['--arg', '0:=x'], "'x' is not JSON"),
        (['--meta', 'a', '--meta', 'b=1'], '--meta: give one name, or names with values: a b=1'),
        (['--fields', 'name'], "'name' is not a field of a job: the fields are func_name"),
        (['--fields', 'func_name,meta'], 'meta: give --unpickle, which runs code of the pickles'),
        (['--newest', '--registry', 'scheduled'], '--newest orders by the end of jobs'),
        (['--queue', 'mail', '--all-queues'], 'give --queue or --all-queues, not both'),
        (['--queue', 'mial'], "did you mean 'mail'?"),
        (['--limit', '0'], '0'),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, list) else '',
)
def test_wrong_usage_of_ls_is_status_2(
    arguments: list[str], message: str, rqreg: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_process(rqreg, 'ls', *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ''
    assert message in err


@pytest.mark.parametrize('columns', [80, 200])
def test_table_of_jobs_fits_terminal(columns: int, rqreg: Command) -> None:
    ended = rqreg('ls', '--queue', 'mail', '--fields', 'func_name,exc_message,end', COLUMNS=str(columns))
    title, *rows = ended.lines
    assert title.split()[:2] == ['id', 'queue']
    assert len(rows) == 40
    assert all(len(row.split()[0]) == 36 for row in rows)
    if columns == 200:
        assert all(row.endswith('Z') for row in rows)
        assert 'connection refused, for the' in rows[0]
    else:
        assert max(map(len, ended.lines)) <= 80
        assert '…' in rows[0]
        assert title.split()[-1] == 'ago'
        assert sum('  31d' in row for row in rows) == 20


def test_text_in_a_pipe_is_not_cut(rqreg: Command) -> None:
    assert '…' not in rqreg('ls', '--fields', 'exc_message,exc_info').out


def test_nothing_that_a_job_holds_moves_the_cursor(connection: Redis, changing: Command) -> None:
    queue = Queue('mail', connection=connection)
    job = queue.enqueue('len', (), description='one\ntwo\x1b[2J')
    queue.failed_job_registry.add(job, ttl=100)
    ended = changing('ls', '--fields', 'description')
    assert ended.lines[1].endswith(r'one\ntwo\x1b[2J')
    assert r'one\ntwo\x1b[2J' in changing('show', job.id).out


def test_json_has_schema_and_chosen_fields(rqreg: Command) -> None:
    found = rqreg('ls', '--limit', '2', '--output', 'json').json
    assert (list(found), found['schema']) == (['schema', 'jobs'], 1)
    assert [list(job) for job in found['jobs']] == [['id', 'queue', 'func_name', 'exc_type', 'end']] * 2
    assert found['jobs'][0]['func_name'] == 'shop.print_label'
    assert rqreg('ls', '--id', 'none', '--output', 'json').json == {'schema': 1, 'jobs': []}
    (job,) = rqreg('ls', '--limit', '1', '--output', 'jsonl', '--fields', 'status').values
    assert list(job) == ['schema', 'id', 'queue', 'status']
    assert job['status'] == 'failed'


def test_newest_option_lists_last_ends_of_all_queues_first(rqreg: Command) -> None:
    jobs = rqreg('ls', '--newest', '--output', 'jsonl').values
    ends = [job['end'] for job in jobs]
    assert (len(jobs), ends) == (83, sorted(ends, reverse=True))
    assert [job['id'] for job in rqreg('ls', '--newest', '--limit', '5', '-o', 'jsonl').values] == [
        job['id'] for job in jobs[:5]
    ]
    assert list(jobs[0]) == ['schema', 'id', 'queue', 'func_name', 'exc_type', 'end']
    assert len(rqreg('ls', '--newest', '--limit', '2', '--fields', 'status', '-o', 'ids').lines) == 2


def test_ls_changes_nothing_not_even_by_clean_up(connection: Redis, changing: Command) -> None:
    shop.let_jobs_fail(connection)
    connection.zadd('rq:failed:mail', {'expired': 1})
    before = {key: connection.dump(key) for key in connection.scan_iter()}
    for arguments in (['ls'], ['ls', '--newest'], ['errors'], ['stats'], ['ls', '--registry', 'started']):
        assert changing(*arguments).status == 0
    assert {key: connection.dump(key) for key in connection.scan_iter()} == before


def test_nothing_is_unpickled_unless_asked_for(connection: Redis, changing: Command, tmp_path: Path) -> None:
    (tmp_path / 'traps.py').write_text('class Trap:\n    def __reduce__(self):\n        return open, ("sprung", "w")\n')
    program = (
        'import redis, rq, sys, traps; queue = rq.Queue("mail", connection=redis.Redis.from_url(sys.argv[1])); '
        'job = queue.enqueue("len", traps.Trap(), meta={"trap": traps.Trap()}, job_id="a"); '
        'queue.failed_job_registry.add(job, ttl=100)'
    )
    subprocess.run([sys.executable, '-c', program, changing.url], cwd=tmp_path, check=True, timeout=60)
    for arguments in (
        ['ls', '--fields', 'func_name,status'],
        ['ls', '--arg', '0=x'],
        ['ls', '--meta', 'trap=x'],
        ['show', 'a'],
        ['show', 'a', '-o', 'json'],
        ['errors'],
    ):
        subprocess.run(words(*arguments), cwd=tmp_path, env=changing.environment(), check=True, timeout=60)
        assert not (tmp_path / 'sprung').exists(), arguments
    assert changing('show', 'a', '-o', 'json').json['jobs'][0]['job']['args'] == [{'not_read': 'an object in a pickle'}]
    asked = words('ls', '--fields', 'args', '--unpickle')
    subprocess.run(asked, cwd=tmp_path, env=changing.environment(), check=True, timeout=60)
    assert (tmp_path / 'sprung').exists()
    (tmp_path / 'sprung').unlink()
    for arguments in (
        ['fsck', '--settle', '0.1'],
        ['cancel', '--all-queues', '--yes'],
        ['delete', '--all-queues', '--registry', 'canceled', '--yes'],
    ):
        subprocess.run(words(*arguments), cwd=tmp_path, env=changing.environment(), check=False, timeout=60)
        assert not (tmp_path / 'sprung').exists(), arguments
    assert not connection.exists('rq:job:a')


def test_serializer_option_reads_jobs_of_another_serializer(connection: Redis, changing: Command) -> None:
    queue = Queue('mail', connection=connection, serializer=JSONSerializer)
    queue.failed_job_registry.add(queue.enqueue('math.sqrt', 9, meta={'a': {'b': 1}}), ttl=100)
    # The short name that RQ 3 has for it, json, is not RQ 2's.
    path = 'rq.serializers.JSONSerializer'
    assert changing('ls', '-S', path, '-o', 'jsonl').values[0]['func_name'] == 'math.sqrt'
    assert len(changing('ls', '-S', path, '--meta', 'a:={"b": 1}', '-o', 'ids').lines) == 1
    assert changing('errors', '-S', path, '-o', 'jsonl').values[0]['func_name'] == 'math.sqrt'
    ended = changing('ls', '-S', 'no.such')
    assert (ended.status, '--serializer no.such' in ended.err) == (2, True)


def test_missing_job_is_listed_and_unreadable_queue_is_left_out(connection: Redis, changing: Command) -> None:
    connection.sadd('rq:queues', 'rq:queue:mail', 'rq:queue:labels')
    connection.zadd('rq:failed:mail', {'gone': 4e9})
    connection.set('rq:failed:labels', 'text')
    ended = changing('ls', '-o', 'jsonl')
    assert ended.values == [
        {'schema': 1, 'id': 'gone', 'queue': 'mail', 'func_name': None, 'exc_type': None, 'end': None}
    ]
    assert ended.status == 1
    assert "queue 'labels' was left out: ResponseError: WRONGTYPE" in ended.err
    assert 'rq:failed:labels' in ended.err


def test_ls_with_fail_if_none_is_status_1_without_jobs(rqreg: Command) -> None:
    for command in ('ls', 'errors'):
        assert rqreg(command, '--func', 'none', '--fail-if-none').status == 1
        assert rqreg(command, '--func', 'none').status == 0
        assert rqreg(command, '--fail-if-none').status == 0


def test_long_listing_takes_constant_memory_and_ends_with_reader(connection: Redis, changing: Command) -> None:
    connection.sadd('rq:queues', 'rq:queue:mail')
    for start in range(0, 200_000, 20_000):
        connection.zadd('rq:failed:mail', {f'job-{number:06}': 4e9 + number for number in range(start, start + 20_000)})
    program = (
        'import resource, sys; from rqreg_ext.cli.root import run; status = run(sys.argv[1:]); '
        'print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr); sys.exit(status)'
    )
    peaks = []
    for limit in ('1000', '200000'):
        command = [sys.executable, '-c', program, 'ls', '-o', 'json', '--fields', 'status', '--limit', limit]
        ended = subprocess.run(command, env=changing.environment(), capture_output=True, check=True, timeout=120)
        assert len(json.loads(ended.stdout)['jobs']) == int(limit)
        peaks.append(int(ended.stderr))
    # In kilobytes: 200 000 ids alone would be 11 000.
    assert peaks[1] - peaks[0] < 5000
    process = changing.start('ls', '-o', 'ids')
    assert process.stdout is not None
    assert process.stdout.readline() == 'job-000000\n'
    process.stdout.close()
    assert process.stderr is not None
    assert (process.wait(60), process.stderr.read()) == (0, '')
    process.stderr.close()


def test_ids_equal_those_of_find(shop_jobs: Redis, changing: Command) -> None:
    registry = rqreg_ext.FailedJobRegistry('mail', connection=shop_jobs)
    expected = list(registry.find(exc_message='reminder'))
    assert changing('ls', '--queue', 'mail', '--exc-message', 'reminder', '-o', 'ids').lines == expected
    assert len(expected) == 10


def test_server_lost_during_listing_is_status_4() -> None:
    with PrivateRedis() as server:
        connection = server.client()
        connection.sadd('rq:queues', 'rq:queue:mail')
        connection.zadd('rq:failed:mail', {f'job-{number:06}': 4e9 for number in range(200_000)})
        process = Command(server.url).start('ls', '-o', 'ids')
        assert process.stdout is not None
        assert process.stdout.readline() == 'job-000000\n'
        server.kill()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert len(out.splitlines()) < 199_999
    assert 'rqreg: no answer from the server: ' in err
