"""The read calls of registries: counts, ids, membership and times, each compared with RQ."""

from __future__ import annotations

import types
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
import rq.registry
from differential.arguments import At, TheJob
from differential.comparison import Call, Setup
from differential.known_differences import running_job_needs_no_scan
from differential.observe import Outcome
from differential.sides import REGISTRIES
from differential.world import AJob, Entry, World
from redis.exceptions import DataError, ResponseError
from rq.exceptions import NoSuchJobError

import rqreg_ext.registry

if TYPE_CHECKING:
    from redis import Redis

Same = Callable[..., Outcome]

FAILED = World(jobs=[AJob('a', 'failed'), AJob('b', 'failed', score='expired'), AJob('c', 'failed', score='later')])
RUNNING = World(jobs=[AJob('a', 'started'), AJob('b', 'started', score='later')])
SCHEDULED = World(jobs=[AJob('a', 'scheduled', score='expired'), AJob('b', 'scheduled'), AJob('c', 'scheduled')])


def with_entry(registry: str, member: str | bytes, score: str = 'future') -> World:
    return World(jobs=RUNNING.jobs, entries=[Entry(registry, member, score)])


# ---- count, get_job_count, len


@pytest.mark.parametrize('kind', REGISTRIES)
def test_count_is_0_of_empty_registry(same_as_rq: Same, kind: str) -> None:
    assert same_as_rq(kind, Call('count')).value == 0


@pytest.mark.parametrize('kind', ['FailedJobRegistry', 'FinishedJobRegistry'])
def test_count_drops_expired_entries(same_as_rq: Same, kind: str) -> None:
    world = World(entries=[Entry(kind, 'old', 'expired'), Entry(kind, 'zero', 'zero'), Entry(kind, 'new')])
    outcome = same_as_rq(kind, Call('count'), world=world)
    assert outcome.value == 1
    assert [member for member, _ in outcome.database[world.key(kind).encode()].content] == [b'new']


@pytest.mark.parametrize('score', ['negative', '-inf', 'inf'])
def test_infinite_score_never_expires(same_as_rq: Same, score: str) -> None:
    world = World(entries=[Entry('FailedJobRegistry', 'kept', score)])
    assert same_as_rq('FailedJobRegistry', Call('count'), world=world).value == 1


@pytest.mark.parametrize('kind', ['ScheduledJobRegistry', 'CanceledJobRegistry', 'BaseRegistry'])
def test_count_keeps_entries_without_cleanup(same_as_rq: Same, kind: str) -> None:
    assert same_as_rq(kind, Call('count'), world=World(entries=[Entry(kind, 'old', 'expired')])).value == 1


def test_get_job_count_without_cleanup_counts_expired_entries(same_as_rq: Same) -> None:
    assert same_as_rq('FailedJobRegistry', Call('get_job_count', cleanup=False), world=FAILED).value == 3


def test_len_is_count_and_bool_is_false(same_as_rq: Same) -> None:
    assert same_as_rq('FailedJobRegistry', Call('len'), world=FAILED).value == 2
    assert same_as_rq('FailedJobRegistry', Call('bool')).value is False


def test_count_fails_abandoned_jobs(same_as_rq: Same) -> None:
    world = World(jobs=[AJob('a', 'started', score='expired'), AJob('b', 'started')])
    outcome = same_as_rq('StartedJobRegistry', Call('count'), world=world)
    assert outcome.value == 1
    assert outcome.database[b'rq:job:a'].content[b'status'] == b'failed'
    assert any('AbandonedJobError' in text for _, _, text in outcome.logs)


def test_count_retries_abandoned_jobs(same_as_rq: Same) -> None:
    world = World(jobs=[AJob('a', 'started', ['retries'], score='expired')])
    outcome = same_as_rq('StartedJobRegistry', Call('count'), world=world)
    assert outcome.database[b'rq:job:a'].content[b'retries_left'] == b'1'


