"""What is read of a real Redis, and what is changed in it."""

from __future__ import annotations

import pickle
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis
from rq import Queue, SimpleWorker
from rq.job import Job
from rq.utils import now, utcformat

from rqreg_ext.cli.change_log import ChangeLog
from rqreg_ext.cli.server import Server
from rqreg_ext.cli.top.act import Actions
from rqreg_ext.cli.top.data import Counted, Done, Message, Opened
from rqreg_ext.cli.top.keys import OpenJob
from rqreg_ext.cli.top.read import NEWEST, FailuresReader, OverviewReader, read_groups
from rqreg_ext.cli.top.search import Search
from rqreg_ext.cli.top.state import Target

from .states import failure


@pytest.fixture
def server(changing: Any) -> Server:
    return Server(changing.url, None, None, None, ['.'], None)


def failing(connection: Redis, name: str, number: int, *, prefix: str = 'job', **options: Any) -> list[Job]:
    """Have jobs fail, one after the other, in the order of their numbers."""
    queue = Queue(name, connection=connection)
    jobs = [queue.enqueue('shop.print_label', n, job_id=f'{prefix}-{n:04}', **options) for n in range(number)]
    SimpleWorker([queue], connection=connection).work(burst=True, logging_level='CRITICAL')
    return jobs


def end_at(connection: Redis, job_id: str, ago: timedelta) -> None:
    then = utcformat(now() - ago)
    connection.hset(f'rq:job:{job_id}', mapping=dict.fromkeys(('enqueued_at', 'started_at', 'ended_at'), then))


# ---- Queues and workers


def test_overview_has_counts_and_rates(connection: Redis, server: Server) -> None:
    mail = Queue('mail', connection=connection)
    mail.enqueue('shop.send_mail', 1)
    reader = OverviewReader(server, ())
    first = reader.read()
    assert [(row.name, row.counts['queued'], row.rates) for row in first.queues] == [('mail', 1, {})]
    assert (first.rates, first.processed) == ({}, None)
    assert first.queues[0].oldest == pytest.approx(first.timestamp, abs=60)
    for order in range(10):
        mail.enqueue('shop.send_mail', order)
    Queue('labels', connection=connection).enqueue('shop.print_label', 1)
    second = reader.read()
    seconds = second.timestamp - first.timestamp
    labels, of_mail = second.queues
    assert of_mail.rates['queued'] == pytest.approx(10 / seconds)
    # A queue that was not there before has no rates yet.
    assert (labels.name, labels.rates) == ('labels', {})
    assert second.rates['queued'] == pytest.approx(11 / seconds)
    assert second.total['queued'] == 12


def test_overview_has_only_queues_that_match(connection: Redis, server: Server) -> None:
    reader = OverviewReader(server, ('mail-*', 'labels'))
    for name in ('mail-de', 'labels', 'supply'):
        Queue(name, connection=connection).enqueue('shop.send_mail', 1)
    assert {row.name for row in reader.read().queues} == {'mail-de', 'labels'}
    # Those that come later, too.
    Queue('mail-fr', connection=connection).enqueue('shop.send_mail', 1)
    assert {row.name for row in reader.read().queues} == {'mail-de', 'mail-fr', 'labels'}


def test_overview_has_workers_and_their_jobs(connection: Redis, server: Server) -> None:
    queue = Queue('mail', connection=connection)
    jobs = [queue.enqueue('shop.send_mail', n) for n in range(2)]
    workers = [SimpleWorker([queue], connection=connection, name=f'w{n}') for n in range(3)]
    for worker, job in zip(workers, jobs, strict=False):
        worker.register_birth()
        with connection.pipeline() as pipeline:
            worker.set_state('busy')
            if hasattr(worker, 'prepare_execution'):
                worker.prepare_execution(job)
            pipeline.execute()
    workers[2].register_birth()
    workers[2].set_state('idle')
    reader = OverviewReader(server, ())
    found = reader.read()
    rows = {row.name: row for row in found.workers}
    assert [rows[f'w{n}'].state for n in range(3)] == ['busy', 'busy', 'idle']
    assert rows['w0'].job_id == jobs[0].id
    assert rows['w0'].func_name == rows['w1'].func_name == 'shop.send_mail'
    assert rows['w0'].since == pytest.approx(found.timestamp, abs=60)
    assert (rows['w2'].job_id, rows['w2'].func_name, rows['w2'].queues) == (None, None, ('mail',))
    assert found.states == {'busy': 2, 'idle': 1}
    connection.hincrby(workers[0].key, 'successful_job_count', 5)
    connection.hincrby(workers[1].key, 'failed_job_count', 3)
    later = reader.read()
    assert later.processed == pytest.approx(8 / (later.timestamp - found.timestamp))


