"""docs/rights.md: a user with the rights of each of its lines may do what the page says, and has all of them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from bulk.bulk_jobs import fill
from documents import DOCS, ROOT, code_blocks, source_of
from private_redis import PrivateRedis
from rq import Queue, SimpleWorker, Worker

import rqreg_ext
from rqreg_ext.registry import FailedJobRegistry

COUNT = 24
LATER = 4_000_000_000
# Another database than 0 takes the right to SELECT.
DATABASE = 3
USER, PASSWORD = 'app', 'secret'
LINES = [line for block in code_blocks(source_of(DOCS / 'rights.md'), 'text') for line in block.splitlines()]
*LINES, KEYS_OF_MAIL = LINES
RQ_ITSELF, REGISTRIES, *ADDED = LINES
SINGLE, BULK, READING, CHECKING, TRANSFER = ADDED


def commands_of(line: str) -> list[str]:
    return re.findall(r'\+([a-z]+)\b', line)


class User:
    """A user of the server, with the rights that the lines of the page give."""

    def __init__(self, server: PrivateRedis, admin: redis.Redis) -> None:
        self._server = server
        self._admin = admin

    def allow(self, *lines: str) -> redis.Redis:
        """Return a client of the user, who has the rights of these lines and no others."""
        self._admin.execute_command('ACL', 'DELUSER', USER)
        for line in lines:
            self._admin.execute_command(*line.split())
        self._admin.execute_command('ACL', 'LOG', 'RESET')
        client: redis.Redis = self._server.client(username=USER, password=PASSWORD, db=DATABASE, retry=None)
        return client

    def refused(self) -> set[str]:
        """Return the commands, in lower case, that the server has refused the user."""
        refused = {entry['object'].lower() for entry in self._admin.acl_log()}
        # Calls can do without these.
        return refused - {'client', 'client|setinfo', 'client|info'}


@pytest.fixture
def connection(redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[redis.Redis]:
    with redis_server.client(db=DATABASE) as client:
        yield client


@pytest.fixture
def user(redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[User]:
    yield User(redis_server, connection)
    connection.execute_command('ACL', 'DELUSER', USER)


def prepare(admin: redis.Redis) -> None:
    # A script is sent by its hash first, and with its text to a server that does not have it.
    admin.script_flush()
    fill(admin, COUNT)
    admin.sadd('rq:queues', 'rq:queue:q')
    admin.zadd('rq:failed:q', {'gone': LATER, 'expired': 1})
    queue = Queue('waiting', connection=admin)
    for number in range(8):
        queue.enqueue(len, 'text', job_id=f'waits-{number}')
    admin.sadd('rq:workers', 'rq:worker:w')
    admin.hset('rq:worker:w', mapping={'state': 'busy', 'queues': 'q', 'birth': '2024-01-01T00:00:00.000000Z'})


# ---- What the page says that a user may do


def work(client: redis.Redis) -> Any:
    queue = Queue('work', connection=client)
    first = queue.enqueue(len, 'text')
    queue.enqueue(len, 'text', depends_on=first)
    queue.enqueue_in(timedelta(hours=1), len, 'text')
    queue.enqueue(chr, 'text')
    Worker([queue], connection=client).work(burst=True, with_scheduler=True, logging_level='CRITICAL')
    SimpleWorker([queue], connection=client).work(burst=True, logging_level='CRITICAL')
    first.refresh()
    return (
        first.return_value(),
        queue.finished_job_registry.count,
        queue.failed_job_registry.count,
        [other.name for other in Queue.all(connection=client)],
        queue.empty(),
        queue.delete(delete_jobs=True),
    )


def single_calls(client: redis.Redis) -> Any:
    queue = rqreg_ext.Queue('q', connection=client)
    failed = queue.failed_job_registry
    failed.remove('job-0001')
    failed.remove('job-0002', delete_job=True)
    requeued = failed.requeue('job-0003').id
    rqreg_ext.clean_registries(queue)
    started = queue.started_job_registry
    return failed.count, failed.get_job_ids(), 'job-0004' in failed, 'job-0004' in started, started.count, requeued


def bulk_calls(client: redis.Redis) -> Any:
    failed = FailedJobRegistry('q', connection=client)
    waiting = rqreg_ext.WaitingJobs('waiting', connection=client)
    results = [
        failed.remove_many(['job-0001', 'nobody']),
        failed.remove_many(['job-0002'], delete_job=True),
        failed.requeue_many(['job-0003'], at_front=True),
        failed.cancel_many(['job-0004']),
        failed.cancel_all(job_id='job-0005'),
        failed.purge(job_id='job-001?', max_score=LATER * 2),
        failed.purge(ended_before=timedelta(days=1)),
        failed.purge(description='no such', keep_newest=3),
        failed.trim(older_than=timedelta(days=1)),
        failed.requeue_all(description='*'),
        failed.requeue_all(),
        rqreg_ext.purge(client, progress=lambda *counts: None).total,
        waiting.move_many(['waits-0', 'waits-1'], 'low'),
        waiting.cancel_many(['waits-2']),
        waiting.remove_many(['waits-3']),
        waiting.purge(job_id='waits-4'),
        waiting.empty(limit=1),
        waiting.empty(limit=100),
        failed.move_many(['job-0005'], 'low'),
    ]
    return [(result.done, result.missing, dict(result.skipped), result.failed, result.by_rq) for result in results]


def reading_calls(client: redis.Redis) -> Any:
    failed = FailedJobRegistry('q', connection=client)
    failed.cleanup()
    with rqreg_ext.batch(client) as batch:
        batched = batch.count(failed), batch.contains(failed, 'job-0001'), batch.get_page(failed)
    taken = rqreg_ext.snapshot(client)
    waiting = rqreg_ext.WaitingJobs('waiting', connection=client)
    # Entries go while a registry is read.
    walks = [failed.iter_job_ids(chunk_size=5, desc=desc) for desc in (False, True)]
    begun = [[next(walk) for _ in range(5)] for walk in walks]
    gone = [job_ids[4] for job_ids in begun]
    for job_id in gone:
        failed.remove(job_id)
    return (
        begun,
        [[job_id for job_id in walk if job_id not in gone] for walk in walks],
        list(failed.iter_job_ids(chunk_size=5)),
        list(failed.iter_entries(chunk_size=5, desc=True)),
        failed.contains_many(['job-0001', 'nobody']),
        failed.get_page(2, 5).job_ids,
        [job.id for job in failed.get_jobs(1, 5)],
        [job.id for job in rqreg_ext.list_jobs(client, None, ['failed', 'started'], order_by='end', chunk_size=5)],
        [job.id for job in rqreg_ext.get_jobs(client, ['job-0001', 'nobody'], with_results=True) if job],
        list(failed.find(description='*', exc_info='x', ended_before=timedelta(1))),
        list(failed.find(order_by='end', limit=3, desc=True)),
        failed.count_by('exc_type', 'queue').total,
        rqreg_ext.count_by(client, 'last_line').total,
        [pending.result() for pending in batched][:2],
        rqreg_ext.snapshot(client, worker_details=True).worker_details.keys(),
        taken['q'].failed,
        taken.workers,
        (waiting.count, 'waits-3' in waiting, list(waiting.find(func_name='*', enqueued_after=timedelta(1)))),
        (waiting.get_page().total, waiting.contains_many(['waits-1']), len(waiting.get_jobs(per_page=2))),
    )


def checking_calls(client: redis.Redis) -> Any:
    client_of_all = FailedJobRegistry('q', connection=client)
    found = [problem.kind for problem in client_of_all.check(settle=0)]
    return found, [problem.kind for problem in rqreg_ext.check(client, settle=0)], rqreg_ext.repair(client).total


def transfer_calls(client: redis.Redis) -> Any:
    failed = FailedJobRegistry('q', connection=client)
    file, of_all = io.BytesIO(), io.BytesIO()
    exported = failed.export(file, chunk_size=5)
    rqreg_ext.export(client, of_all, progress=lambda *counts: None, description='*')
    waiting = rqreg_ext.WaitingJobs('waiting', connection=client).export(of_all, progress=lambda *counts: None)
    client.delete('rq:job:job-0002', 'rq:job:job-0005')
    client.zrem('rq:failed:q', 'job-0002', 'job-0005')
    file.seek(0)
    restored = rqreg_ext.restore(client, file, skip_existing=True).total
    return [(result.done, dict(result.skipped), result.failed) for result in (exported, waiting, restored)]


CALLS: dict[str, tuple[Callable[[redis.Redis], Any], list[str]]] = {
    'single': (single_calls, [REGISTRIES, SINGLE]),
    'bulk': (bulk_calls, [REGISTRIES, SINGLE, BULK]),
    'reading': (reading_calls, [REGISTRIES, READING]),
    'checking': (checking_calls, LINES[1:-1]),
    'transfer': (transfer_calls, [REGISTRIES, READING, TRANSFER]),
}


@pytest.mark.parametrize('name', CALLS)
def test_with_the_rights_that_the_page_gives_nothing_is_refused(user: User, connection: redis.Redis, name: str) -> None:
    make, lines = CALLS[name]
    prepare(connection)
    expected = make(connection)
    for rights in (lines, [RQ_ITSELF]):
        prepare(connection)
        assert make(user.allow(*rights)) == expected
        assert user.refused() == set()


def test_rq_itself_works_with_the_rights_that_the_page_gives(user: User, connection: redis.Redis) -> None:
    prepare(connection)
    expected = work(connection)
    prepare(connection)
    assert work(user.allow(RQ_ITSELF)) == expected
    assert user.refused() == set()


def test_user_of_one_application_has_its_queues_only(user: User, connection: redis.Redis) -> None:
    def call(client: redis.Redis) -> Any:
        queue = Queue('mail-fast', connection=client)
        queue.enqueue(len, 'text')
        queue.enqueue_in(timedelta(hours=1), len, 'text')
        jobs = [queue.enqueue(chr, 'text') for _ in range(3)]
        queue.enqueue(len, 'text', depends_on=jobs[0])
        Worker([queue], connection=client).work(burst=True, with_scheduler=True, logging_level='CRITICAL')
        failed = FailedJobRegistry('mail-fast', connection=client)
        failed.remove(jobs[0].id, delete_job=True)
        failed.requeue(jobs[1].id)
        rqreg_ext.clean_registries(queue)
        counted = rqreg_ext.snapshot(client)['mail-fast']
        done = rqreg_ext.purge(client)
        found = [problem.kind for problem in rqreg_ext.check(client, 'mail-fast', settle=0)]
        return dict(counted), done['mail-fast'].done, found

    prepare(connection)
    expected = call(connection)
    prepare(connection)
    client = user.allow(RQ_ITSELF.replace('~rq:*', KEYS_OF_MAIL))
    assert call(client) == expected
    assert list(rqreg_ext.snapshot(client).errors) == ['q', 'waiting']
    with pytest.raises(redis.exceptions.NoPermissionError):
        client.zcard('rq:failed:q')


def by_whom(results: Any) -> Any:
    """Return the results without how many jobs RQ did itself, which depends on the rights."""
    return [result[:-1] for result in results] if isinstance(results, list) else results


@pytest.mark.parametrize('name', ['single', 'bulk', 'reading'])
def test_rights_of_rqs_registries_give_the_same_results(user: User, connection: redis.Redis, name: str) -> None:
    make, _ = CALLS[name]
    prepare(connection)
    expected = make(connection)
    prepare(connection)
    assert by_whom(make(user.allow(REGISTRIES))) == by_whom(expected)
    assert user.refused() <= {command for line in ADDED for command in commands_of(line)}


def test_who_only_reads_needs_only_the_rights_to_read(user: User, connection: redis.Redis) -> None:
    reads, cleans = re.findall(r'`(\+[+\w\s]+)`', source_of(DOCS / 'rights.md'))
    prepare(connection)
    start = 'ACL SETUSER app reset on >secret ~rq:*'
    client = user.allow(f'{start} {reads}')
    failed = FailedJobRegistry('q', connection=client)
    assert len(list(failed.find(description='*', exc_info='x', ended_after=timedelta(1)))) == 0
    assert len(list(failed.find(fields=['description', 'exc_info', 'end']))) == COUNT + 2
    assert failed.get_page(cleanup=False).total == failed.get_job_count(cleanup=False) == COUNT + 2
    assert failed.contains_many(['job-0001', 'nobody']) == [True, False]
    assert rqreg_ext.snapshot(client)['q'].failed == COUNT + 2
    with pytest.raises(redis.exceptions.NoPermissionError):
        _ = failed.count
    failed = FailedJobRegistry('q', connection=user.allow(f'{start} {reads} {cleans}'))
    assert failed.count == len(failed.get_job_ids()) == failed.get_page().total == COUNT + 1


def test_check_without_orphans_needs_no_scan(user: User, connection: redis.Redis) -> None:
    prepare(connection)
    failed = FailedJobRegistry('q', connection=user.allow(*LINES[1:], 'ACL SETUSER app -scan -dbsize'))
    with pytest.raises(redis.exceptions.NoPermissionError):
        failed.check(settle=0)
    assert len(failed.check(settle=0, orphans=False)) == 2


NEEDED = [(name, command) for name, (_, lines) in CALLS.items() for command in commands_of(lines[-1])]


@pytest.mark.parametrize(('name', 'command'), NEEDED)
def test_each_right_that_the_page_adds_is_used(user: User, connection: redis.Redis, name: str, command: str) -> None:
    make, lines = CALLS[name]
    prepare(connection)
    expected = make(connection)
    prepare(connection)
    client = user.allow(*lines, f'ACL SETUSER {USER} -{command}')
    try:
        found = make(client)
    except redis.exceptions.NoPermissionError:
        found = None
    refused = user.refused()
    if name == 'bulk':
        # By which a job is looked for in its queue where no script may do it.
        refused.discard('lpos')
    assert refused == {command} or command.upper() in commands_of_scripts(SCRIPTS[name])
    # Some have no other way to do it: they raise, or report what they could not do.
    assert name in ('checking', 'transfer') or by_whom(found) == by_whom(expected)


# ---- Commands of scripts that the calls above do not come to

SCRIPTS = {
    'single': ('clean_registries', 'delete_job', 'requeue_job', 'has_execution'),
    'bulk': (
        'delete_many',
        'requeue_many',
        'cancel_many',
        'move_entries',
        'empty_queue',
        'delete_waiting',
        'cancel_waiting',
        'drop_waiting',
        'move_waiting',
    ),
    'checking': ('repair/*',),
    'reading': (),
    'transfer': ('restore_job',),
}
SOURCES = ROOT / 'src' / 'lua'


def commands_of_scripts(patterns: Iterable[str]) -> set[str]:
    """Return the commands that these scripts may send, with those of what they require."""
    paths = {path for pattern in patterns for path in SOURCES.glob(f'{pattern}.lua')}
    assert paths or not patterns
    texts = [source_of(path) for path in paths]
    required = {name for text in texts for name in re.findall(r'\S+\.inc\.lua', text.partition('\n')[0])}
    texts += [source_of(path) for name in required for path in SOURCES.rglob(name)]
    return set(re.findall(r"call\('([A-Z]+)'", '\n'.join(texts)))


@pytest.mark.parametrize('name', ['single', 'bulk', 'checking', 'transfer'])
def test_page_gives_the_rights_to_all_commands_of_the_scripts(name: str) -> None:
    allowed = {command.upper() for line in CALLS[name][1] for command in commands_of(line)}
    assert commands_of_scripts(SCRIPTS[name]) - allowed == set()