@pytest.mark.parametrize('callback', ['failure_callback', 'raising_callback', 'missing_callback'])
def test_count_calls_failure_callback_of_abandoned_jobs(same_as_rq: Same, callback: str) -> None:
    world = World(jobs=[AJob('a', 'started', [callback], score='expired')])
    outcome = same_as_rq('StartedJobRegistry', Call('count'), world=world)
    # RQ 2 raises the error of a callback, RQ 3 logs it.
    assert outcome.error is not None or any('callback' in text for _, _, text in outcome.logs)


def test_key_of_wrong_type_raises_response_error(same_as_rq: Same) -> None:
    world = World(spoiled={'FailedJobRegistry': 'string'})
    for call in (Call('count'), Call('get_job_ids'), Call('in', 'a'), Call('remove', 'a'), Call('get_expired_job_ids')):
        assert isinstance(same_as_rq('FailedJobRegistry', call, world=world).error, ResponseError)


# ---- get_job_ids


def test_get_job_ids_is_ordered_by_score(same_as_rq: Same) -> None:
    assert same_as_rq('FailedJobRegistry', Call('get_job_ids', cleanup=False), world=FAILED).value == ['b', 'a', 'c']


def test_get_job_ids_desc_returns_highest_score_first(same_as_rq: Same) -> None:
    assert same_as_rq('FailedJobRegistry', Call('get_job_ids', desc=True), world=FAILED).value == ['c', 'a']


@pytest.mark.parametrize(
    ('start', 'end', 'ids'),
    [(0, 0, ['b']), (1, -1, ['a', 'c']), (-1, -1, ['c']), (1, 1, ['a']), (2, 1, []), (5, 9, []), (-9, 0, ['b'])],
)
def test_get_job_ids_returns_those_of_range(same_as_rq: Same, start: int, end: int, ids: list[str]) -> None:
    call = Call('get_job_ids', start, end, cleanup=False)
    assert same_as_rq('FailedJobRegistry', call, world=FAILED).value == ids


@pytest.mark.parametrize('index', [None, 'x', '', 1.5, [], 2**63])
def test_get_job_ids_raises_for_malformed_range(same_as_rq: Same, index: Any) -> None:
    outcome = same_as_rq('FailedJobRegistry', Call('get_job_ids', index), world=FAILED)
    assert isinstance(outcome.error, DataError | ResponseError)


@pytest.mark.parametrize('index', ['0', b'0', 0.0])
def test_get_job_ids_takes_range_in_other_types_as_rq(same_as_rq: Same, index: Any) -> None:
    outcome = same_as_rq('FailedJobRegistry', Call('get_job_ids', index, -1), world=FAILED)
    assert outcome.value == ['a', 'c'] or isinstance(outcome.error, ResponseError)


def test_keywords_that_are_not_interned_are_taken(same_as_rq: Same) -> None:
    names = {''.join(letters): value for letters, value in ((('de', 'sc'), True), (('e', 'nd'), 0))}
    assert same_as_rq('FailedJobRegistry', Call('get_job_ids', **names), world=FAILED).value == ['c']


def test_cleanup_is_done_if_range_is_refused(same_as_rq: Same) -> None:
    outcome = same_as_rq('FailedJobRegistry', Call('get_job_ids', 'x'), world=FAILED)
    assert len(outcome.database[b'rq:failed:q'].content) == 2


@pytest.mark.parametrize('index', [2**63, 'x', '', 1.5])
@pytest.mark.parametrize('method', ['get_job_ids', 'get_job_and_execution_ids'])
def test_abandoned_jobs_fail_if_range_is_refused(same_as_rq: Same, method: str, index: Any) -> None:
    world = World(jobs=[AJob('a', 'started', score='expired')])
    outcome = same_as_rq('StartedJobRegistry', Call(method, index), world=world)
    assert isinstance(outcome.error, ResponseError)
    assert outcome.database[b'rq:job:a'].content[b'status'] == b'failed'


def test_get_job_ids_returns_non_ascii_ids(same_as_rq: Same) -> None:
    world = World('räksmörgås', entries=[Entry('FailedJobRegistry', 'é'), Entry('FailedJobRegistry', '')])
    assert same_as_rq('FailedJobRegistry', Call('get_job_ids'), world=world).value == ['', 'é']


