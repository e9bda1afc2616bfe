"""`rqreg fsck`."""

from __future__ import annotations

import pytest
from redis import Redis
from rq import Queue

from .running import Command

PROBLEM = {'kind', 'job_id', 'key', 'detail', 'repair', 'repaired_by_rq'}
REPORT = {'schema', 'counts', 'problems', 'entries', 'jobs', 'seconds', 'stopped', 'errors'}


@pytest.fixture
def broken(connection: Redis) -> Redis:
    """A Redis with an entry whose job is gone, a stale set, and a job that nothing can repair."""
    queue = Queue('mail', connection=connection)
    twice = queue.enqueue('len', (), job_id='twice')
    connection.rpush(queue.key, twice.id)
    connection.zadd('rq:failed:mail', {'gone': 4e9})
    connection.sadd('rq:job:lost:dependents', 'other')
    return connection


def test_fsck_of_healthy_redis_is_status_0(connection: Redis, changing: Command) -> None:
    Queue('mail', connection=connection).enqueue('len', ())
    ended = changing('fsck')
    assert (ended.status, ended.err) == (0, '')
    assert ended.out.startswith('0 problems in 1 job and 1 entry in ')


@pytest.mark.parametrize('columns', ['80', '200'])
def test_fsck_prints_problems_as_text(columns: str, broken: Redis, changing: Command) -> None:
    before = {key: broken.dump(key) for key in broken.scan_iter()}
    ended = changing('fsck', '--settle', '0.1', COLUMNS=columns)
    assert (ended.status, ended.err) == (1, '')
    assert ended.lines[0].startswith('3 problems in 1 job and 3 entries in ')
    for kind in ('1 missing_job', '1 stale_key', '1 queued_twice'):
        assert kind in ended.lines[0]
    assert 'missing_job in rq:failed:mail of job gone' in ended.lines
    assert '  --repair: drop the entry' in ended.lines
    assert {key: broken.dump(key) for key in broken.scan_iter()} == before


def test_fsck_prints_problems_as_json_and_ids(broken: Redis, changing: Command) -> None:
    found = changing('fsck', '--settle', '0.1', '-o', 'json').json
    assert (set(found), found['schema']) == (REPORT, 1)
    assert [set(problem) for problem in found['problems']] == [PROBLEM] * 3
    assert found['counts'] == {'missing_job': 1, 'stale_key': 1, 'queued_twice': 1}
    lines = changing('fsck', '--settle', '0.1', '-o', 'jsonl', '--kind', 'missing_job', '--kind', 'stale_key').values
    assert [set(problem) for problem in lines] == [PROBLEM | {'schema'}] * 2
    assert sorted(changing('fsck', '--settle', '0.1', '-o', 'ids').lines) == ['gone', 'lost', 'twice']
    assert len(changing('fsck', '--settle', '0.1', '--limit', '1', '-o', 'jsonl').values) == 1


def test_queue_option_limits_check_to_queues(broken: Redis, changing: Command) -> None:
    broken.zadd('rq:failed:labels', {'gone': 4e9})
    broken.sadd('rq:queues', 'rq:queue:labels')
    assert changing('fsck', '--settle', '0.1', '--queue', 'l*', '-o', 'ids').lines == ['gone']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--repair'], 'give --queue NAME, or --all-queues for the whole Redis'),
        (['--kind', 'missing_jobs'], "'missing_jobs' is not a kind of problem (did you mean 'missing_job'?)"),
        (['--dry-run'], '--dry-run and --yes are for --repair'),
        (['--repair', '--all-queues', '-o', 'ids'], 'with --repair, give table or json'),
        (['--queue', 'mial'], "did you mean 'mail'?"),
    ],
)
def test_wrong_usage_of_fsck_is_status_2(arguments: list[str], message: str, broken: Redis, changing: Command) -> None:
    ended = changing('fsck', *arguments)
    assert (ended.status, ended.out) == (2, '')
    assert message in ended.err


def test_repair_asks_and_repairs_chosen_kinds(broken: Redis, changing: Command) -> None:
    arguments = ['fsck', '--settle', '0.1', '--repair', '--all-queues']
    ended = changing(*arguments)
    assert (ended.status, broken.zcard('rq:failed:mail')) == (3, 1)
    assert 'repair 2 of 3 problems?' in ended.err
    ended = changing(*arguments, '--dry-run', '-o', 'json')
    assert (ended.status, broken.zcard('rq:failed:mail')) == (1, 1)
    assert (ended.json['repair']['repaired'], ended.json['repair']['dry_run']) == (
        {'missing_job': 1, 'stale_key': 1},
        True,
    )
    assert changing(*arguments, '--yes', '--kind', 'missing_job').status == 0
    assert (broken.zcard('rq:failed:mail'), broken.exists('rq:job:lost:dependents')) == (0, 1)
    ended = changing(*arguments, '--yes')
    # What is left is for the operator to decide.
    assert (ended.status, broken.exists('rq:job:lost:dependents'), broken.llen('rq:queue:mail')) == (1, 0, 2)
    assert '1 queued_twice left' in ended.out


def test_repair_asks_before_it_repairs_at_terminal(broken: Redis, changing: Command) -> None:
    terminal = changing.at_terminal('fsck', '--repair', '--queue', 'mail', '--kind', 'missing_job')
    terminal.wait_for('repair 1 of 1 problem? [y/N] ')
    terminal.type('yes\n')
    assert terminal.end() == 0
    assert broken.zcard('rq:failed:mail') == 0
    assert '1 missing_job repaired' in terminal.text


def test_unreadable_queue_is_left_out_with_status_1(connection: Redis, changing: Command) -> None:
    connection.sadd('rq:queues', 'rq:queue:mail')
    connection.set('rq:failed:mail', 'text')
    ended = changing('fsck', '--settle', '0.1')
    assert ended.status == 1
    assert 'mail was left out: ' in ended.err