def test_unreadable_queue_is_named_in_overview(connection: Redis, server: Server) -> None:
    connection.sadd('rq:queues', 'rq:queue:mail', 'rq:queue:labels')
    connection.set('rq:failed:mail', 'text')
    found = OverviewReader(server, ()).read()
    assert [row.name for row in found.queues] == ['labels']
    (text,) = found.left_out
    assert text.startswith('mail not read: ResponseError: WRONGTYPE')


# ---- The newest failed jobs


def test_newest_failed_jobs_of_all_queues_are_read(connection: Redis, server: Server) -> None:
    failing(connection, 'mail', NEWEST + 20)
    failing(connection, 'labels', 5, prefix='label')
    reader = FailuresReader(server)
    found = reader.read({'mail': NEWEST + 20, 'labels': 5, 'supply': 0})
    assert len(found.rows) == NEWEST
    assert [row.job_id for row in found.rows[:6]] == [
        *(f'label-{n:04}' for n in (4, 3, 2, 1, 0)),
        f'job-{NEWEST + 19:04}',
    ]
    first = found.rows[0]
    assert (first.queue, first.func_name, first.exc_type) == ('labels', 'shop.print_label', 'KeyError')
    assert first.exc_message == "'address of order 4'"
    assert reader.read({}).rows == ()


def test_jobs_that_expire_at_other_times_are_found_by_reading_all(connection: Redis, server: Server) -> None:
    """Those that never expire come last by their score."""
    failing(connection, 'mail', 5, prefix='kept', failure_ttl=-1)
    failing(connection, 'mail', NEWEST)
    for number in range(NEWEST):
        end_at(connection, f'job-{number:04}', timedelta(days=1))
    reader = FailuresReader(server)
    counts = {'mail': NEWEST + 5}
    assert not any(row.job_id.startswith('kept') for row in reader.read(counts).rows)
    reader.read_all(counts)
    assert [row.job_id for row in reader.read(counts).rows[:6]] == [
        *(f'kept-{n:04}' for n in (4, 3, 2, 1, 0)),
        'job-0099',
    ]
    # What has left the registry since is not shown.
    Queue('mail', connection=connection).failed_job_registry.requeue('kept-0004')
    assert [row.job_id for row in reader.read(counts).rows[:2]] == ['kept-0003', 'kept-0002']


@pytest.mark.parametrize(
    ('text', 'ids'),
    [
        ('"Order 3"', ['job-0003']),
        ('queue=labels', ['label-0000']),
        ('id=*2', ['job-0002']),
        ('exc=KeyError "order 4"', ['job-0004']),
        ('exc=Other*', []),
    ],
)
def test_search_reads_all_failed_jobs(text: str, ids: list[str], connection: Redis, server: Server) -> None:
    failing(connection, 'mail', 5)
    failing(connection, 'labels', 1, prefix='label')
    found = FailuresReader(server).find({'mail': 5, 'labels': 1}, Search(text))
    assert (found.search, [row.job_id for row in found.rows]) == (text, ids)


def test_missing_and_broken_jobs_are_rows_without_fields(connection: Redis, server: Server) -> None:
    failing(connection, 'mail', 2)
    connection.delete('rq:job:job-0000')
    connection.hset('rq:job:job-0001', mapping={'data': b'\x80broken', 'exc_info': b'broken', 'ended_at': 'never'})
    connection.delete('rq:results:job-0001')
    found = FailuresReader(server).read({'mail': 2})
    assert {(row.job_id, row.func_name, row.end) for row in found.rows} == {
        ('job-0000', None, None),
        ('job-0001', None, None),
    }


class Evil:
    """What must not be unpickled."""

    def __reduce__(self) -> Any:
        return (exec, ('raise SystemExit("unpickled")',))


def test_nothing_is_unpickled(connection: Redis, server: Server) -> None:
    failing(connection, 'mail', 1)
    call = pickle.dumps(('shop.send_mail', None, (Evil(),), {}))
    connection.hset('rq:job:job-0000', mapping={'data': call, 'meta': pickle.dumps(Evil())})
    found = FailuresReader(server).read({'mail': 1})
    assert [row.func_name for row in found.rows] == ['shop.send_mail']
    assert [row.func_name for row in FailuresReader(server).find({'mail': 1}, Search('order')).rows] == [
        'shop.send_mail'
    ]
    assert [row.func_name for row in read_groups(server, ['mail'], 0.0).rows] == ['shop.send_mail']
    assert 'not_read' in '\n'.join(opened(server, 'job-0000').lines)


# ---- Errors


def test_failures_are_counted_in_groups(shop_jobs: Redis, server: Server) -> None:
    found = read_groups(server, ['mail', 'labels', 'supply'], 0.0)
    assert [(row.func_name, row.exc_type, row.jobs, row.queues) for row in found.rows] == [
        ('shop.print_label', 'KeyError', 40, ('labels',)),
        ('shop.send_mail', 'shop.MailServerDown', 40, ('mail',)),
        ('shop.ask_supplier', 'TimeoutError', 3, ('supply',)),
    ]
    assert len(found.rows[0].spark) == 24
    assert found.left_out == ()