def test_get_job_ids_raises_for_undecodable_entry(same_as_rq: Same) -> None:
    world = World(entries=[Entry('FailedJobRegistry', b'\xff')])
    assert isinstance(same_as_rq('FailedJobRegistry', Call('get_job_ids'), world=world).error, UnicodeDecodeError)


@pytest.mark.parametrize('client', ['plain', 'decode_responses', 'resp2', 'resp3', 'unix', 'single', 'url'])
def test_get_job_ids_works_on_every_kind_of_connection(same_as_rq: Same, client: str) -> None:
    setup = Setup(connection=client)
    assert same_as_rq('FailedJobRegistry', Call('get_job_ids'), world=FAILED, setup=setup).value == ['a', 'c']
    assert same_as_rq('StartedJobRegistry', Call('get_job_ids'), world=RUNNING, setup=setup).value == ['a', 'b']


def test_get_job_ids_returns_ids_of_started_jobs(same_as_rq: Same) -> None:
    assert same_as_rq('StartedJobRegistry', Call('get_job_ids'), world=RUNNING).value == ['a', 'b']


def test_get_job_ids_returns_job_with_two_executions_twice(same_as_rq: Same) -> None:
    world = World(jobs=[AJob('a', 'started', ['running'])])
    assert same_as_rq('StartedJobRegistry', Call('get_job_ids'), world=world).value == ['a', 'a']


def test_get_job_ids_warns_once_of_entry_without_colon(same_as_rq: Same) -> None:
    outcome = same_as_rq('StartedJobRegistry', Call('get_job_ids'), world=with_entry('StartedJobRegistry', 'lonely'))
    assert [category for category, _ in outcome.warnings] == [DeprecationWarning]


def test_get_job_ids_warns_once_of_expired_entry_without_colon(same_as_rq: Same) -> None:
    world = with_entry('StartedJobRegistry', 'lonely', 'expired')
    assert len(same_as_rq('StartedJobRegistry', Call('get_job_ids'), world=world).warnings) == 1


def test_entry_with_several_colons_raises(same_as_rq: Same) -> None:
    outcome = same_as_rq('StartedJobRegistry', Call('get_job_ids'), world=with_entry('StartedJobRegistry', 'a:b:c'))
    assert isinstance(outcome.error, ValueError)


def test_get_job_and_execution_ids_returns_pairs(same_as_rq: Same) -> None:
    call = Call('get_job_and_execution_ids', desc=True)
    assert same_as_rq('StartedJobRegistry', call, world=RUNNING).value == [('b', 'run'), ('a', 'run')]


@pytest.mark.parametrize('call', [Call('get_job_ids'), Call('in', 'missing'), Call('get_job_and_execution_ids')])
def test_decoding_client_fails_before_entries_are_parsed(same_as_rq: Same, call: Call) -> None:
    world = World(entries=[Entry('StartedJobRegistry', 'lonely'), Entry('StartedJobRegistry', b'\xff:run')])
    outcome = same_as_rq('StartedJobRegistry', call, world=world, setup=Setup(connection='decode_responses'))
    assert isinstance(outcome.error, UnicodeDecodeError)
    assert outcome.warnings == []


# ---- in


@pytest.mark.parametrize('item', ['a', 'missing', '', 'é', TheJob('a'), TheJob('missing'), b'a', 5, 1.5])
def test_membership_of_any_item_equals_rq(same_as_rq: Same, item: Any) -> None:
    for kind, world in (('FailedJobRegistry', FAILED), ('StartedJobRegistry', RUNNING)):
        outcome = same_as_rq(kind, Call('in', item), world=world)
        is_job_a = item in ('a', TheJob('a')) or (item == b'a' and kind == 'FailedJobRegistry')
        assert outcome.value is is_job_a


@pytest.mark.parametrize('item', [None, True, [], {}, 'a\udc80'])
def test_membership_of_object_that_is_no_id_raises_or_is_false_as_in_rq(same_as_rq: Same, item: Any) -> None:
    assert isinstance(same_as_rq('FailedJobRegistry', Call('in', item)).error, DataError | UnicodeEncodeError)
    assert same_as_rq('StartedJobRegistry', Call('in', item), world=RUNNING).value is False


