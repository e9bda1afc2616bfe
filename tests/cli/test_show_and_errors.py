"""`rqreg show` and `rqreg errors`."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from redis import Redis
from rq import Queue, SimpleWorker

from .running import Command, words

JOB = {'schema', 'id', 'exists', 'ttl', 'places', 'job', 'results', 'executions', 'dependencies', 'dependents'}
GROUP = {'schema', 'func_name', 'exc_type', 'count', 'first', 'last', 'queues', 'example', 'hours', 'filter'}


def show(command: Command, job_id: str) -> dict:  # type: ignore[type-arg]
    (found,) = command('show', job_id, '-o', 'jsonl').values
    assert set(found) == JOB
    return found  # type: ignore[no-any-return]


def test_show_has_place_and_result_of_failed_job(rqreg: Command) -> None:
    (job_id,) = rqreg('ls', '--exc-message', 'tea', '-o', 'ids').lines
    found = show(rqreg, job_id)
    assert found['exists'] is True
    assert 0 < found['ttl'] <= 31536000
    (place,) = found['places']
    assert (place['queue'], place['place'], place['position']) == ('supply', 'failed', None)
    assert (found['job']['func_name'], found['job']['args'], found['job']['kwargs']) == (
        'shop.ask_supplier',
        ['tea'],
        {},
    )
    (result,) = found['results']
    assert (result['type'], result['return_value']) == ('failed', None)
    assert result['exc_info'].splitlines()[-1] == 'TimeoutError: no answer about tea'
    text = rqreg('show', job_id).lines
    assert text[0].split() == ['id', job_id]
    assert 'TimeoutError: no answer about tea' in text[-1]


def test_show_has_dependents_and_dependencies(connection: Redis, changing: Command) -> None:
    queue = Queue('mail', connection=connection)
    for number in range(2):
        queue.enqueue('len', (), job_id=f'other-{number}')
    first = queue.enqueue('len', (1, 2), job_id='first', meta={'shop': 'de'}, ttl=100)
    queue.enqueue('len', (), job_id='second', depends_on=first)
    found = show(changing, 'first')
    assert [(place['place'], place['position']) for place in found['places']] == [('queued', 2)]
    assert found['dependents'] == [{'id': 'second', 'status': 'deferred'}]
    assert (found['job']['meta'], found['job']['args']) == ({'shop': 'de'}, [[1, 2]])
    found = show(changing, 'second')
    assert [place['place'] for place in found['places']] == ['deferred']
    assert found['dependencies'] == [{'id': 'first', 'status': 'queued'}]
    SimpleWorker([queue], connection=connection).work(burst=True, logging_level='CRITICAL')
    found = show(changing, 'first')
    assert [(result['type'], result['return_value']) for result in found['results']] == [('successful', 2)]
    assert 'successful: 2' in changing('show', 'first').out


def test_show_has_execution_of_started_job(connection: Redis, changing: Command) -> None:
    queue = Queue('mail', connection=connection)
    job = queue.enqueue('len', (), job_id='a')
    worker = SimpleWorker([queue], connection=connection)
    worker.prepare_execution(job)
    worker.prepare_job_execution(job)
    found = show(changing, 'a')
    assert 'started' in [place['place'] for place in found['places']]
    assert [execution['id'] for execution in found['executions']] == [worker.execution.id]  # type: ignore[union-attr]
    assert found['executions'][0]['created_at'] is not None


def test_show_names_dates_that_are_no_times(connection: Redis, changing: Command) -> None:
    queue = Queue('mail', connection=connection)
    job = queue.enqueue('len', (), job_id='a')
    for number, created_at in enumerate(('soon', '1e300', 'nan', '')):
        connection.zadd('rq:executions:a', {f'run-{number}': 4e9})
        connection.hset(f'rq:execution:a:run-{number}', 'created_at', created_at)
    connection.hset(job.key, mapping={'dependency_ids': '5', 'enqueued_at': 'soon'})
    connection.xadd('rq:results:a', {'type': '1'}, id='18446744073709551615-1')
    found = show(changing, 'a')
    assert [execution['created_at'] and list(execution['created_at']) for execution in found['executions']] == [
        ['unreadable'],
        ['unreadable'],
        ['unreadable'],
        None,
    ]
    assert found['results'][0]['time']['unreadable'].startswith('1.844674407370955e+16 is not a time: ')
    assert found['dependencies'] == []
    text = changing('show', 'a')
    assert (text.status, text.err) == (0, '')
    assert 'soon is not a time' in text.out


def test_show_of_missing_jobs_is_status_1(connection: Redis, changing: Command) -> None:
    connection.sadd('rq:queues', 'rq:queue:mail')
    connection.zadd('rq:failed:mail', {'gone': 4e9})
    ended = changing('show', 'gone', 'never', '-o', 'json')
    assert ended.status == 1
    assert [job['exists'] for job in ended.json['jobs']] == [False, False]
    assert [len(job['places']) for job in ended.json['jobs']] == [1, 0]
    assert ended.err.splitlines() == ["rqreg: there is no job 'gone'", "rqreg: there is no job 'never'"]
    assert changing('show').status == 2


@pytest.mark.parametrize('columns', [80, 200])
def test_errors_prints_groups_as_text(columns: int, rqreg: Command) -> None:
    ended = rqreg('errors', COLUMNS=str(columns))
    assert (ended.status, ended.err) == (0, '')
    assert ended.lines[0] == '83 jobs in 3 groups by function and exception'
    assert max(map(len, ended.lines)) <= columns
    assert [line.split() for line in ended.lines if 'shop.' in line and '--' not in line] == [
        ['40', 'shop.print_label', 'KeyError'],
        ['40', 'shop.send_mail', 'shop.MailServerDown'],
        ['3', 'shop.ask_supplier', 'TimeoutError'],
    ]
    assert '█                      █' in ended.out
    assert rqreg('errors', '--limit', '1').lines[-1] == 'and 2 smaller groups'


def test_errors_prints_groups_as_json(rqreg: Command) -> None:
    found = rqreg('errors', '-o', 'json').json
    assert set(found) == {'schema', 'total', 'groups', 'skipped', 'errors'}
    assert (found['total'], found['skipped'], found['errors']) == (83, {}, {})
    groups = rqreg('errors', '-o', 'jsonl').values
    assert [set(group) for group in groups] == [GROUP] * 3
    assert [(group['count'], group['queues']) for group in groups] == [
        (40, {'labels': 40}),
        (40, {'mail': 40}),
        (3, {'supply': 3}),
    ]
    assert [sum(hour['count'] for hour in group['hours']) for group in groups] == [40, 40, 3]
    assert all(group['first'] <= group['last'] for group in groups)


@pytest.mark.parametrize(
    'arguments', [[], ['--queue', 'm*'], ['--ended-before', '30d'], ['--func', 're:mail|label', '--meta', 'shop=de']]
)
def test_filter_of_group_selects_its_jobs(arguments: list[str], rqreg: Command) -> None:
    groups = rqreg('errors', '-o', 'jsonl', *arguments).values
    assert groups
    for group in groups:
        selected = rqreg('ls', '-o', 'ids', *shlex.split(group['filter'])).lines
        assert (len(selected), group['example'] in selected) == (group['count'], True)


TRACEBACK = 'Traceback (most recent call last):\n  File "x", line 1, in y\nValueError: z\n'


def test_filter_of_group_quotes_wildcards_and_is_none_without_exception(connection: Redis, changing: Command) -> None:
    queue = Queue('mail', connection=connection)
    for name, text in (('shop.a[1]*', TRACEBACK), ('shop.a1', TRACEBACK), ('shop.b', None)):
        job = queue.enqueue(name, job_id=name.translate({ord(c): '-' for c in '.[]*'}))
        queue.failed_job_registry.add(job, ttl=10_000)
        if text:
            connection.hset(job.key, 'exc_info', text)
    groups = {group['func_name']: group['filter'] for group in changing('errors', '-o', 'jsonl').values}
    assert groups['shop.b'] is None
    assert changing('ls', '-o', 'ids', *shlex.split(groups['shop.a[1]*'])).lines == ['shop-a-1--']


def selected_by(command: Command, filter_as_printed: str) -> list[str]:
    """Return the ids that a shell lists by the filter."""
    line = f'{shlex.join(words("ls", "-o", "ids"))} {filter_as_printed}'
    ended = subprocess.run(
        ['bash', '-c', line], env=command.environment(), capture_output=True, text=True, check=True, timeout=60
    )
    return ended.stdout.splitlines()


NAMES = ("it's", 'a "b" $c \\n', 'two\nlines', 'tab\t\\', 'esc\x1b[31m', 're:shop', '-x', 'é\u2028', 'mail', '[x]*?')


def test_filter_of_any_name_survives_shell(connection: Redis, changing: Command) -> None:
    queue = Queue('mail', connection=connection)
    for number, name in enumerate(NAMES):
        job = queue.enqueue(name, job_id=f'job-{number}')
        queue.failed_job_registry.add(job, ttl=10_000)
        connection.hset(job.key, 'exc_info', TRACEBACK)
    groups = {group['func_name']: group['filter'] for group in changing('errors', '-o', 'jsonl').values}
    assert {name: selected_by(changing, groups[name]) for name in NAMES} == {
        name: [f'job-{number}'] for number, name in enumerate(NAMES)
    }
    lines = changing('errors').out.split('\n')
    printed = [line.strip() for line in lines if '--func' in line]
    assert sorted(printed) == sorted(groups.values())
    assert all(line.isprintable() for line in printed)


def test_filter_keeps_equal_words_of_different_options(rqreg: Command) -> None:
    # A queue, a text and a function of the same name.
    arguments = ['--queue', 'mail', '--description', 'shop.send_mail*', '--func', 'shop.send_mail*']
    (group,) = rqreg('errors', '-o', 'jsonl', *arguments).values
    assert shlex.split(group['filter'])[:4] == ['--queue', 'mail', '--description', 'shop.send_mail*']
    assert len(selected_by(rqreg, group['filter'])) == group['count'] == 40


def test_filter_keeps_key_that_ends_with_colon(connection: Redis, changing: Command) -> None:
    queue = Queue('mail', connection=connection)
    job = queue.enqueue('len', job_id='a', meta={'shop:': 'de'})
    queue.failed_job_registry.add(job, ttl=10_000)
    connection.hset(job.key, 'exc_info', TRACEBACK)
    (group,) = changing('errors', '-o', 'jsonl', '--meta', 'shop::="de"').values
    assert selected_by(changing, group['filter']) == ['a']


def test_errors_leaves_out_queue_that_cannot_be_read(connection: Redis, changing: Command) -> None:
    connection.sadd('rq:queues', 'rq:queue:mail')
    connection.set('rq:failed:mail', 'text')
    ended = changing('errors', '-o', 'json')
    assert (ended.status, list(ended.json['errors'])) == (1, ['mail'])
    assert "queue 'mail' was left out" in ended.err