# ---- What keys ask for


class Asked:
    """Actions, and what they post."""

    def __init__(self, server: Server, is_stopped: Any = lambda: False) -> None:
        self.posted: list[Message] = []
        self.actions = Actions(server, ChangeLog(None, None, server), self.posted.append, is_stopped)

    def change(self, target: Target, counts: dict[str, int]) -> tuple[str | None, str]:
        """Count, change, and return the question and the outcome."""
        self.actions.count(target, counts)
        (question,) = self.posted
        assert isinstance(question, Counted)
        self.actions.change(target)
        last = self.posted[-1]
        return question.question, last.message if isinstance(last, Done) else question.message


def opened(server: Server, job_id: str) -> Opened:
    asked = Asked(server)
    asked.actions.open(OpenJob(job_id))
    (message,) = asked.posted
    assert isinstance(message, Opened)
    return message


def test_opened_job_equals_output_of_show(shop_jobs: Redis, server: Server, changing: Any) -> None:
    job_id = Queue('mail', connection=shop_jobs).failed_job_registry.get_job_ids()[0]
    shown = changing('show', job_id).lines
    mine = list(opened(server, job_id).lines)
    # The time to live passes.
    assert [line for line in mine if not line.startswith('expires')] == [
        line for line in shown if not line.startswith('expires')
    ]


def test_missing_job_is_not_opened(connection: Redis, server: Server) -> None:
    asked = Asked(server)
    asked.actions.open(OpenJob('x\n'))
    assert asked.posted == [Done("there is no job 'x\\n' any more")]


def test_one_job_is_requeued(connection: Redis, server: Server) -> None:
    failing(connection, 'mail', 2)
    target = Target('requeue', failure('job-0001'))
    question, message = Asked(server).change(target, {'mail': 2})
    assert question == 'requeue shop.send_mail of mail (job-0001)?'
    assert message.startswith('requeued 1 of 1 job in ')
    assert connection.lrange('rq:queue:mail', 0, -1) == [b'job-0001']
    question, message = Asked(server).change(target, {'mail': 2})
    assert (question, message) == (None, 'this job is not among the failed any more')


@pytest.mark.parametrize(
    ('text', 'number'),
    [
        ('', 83),
        ('queue=mail', 40),
        ('func=shop.print_label exc=KeyError', 40),
        ('tea', 1),
        ('queue=s* supplier', 3),
        ('x', 0),
    ],
)
def test_all_that_match_are_deleted(text: str, number: int, shop_jobs: Redis, server: Server) -> None:
    counts = {'mail': 40, 'labels': 40, 'supply': 3}
    question, message = Asked(server).change(Target('delete', search=Search(text)), counts)
    if number:
        assert question is not None
        assert question.startswith(f'delete {number} job')
        assert message.startswith(f'deleted {number} of {number} job')
    else:
        assert (question, message) == (None, 'no failed job matches')
    left = sum(int(shop_jobs.zcard(f'rq:failed:{name}')) for name in counts)
    assert left == 83 - number
    if number == 83:
        assert Asked(server).change(Target('delete', search=Search(text)), counts)[0] is None


def test_no_more_jobs_are_changed_than_the_question_said(connection: Redis, server: Server) -> None:
    failing(connection, 'mail', 5)
    asked = Asked(server)
    target = Target('delete', search=Search())
    asked.actions.count(target, {'mail': 5})
    failing(connection, 'mail', 3, prefix='later')
    asked.actions.change(target)
    assert connection.zcard('rq:failed:mail') == 3


def test_stopped_change_leaves_jobs_and_says_so(connection: Redis, server: Server) -> None:
    failing(connection, 'mail', 3)
    is_stopped = [False]
    asked = Asked(server, lambda: is_stopped[0])
    target = Target('delete', search=Search())
    asked.actions.count(target, {'mail': 3})
    is_stopped[0] = True
    asked.actions.change(target)
    last = asked.posted[-1]
    assert isinstance(last, Done)
    assert last.message.startswith('deleted 0 of 3 jobs')
    assert last.message.endswith('; stopped')
    assert connection.zcard('rq:failed:mail') == 3
    asked.posted.clear()
    asked.actions.count(target, {'mail': 3})
    assert asked.posted == [Counted(None, 'stopped, nothing was changed')]


def test_change_without_question_does_nothing(connection: Redis, server: Server) -> None:
    failing(connection, 'mail', 1)
    asked = Asked(server)
    asked.actions.change(Target('delete', search=Search()))
    assert asked.posted == []
    assert connection.zcard('rq:failed:mail') == 1
