"""remove(), with and without delete_job: the results and all keys are compared with RQ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from differential.arguments import APipeline, TheExecution, TheJob
from differential.comparison import Call, Setup
from differential.observe import Outcome
from differential.sides import REGISTRIES
from differential.world import HAS_RATE_LIMITS, STATUSES, TRAITS, AJob, Entry, World
from redis.exceptions import DataError, ResponseError
from rq.exceptions import InvalidJobOperation, NoSuchGroupError, NoSuchJobError

Same = Callable[..., Outcome]

FAILED = World(jobs=[AJob('a', 'failed'), AJob('b', 'failed')])
DELETE = Call('remove', 'a', delete_job=True)


def job_keys(outcome: Outcome) -> set[bytes]:
    return {key for key in outcome.database if key.startswith((b'rq:job:', b'rq:results:', b'rq:executions:'))}


def failed(*traits: str, serializer: str | None = None) -> World:
    return World(jobs=[AJob('a', 'failed', traits)], serializer=serializer)


@pytest.mark.parametrize('job', ['a', b'a', TheJob('a'), TheJob('a', bare=True)])
def test_remove_removes_entry(same_as_rq: Same, job: Any) -> None:
    outcome = same_as_rq('FailedJobRegistry', Call('remove', job), world=FAILED)
    assert outcome.value == 1
    assert b'rq:job:a' in outcome.database


def test_remove_of_last_entry_leaves_no_key(same_as_rq: Same) -> None:
    assert b'rq:failed:q' not in same_as_rq('FailedJobRegistry', Call('remove', 'a'), world=failed()).database


def test_remove_of_missing_entry_returns_0(same_as_rq: Same) -> None:
    assert same_as_rq('FailedJobRegistry', Call('remove', 'missing'), world=FAILED).value == 0


@pytest.mark.parametrize('job', [None, True, [], {}, 'a\udc80', TheExecution('a', 'run')])
def test_remove_raises_for_object_that_is_no_id(same_as_rq: Same, job: Any) -> None:
    outcome = same_as_rq('FailedJobRegistry', Call('remove', job), world=FAILED)
    assert isinstance(outcome.error, DataError | UnicodeEncodeError)


def test_remove_accepts_number_as_id(same_as_rq: Same) -> None:
    world = World(entries=[Entry('FailedJobRegistry', '5')])
    assert same_as_rq('FailedJobRegistry', Call('remove', 5), world=world).value == 1


def test_remove_does_not_clean_up(same_as_rq: Same) -> None:
    world = World(jobs=[AJob('a', 'failed'), AJob('b', 'failed', score='expired')])
    outcome = same_as_rq('FailedJobRegistry', Call('remove', 'a'), world=world)
    assert len(outcome.database[b'rq:failed:q'].content) == 1


def test_remove_in_pipeline_is_done_when_it_is_executed(same_as_rq: Same) -> None:
    outcome = same_as_rq('FailedJobRegistry', Call('remove', 'a', pipeline=APipeline()), world=FAILED)
    assert outcome.compared['results of the pipelines'] != []
    assert len(outcome.database[b'rq:failed:q'].content) == 1


def test_remove_takes_client_as_pipeline(same_as_rq: Same) -> None:
    call = Call('remove', 'a', APipeline(client=True), True)
    assert b'rq:job:a' not in same_as_rq('FailedJobRegistry', call, world=FAILED).database


def test_deletion_in_pipeline_has_same_outcome_as_rq(same_as_rq: Same) -> None:
    same_as_rq('FailedJobRegistry', Call('remove', TheJob('a'), APipeline(), True), world=FAILED)
    same_as_rq('FailedJobRegistry', Call('remove', 'a', APipeline(), True), world=FAILED)


def test_remove_from_started_registry_raises_not_implemented(same_as_rq: Same) -> None:
    world = World(jobs=[AJob('a', 'started')])
    assert isinstance(same_as_rq('StartedJobRegistry', Call('remove', 'a'), world=world).error, NotImplementedError)


@pytest.mark.parametrize('job', ['a', TheJob('a')])
def test_remove_with_delete_job_leaves_no_key_of_job(same_as_rq: Same, job: Any) -> None:
    outcome = same_as_rq('FailedJobRegistry', Call('remove', job, delete_job=True), world=failed('in_queue'))
    assert outcome.value == 1
    assert job_keys(outcome) == set()
    assert outcome.database[b'rq:queue:q'].content == [b'other', b'x', b'a']


def test_job_object_without_origin_is_deleted_but_stays_in_queue(same_as_rq: Same) -> None:
    call = Call('remove', TheJob('a', bare=True), delete_job=True)
    outcome = same_as_rq('FailedJobRegistry', call, world=failed('in_queue'))
    assert job_keys(outcome) == set()
    assert b'a' in outcome.database[b'rq:queue:q'].content


@pytest.mark.parametrize('flag', [1, 'yes', [0]])
def test_delete_job_argument_accepts_any_true_value(same_as_rq: Same, flag: Any) -> None:
    call = Call('remove', 'a', delete_job=flag)
    assert b'rq:job:a' not in same_as_rq('FailedJobRegistry', call, world=failed()).database


def test_job_outside_registry_is_deleted(same_as_rq: Same) -> None:
    outcome = same_as_rq('FinishedJobRegistry', DELETE, world=FAILED)
    assert outcome.value == 0
    assert b'rq:job:a' not in outcome.database


@pytest.mark.parametrize('status', STATUSES)
@pytest.mark.parametrize('kind', ['FailedJobRegistry', 'ScheduledJobRegistry'])
def test_job_of_any_status_is_deleted(same_as_rq: Same, kind: str, status: str) -> None:
    world = World(jobs=[AJob('a', status)], entries=[Entry(kind, 'a')])
    assert b'rq:job:a' not in same_as_rq(kind, DELETE, world=world).database


@pytest.mark.parametrize('trait', TRAITS)
def test_deletion_of_job_with_traits_has_same_outcome_as_rq(same_as_rq: Same, trait: str) -> None:
    same_as_rq('FailedJobRegistry', DELETE, world=failed(trait))
    same_as_rq('FailedJobRegistry', Call('remove', TheJob('a'), delete_job=True), world=failed(trait))


@pytest.mark.parametrize('trait', ['results', 'running', 'b_depends_on_it', 'group'])
def test_deletion_leaves_no_key_of_job(same_as_rq: Same, trait: str) -> None:
    outcome = same_as_rq('FailedJobRegistry', DELETE, world=failed(trait, 'in_group'))
    assert b'rq:job:a' not in outcome.database
    assert b'rq:job:a:dependents' not in outcome.database
    assert b'rq:executions:a' not in outcome.database


def test_deletion_removes_job_from_its_group(same_as_rq: Same) -> None:
    outcome = same_as_rq('FailedJobRegistry', DELETE, world=failed('group', 'in_group'))
    assert outcome.database[b'rq:group:crew'].content == {b'other'}


def test_deletion_of_job_of_missing_group_stops_halfway(same_as_rq: Same) -> None:
    outcome = same_as_rq('FailedJobRegistry', DELETE, world=failed('lost_group'))
    assert isinstance(outcome.error, NoSuchGroupError)
    assert b'rq:failed:q' not in outcome.database
    assert b'rq:job:a' in outcome.database


@pytest.mark.parametrize('kind', [kind for kind in REGISTRIES if kind != 'StartedJobRegistry'])
def test_deletion_of_job_without_hash_removes_entry_and_raises(same_as_rq: Same, kind: str) -> None:
    outcome = same_as_rq(kind, DELETE, world=World(entries=[Entry(kind, 'a')]))
    assert isinstance(outcome.error, NoSuchJobError)
    assert outcome.database == {}


def test_deletion_of_job_without_status_removes_entry_and_raises(same_as_rq: Same) -> None:
    outcome = same_as_rq('FailedJobRegistry', DELETE, world=failed('no_status', 'in_queue'))
    assert isinstance(outcome.error, InvalidJobOperation)
    assert b'rq:failed:q' not in outcome.database


@pytest.mark.parametrize('trait', ['unknown_status', 'bad_created_at', 'bad_ttl', 'bad_retries', 'undecodable_origin'])
def test_deletion_of_unreadable_job_raises_and_keeps_its_hash(same_as_rq: Same, trait: str) -> None:
    outcome = same_as_rq('FailedJobRegistry', DELETE, world=failed(trait))
    assert isinstance(outcome.error, ValueError)
    assert b'rq:job:a' in outcome.database


def test_deletion_of_job_with_key_of_wrong_type_raises(same_as_rq: Same) -> None:
    assert isinstance(same_as_rq('FailedJobRegistry', DELETE, world=failed('wrong_hash')).error, ResponseError)


@pytest.mark.parametrize('job_id', ['a:run', 'a b', 'é', ''])
def test_deletion_by_malformed_id_has_same_outcome_as_rq(same_as_rq: Same, job_id: str) -> None:
    world = World(jobs=[AJob('a', 'failed')], entries=[Entry('FailedJobRegistry', job_id)])
    same_as_rq('FailedJobRegistry', Call('remove', job_id, delete_job=True), world=world)


def test_deletion_of_job_of_other_queue_leaves_this_queue(same_as_rq: Same) -> None:
    world = failed('other_origin', 'in_queue')
    outcome = same_as_rq('FailedJobRegistry', DELETE, world=world)
    assert len(outcome.database[b'rq:queue:q'].content) == 4


@pytest.mark.skipif(not HAS_RATE_LIMITS, reason='this RQ has no rate limits')
@pytest.mark.parametrize('traits', [['allowed'], ['waiting'], ['allowed', 'running']])
def test_deletion_of_rate_limited_job_gives_its_slot_to_next(same_as_rq: Same, traits: list[str]) -> None:
    world = World(
        jobs=[AJob('a', 'failed', ['rate_limit', *traits]), AJob('b', 'rate_limited', ['rate_limit', 'waiting'])]
    )
    outcome = same_as_rq('FailedJobRegistry', DELETE, world=world)
    promoted = traits == ['allowed']
    assert outcome.database[b'rq:job:b'].content[b'status'] == (b'queued' if promoted else b'rate_limited')


@pytest.mark.parametrize('job_class', ['AppJob', 'JobWithDelete', 'JobElsewhere'])
def test_deletion_with_custom_job_class_has_same_outcome_as_rq(same_as_rq: Same, job_class: str) -> None:
    setup = Setup(job_class=job_class)
    same_as_rq('FailedJobRegistry', DELETE, world=failed('hash_elsewhere'), setup=setup)
    call = Call('remove', TheJob('a', job_class=job_class), delete_job=True)
    outcome = same_as_rq('FailedJobRegistry', call, world=failed('hash_elsewhere'), setup=setup)
    assert [text for _, _, text in outcome.logs] == (['deleting a'] if job_class == 'JobWithDelete' else [])


def test_deletion_with_other_serializer_has_same_outcome_as_rq(same_as_rq: Same) -> None:
    json = 'rq.serializers.JSONSerializer'
    for serializer in (None, json):
        setup = Setup(serializer=serializer)
        same_as_rq('FailedJobRegistry', DELETE, world=failed('meta', 'results', serializer=json), setup=setup)


@pytest.mark.parametrize('client', ['decode_responses', 'resp2', 'resp3', 'unix', 'single', 'url'])
def test_deletion_works_on_every_kind_of_connection(same_as_rq: Same, client: str) -> None:
    same_as_rq('FailedJobRegistry', DELETE, world=failed('results'), setup=Setup(connection=client))


def test_deleting_every_job_as_rqs_documentation_does_leaves_no_keys(same_as_rq: Same) -> None:
    calls = [Call('get_job_ids'), DELETE, Call('remove', 'b', delete_job=True), Call('get_job_ids')]
    outcome = same_as_rq('FailedJobRegistry', *calls, world=FAILED)
    assert outcome.value == []
    assert outcome.database == {}


def test_overridden_remove_is_called(same_as_rq: Same) -> None:
    outcome = same_as_rq('FailedJobRegistry', DELETE, world=FAILED, setup=Setup(subclass='noted_remove'))
    assert outcome.logs == [('rq.differential', 'INFO', 'remove with True')]