def test_membership_does_not_clean_up(same_as_rq: Same) -> None:
    assert same_as_rq('FailedJobRegistry', Call('in', 'b'), world=FAILED).value is True


def test_membership_of_job_of_other_class_raises_as_in_rq(same_as_rq: Same) -> None:
    setup = Setup(job_class='AppJob')
    assert same_as_rq('FailedJobRegistry', Call('in', TheJob('a', job_class='AppJob')), world=FAILED, setup=setup).value
    assert isinstance(same_as_rq('FailedJobRegistry', Call('in', TheJob('a')), setup=setup).error, DataError)


@pytest.mark.parametrize('trait', ['no_hash', 'wrong_executions', 'lost_execution', 'running', 'abandoned'])
def test_started_job_is_member(same_as_rq: Same, trait: str) -> None:
    world = World(jobs=[AJob('a', 'started', [trait])])
    assert same_as_rq('StartedJobRegistry', Call('in', 'a'), world=world).value is True


def test_started_job_only_in_executions_is_no_member(same_as_rq: Same) -> None:
    world = World(entries=[Entry('ExecutionRegistry', 'run')])
    assert same_as_rq('StartedJobRegistry', Call('in', 'a'), world=world).value is False


def test_started_job_without_executions_is_member(same_as_rq: Same) -> None:
    world = World(entries=[Entry('StartedJobRegistry', 'a:run')])
    assert same_as_rq('StartedJobRegistry', Call('in', 'a'), world=world).value is True


@pytest.mark.parametrize('member', ['lonely', 'a:b:c', b'\xff:run'])
def test_membership_beside_malformed_entry_raises_only_if_entries_are_read(
    same_as_rq: Same, member: str | bytes
) -> None:
    """The one known difference: for a job that is executed, RQ parses the malformed entry, and ours need not."""
    world = with_entry('StartedJobRegistry', member)
    same_as_rq('StartedJobRegistry', Call('in', 'a'), world=world, allowed=running_job_needs_no_scan)
    outcome = same_as_rq('StartedJobRegistry', Call('in', 'missing'), world=world, allowed=running_job_needs_no_scan)
    assert outcome.warnings or isinstance(outcome.error, ValueError)


# Times


def test_get_expired_job_ids_returns_expired_entries(same_as_rq: Same) -> None:
    assert same_as_rq('FailedJobRegistry', Call('get_expired_job_ids'), world=FAILED).value == ['b']


def test_get_expired_job_ids_returns_those_expired_by_given_time(same_as_rq: Same) -> None:
    call = Call('get_expired_job_ids', timestamp=At(3000))
    assert same_as_rq('FailedJobRegistry', call, world=FAILED).value == ['b', 'a']


def test_get_expired_job_ids_takes_0_as_a_time(same_as_rq: Same) -> None:
    world = World(entries=[Entry('FailedJobRegistry', 'a', 'expired'), Entry('FailedJobRegistry', 'zero', 'zero')])
    assert same_as_rq('FailedJobRegistry', Call('get_expired_job_ids', 0), world=world).value == ['zero']


def test_get_expired_job_ids_raises_for_canceled_jobs(same_as_rq: Same) -> None:
    assert isinstance(same_as_rq('CanceledJobRegistry', Call('get_expired_job_ids')).error, NotImplementedError)


def test_get_expiration_time_returns_datetime_in_utc(same_as_rq: Same) -> None:
    moment = same_as_rq('FailedJobRegistry', Call('get_expiration_time', TheJob('a')), world=FAILED).value
    assert isinstance(moment, datetime)
    assert moment.tzinfo is timezone.utc


def test_get_expiration_time_keeps_fraction_of_second(same_as_rq: Same) -> None:
    world = World(jobs=[AJob('a', 'failed', score='fraction')])
    call = Call('get_expiration_time', TheJob('a'))
    assert same_as_rq('FailedJobRegistry', call, world=world).value.microsecond == 250000


