"""The comparison of other people's programs sees what differs, and masks no more than what differs by nature."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from private_redis import PrivateRedis

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from compat.clients import django_rq, programs, rq_dashboard, rq_exporter
from compat.clients.answers import DATE, Answer, text_differences
from compat.clients.keys import key_differences
from compat.clients.own_tests import outcome_differences
from compat.clients.sides import OURS, PLAIN, Side
from compat.environments import Environment

FAR = 4_000_000_000


@pytest.fixture
def databases(redis_server: PrivateRedis) -> Iterator[tuple[Any, Any]]:
    """Clients of two equal databases."""
    clients = tuple(redis_server.client(db=side.database) for side in (PLAIN, OURS))
    for client in clients:
        client.flushdb()
        client.hset('rq:job:a', mapping={'status': 'failed', 'origin': 'default'})
        client.hset('rq:job:b', mapping={'status': 'failed'})
        client.expireat('rq:job:b', FAR)
        client.zadd('rq:failed:default', {'a': FAR, 'b': FAR + 1})
        client.rpush('rq:queue:default', 'c', 'd')
    yield clients
    for client in clients:
        client.flushdb()


def answer(body: str, status: int = 200, **headers: str) -> str:
    return Answer(status, tuple(headers.items()), body, 0.0).text()


def test_equal_databases_are_equal(databases: tuple[Any, Any]) -> None:
    assert key_differences(*databases, seconds=1) == []


@pytest.mark.parametrize(
    ('command', 'key'),
    [
        (('HSET', 'rq:job:a', 'status', 'queued'), 'rq:job:a'),
        (('HDEL', 'rq:job:a', 'origin'), 'rq:job:a'),
        (('DEL', 'rq:job:b'), 'rq:job:b'),
        (('SET', 'rq:job:new', '1'), 'rq:job:new'),
        (('PERSIST', 'rq:job:b'), 'rq:job:b'),
        (('EXPIREAT', 'rq:job:b', FAR + 60), 'rq:job:b'),
        (('ZADD', 'rq:failed:default', FAR + 60, 'a'), 'rq:failed:default'),
        (('ZREM', 'rq:failed:default', 'a'), 'rq:failed:default'),
        (('LMOVE', 'rq:queue:default', 'rq:queue:default', 'LEFT', 'RIGHT'), 'rq:queue:default'),
    ],
)
def test_difference_of_key_is_seen_once(databases: tuple[Any, Any], command: tuple[Any, ...], key: str) -> None:
    plain, ours = databases
    ours.execute_command(*command)
    (line, *_) = key_differences(plain, ours, seconds=1)
    assert repr(key.encode()) in line
    assert key_differences(plain, ours, seconds=1) == []


@pytest.mark.parametrize(('apart', 'differs'), [(2, False), (3, False), (5, True)])
def test_expiries_of_the_step_are_no_difference(databases: tuple[Any, Any], apart: int, differs: bool) -> None:
    plain, ours = databases
    plain.expireat('rq:job:b', FAR + 10)
    ours.expireat('rq:job:b', FAR + 10 + apart)
    assert bool(key_differences(plain, ours, seconds=3)) is differs


def test_times_of_the_step_are_no_difference(databases: tuple[Any, Any]) -> None:
    plain, ours = databases
    plain.zadd('rq:failed:default', {'a': FAR + 10})
    ours.zadd('rq:failed:default', {'a': FAR + 12})
    for client, second in zip(databases, (1, 3), strict=True):
        client.hset('rq:job:a', 'ended_at', f'2026-01-01T00:00:0{second}.000123Z')
        client.hset('rq:job:a', 'exc_info', zlib.compress(b'at 2026-01-01 00:00:0%d+00:00' % second))
        client.xadd('rq:results:a', {'created_at': f'2026-01-01T00:00:0{second}Z'}, f'{second}000-{second}')
    assert key_differences(plain, ours, seconds=3) == []


@pytest.mark.parametrize(
    'date', ['2026-01-01T00:00:05.000123Z', '2025-12-31T23:59:56.000123Z', '2026-01-01T00:00:01Z', '', '1']
)
def test_far_or_otherwise_written_date_is_difference(databases: tuple[Any, Any], date: str) -> None:
    plain, ours = databases
    plain.hset('rq:job:a', 'ended_at', '2026-01-01T00:00:01.000123Z')
    ours.hset('rq:job:a', 'ended_at', date)
    assert key_differences(plain, ours, seconds=3)


@pytest.mark.parametrize('other', [('5000-0', 'x'), ('1000-0', 'y')])
def test_other_stream_entry_is_difference(databases: tuple[Any, Any], other: tuple[str, str]) -> None:
    plain, ours = databases
    plain.xadd('rq:results:a', {'type': 'x'}, '1000-0')
    ours.xadd('rq:results:a', {'type': other[1]}, other[0])
    assert key_differences(plain, ours, seconds=3)
    ours.xadd('rq:results:a', {'type': 'x'}, '1001-0')
    assert key_differences(plain, ours, seconds=3)


def test_score_farther_than_duration_of_step_is_difference(databases: tuple[Any, Any]) -> None:
    plain, ours = databases
    plain.zadd('rq:failed:default', {'a': FAR + 10})
    ours.zadd('rq:failed:default', {'a': FAR + 14})
    assert key_differences(plain, ours, seconds=3)


@pytest.mark.parametrize(
    'other',
    [
        answer('one\ntwo', 404, Date='now'),
        answer('one\ntwo', Date='now', Server='other'),
        answer('one\nthree', Date='now'),
        answer('one\ntwo\n', Date='now'),
        answer('one\ntwo\nDate now', Date='now'),
    ],
)
def test_difference_of_answer_is_seen(other: str) -> None:
    assert text_differences(answer('one\ntwo', Date='then'), answer('one\ntwo', Date='now'), [DATE]) == []
    assert text_differences(answer('one\ntwo', Date='then'), other, [DATE])


@pytest.mark.parametrize(
    ('client', 'text', 'equal', 'different'),
    [
        (rq_dashboard, 'redis://127.0.0.1:7000/1 8', 'redis://127.0.0.1:7000/2 8', 'redis://127.0.0.1:7000/2 9'),
        (rq_exporter, 'process_open_fds 9.0', 'process_open_fds 10.0', 'process_max_fds 10.0'),
        (
            rq_exporter,
            'rq_request_processing_seconds_sum 0.1',
            'rq_request_processing_seconds_sum 0.2',
            'rq_request_processing_seconds_count 0.2',
        ),
        (
            django_rq,
            '<div>DB</div>\n  <div class="rq-field-value">1</div>',
            '<div>DB</div>\n  <div class="rq-field-value">2</div>',
            '<div>DB</div>\n  <div class="rq-field-value">10</div>',
        ),
        (django_rq, "{'port': 7000, 'db': 1}", "{'port': 7000, 'db': 2}", "{'port': 7001, 'db': 2}"),
        (
            django_rq,
            'Set-Cookie: sessionid=' + 'a' * 32 + '; Path=/',
            'Set-Cookie: sessionid=' + 'b' * 32 + '; Path=/',
            'Set-Cookie: sessionid=' + 'b' * 32 + '; Path=/admin',
        ),
    ],
)
def test_mask_hides_what_it_names_and_no_more(client: Any, text: str, equal: str, different: str) -> None:
    assert text_differences(text, equal, client.MASKS) == []
    assert text_differences(text, different, client.MASKS)
    assert text_differences(text, f'{text} and more', client.MASKS)


@pytest.mark.parametrize('masks', [rq_dashboard.MASKS, rq_exporter.MASKS, django_rq.MASKS])
def test_no_mask_hides_a_count(masks: Any) -> None:
    for line in ('rq_jobs{queue="default",status="failed"} %s', '"failed_job_registry_count":%s,', '<td>%s</td>'):
        assert text_differences(line % '200001', line % '200000', masks)


def test_other_outcome_is_difference() -> None:
    passed, failed = {'test_a': ('passed', '')}, {'test_a': ('failed', 'why')}
    assert outcome_differences(passed, dict(passed)) == []
    assert outcome_differences(passed, failed) == ['test_a: passed on plain RQ, failed on ours\nwhy']
    assert outcome_differences(failed, passed) == ['test_a: failed on plain RQ, passed on ours\nwhy']
    assert outcome_differences(passed, {}) == ['test_a: passed on plain RQ, missing on ours\n']
    assert outcome_differences({}, {}) == ['there are no tests']


def test_environment_with_other_registries_is_refused(redis_server: PrivateRedis) -> None:
    environment = Environment(Path(sys.prefix))
    for side in (PLAIN, OURS):
        programs.require_effect(side, environment, redis_server.url)
        with pytest.raises(programs.WrongSide):
            programs.require_effect(
                replace(side, accelerated=not side.accelerated), WithoutEffect(environment, side), redis_server.url
            )


class WithoutEffect(Environment):
    """An environment where it makes no difference what was asked for."""

    def __init__(self, environment: Environment, side: Side) -> None:
        super().__init__(environment.folder)
        self.side = side

    def variables(self, accelerated: bool, **more: str) -> dict[str, str]:
        return super().variables(self.side.accelerated, **more)


def test_program_run_on_other_registries_is_refused(tmp_path: Path) -> None:
    environment = Environment(Path(sys.prefix))
    linger = 'import time; time.sleep(0.5)'
    uses_rq = ('python', '-c', f'import rq; {linger}')
    assert programs.run(OURS, environment, uses_rq, tmp_path).status == 0
    assert programs.run(PLAIN, environment, uses_rq, tmp_path).status == 0
    with pytest.raises(programs.WrongSide):
        programs.run(PLAIN, environment, ('python', '-c', f'import rqreg_ext.registry; {linger}'), tmp_path)
    with pytest.raises(programs.WrongSide):
        programs.run(OURS, environment, ('python', '-c', linger), tmp_path)