@pytest.mark.parametrize(
    ('score', 'error'), [('inf', OverflowError), ('huge', (OverflowError, ValueError)), (None, TypeError)]
)
def test_get_expiration_time_raises_if_out_of_range(same_as_rq: Same, score: str | None, error: Any) -> None:
    world = World(jobs=[AJob('a', 'failed', score=score)])
    call = Call('get_expiration_time', TheJob('a'))
    assert isinstance(same_as_rq('FailedJobRegistry', call, world=world).error, error)


def test_get_expiration_time_raises_for_id(same_as_rq: Same) -> None:
    outcome = same_as_rq('FailedJobRegistry', Call('get_expiration_time', 'a'), world=FAILED)
    assert isinstance(outcome.error, AttributeError)


@pytest.mark.parametrize('job', ['a', TheJob('a')])
def test_get_scheduled_time_returns_datetime_in_utc(same_as_rq: Same, job: Any) -> None:
    outcome = same_as_rq('ScheduledJobRegistry', Call('get_scheduled_time', job), world=SCHEDULED)
    assert outcome.value.tzinfo is timezone.utc


def test_get_scheduled_time_raises_for_unscheduled_job(same_as_rq: Same) -> None:
    outcome = same_as_rq('ScheduledJobRegistry', Call('get_scheduled_time', 'missing'), world=SCHEDULED)
    assert isinstance(outcome.error, NoSuchJobError)


def test_get_scheduled_time_zero_counts_as_not_scheduled(same_as_rq: Same) -> None:
    world = World(jobs=[AJob('a', 'scheduled', score='zero')])
    assert isinstance(
        same_as_rq('ScheduledJobRegistry', Call('get_scheduled_time', 'a'), world=world).error, NoSuchJobError
    )


def test_get_jobs_to_schedule_returns_jobs_that_are_due(same_as_rq: Same) -> None:
    assert same_as_rq('ScheduledJobRegistry', Call('get_jobs_to_schedule'), world=SCHEDULED).value == ['a']


@pytest.mark.parametrize('size', [0, 1, 2, -1])
def test_get_jobs_to_schedule_returns_at_most_chunk_size(same_as_rq: Same, size: int) -> None:
    call = Call('get_jobs_to_schedule', At(2000), chunk_size=size)
    assert (
        same_as_rq('ScheduledJobRegistry', call, world=SCHEDULED).value == ['a', 'b', 'c'][: size if size >= 0 else 3]
    )


def test_get_jobs_to_enqueue_returns_jobs_that_are_due(same_as_rq: Same) -> None:
    assert same_as_rq('ScheduledJobRegistry', Call('get_jobs_to_enqueue'), world=SCHEDULED).value == ['a']


# ---- cleanup


@pytest.mark.parametrize('kind', REGISTRIES)
def test_cleanup_returns_what_rq_returns(same_as_rq: Same, kind: str) -> None:
    world = World(jobs=[AJob('a', 'failed')], entries=[Entry(kind, 'old', 'expired')])
    outcome = same_as_rq(kind, Call('cleanup'), world=world if kind != 'StartedJobRegistry' else RUNNING)
    assert outcome.error is None


def test_cleanup_drops_entries_that_expired_by_given_time(same_as_rq: Same) -> None:
    outcome = same_as_rq('FinishedJobRegistry', Call('cleanup', At(2000)), world=World(jobs=[AJob('a', 'finished')]))
    assert b'rq:finished:q' not in outcome.database


def test_cleanup_at_time_zero_is_not_now(same_as_rq: Same) -> None:
    outcome = same_as_rq('FailedJobRegistry', Call('cleanup', 0), world=FAILED)
    assert len(outcome.database[b'rq:failed:q'].content) == 3


@pytest.mark.parametrize('timestamp', ['soon', None, [], '(5', '-inf', 'inf'])
def test_cleanup_at_unusual_time_has_same_outcome_as_rq(same_as_rq: Same, timestamp: Any) -> None:
    outcome = same_as_rq('FailedJobRegistry', Call('cleanup', timestamp), world=FAILED)
    assert outcome.error is None or isinstance(outcome.error, DataError | ResponseError)


def test_wrong_arguments_raise_same_message(same_as_rq: Same) -> None:
    calls = [
        Call('get_job_ids', 0, -1, False, True, None),
        Call('get_job_ids', no_such_argument=1),
        Call('get_job_ids', 0, start=1),
        Call('get_job_count', True, True),
        Call('remove'),
        Call('requeue'),
        Call('get_expiration_time'),
        Call('cleanup', 1, 2, 3),
        Call('get_expired_job_ids', time=1),
    ]
    for call in calls:
        assert isinstance(same_as_rq('FailedJobRegistry', call).error, TypeError)
    for call in (Call('get_scheduled_time'), Call('get_jobs_to_schedule', 1, 2, 3)):
        assert isinstance(same_as_rq('ScheduledJobRegistry', call).error, TypeError)


# Subclasses and patches


class Unhashable:
    """A callable that is not hashable."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, *args: Any) -> None:
        self.calls += 1


@pytest.mark.parametrize('namespace', [rq.registry, rqreg_ext.registry])
@pytest.mark.parametrize('is_bound', [False, True])
def test_unhashable_cleanup_is_called(connection: Redis, namespace: Any, is_bound: bool) -> None:
    registry = namespace.FailedJobRegistry('q', connection)
    cleanup = Unhashable()
    registry.cleanup = types.MethodType(cleanup, registry) if is_bound else cleanup
    assert registry.count == 0
    assert registry.get_job_ids() == []
    assert cleanup.calls == 2


@pytest.mark.parametrize('subclass', ['noted_cleanup', 'silent_cleanup', 'counted_twice', 'reversed_job_ids'])
def test_override_is_called(same_as_rq: Same, subclass: str) -> None:
    setup = Setup(subclass=subclass)
    calls = {'counted_twice': Call('count'), 'reversed_job_ids': Call('get_job_ids')}
    outcome = same_as_rq('FailedJobRegistry', calls.get(subclass, Call('count')), world=FAILED, setup=setup)
    assert ('rq.differential', 'INFO') in [(name, level) for name, level, _ in outcome.logs]


def test_overridden_parse_job_id_is_called(same_as_rq: Same) -> None:
    setup = Setup(subclass='shouting_job_ids')
    assert same_as_rq('FailedJobRegistry', Call('get_job_ids'), world=FAILED, setup=setup).value == ['A', 'C']
    assert same_as_rq('StartedJobRegistry', Call('get_job_ids'), world=RUNNING, setup=setup).value == ['A', 'B']
    assert same_as_rq('StartedJobRegistry', Call('in', 'A'), world=RUNNING, setup=setup).value is True
    assert same_as_rq('FailedJobRegistry', Call('get_expired_job_ids'), world=FAILED, setup=setup).value == ['B']


def test_overridden_get_job_ids_decides_membership(same_as_rq: Same) -> None:
    setup = Setup(subclass='fixed_job_ids')
    assert same_as_rq('StartedJobRegistry', Call('in', 'fixed'), world=RUNNING, setup=setup).value is True


def test_overridden_count_is_length(same_as_rq: Same) -> None:
    assert same_as_rq('FailedJobRegistry', Call('len'), setup=Setup(subclass='fixed_count')).value == 7


@pytest.mark.parametrize('where', ['class', 'instance'])
@pytest.mark.parametrize('name', ['cleanup', 'get_job_ids', 'get_job_count', 'get_expired_job_ids', 'parse_job_id'])
def test_patched_method_is_called(same_as_rq: Same, where: str, name: str) -> None:
    setup = Setup(patch=(where, name, 'wrapped'))
    calls = {'get_job_count': Call('count'), 'get_expired_job_ids': Call('cleanup')}
    outcome = same_as_rq('StartedJobRegistry', calls.get(name, Call('get_job_ids')), world=RUNNING, setup=setup)
    assert any(text.startswith(name) for _, _, text in outcome.logs)
