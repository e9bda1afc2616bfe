"""requeue(): the queue, the hash, the returned job and the job that was passed are compared with RQ."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
import rq
from clients.rights import RULES
from differential import functions
from differential.arguments import TheJob
from differential.comparison import Call, Raw, Setup
from differential.observe import Outcome
from differential.world import HAS_RATE_LIMITS, STATUSES, TRAITS, AJob, Entry, World
from redis import Redis
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.utils import utcparse

import rqreg_ext

Same = Callable[..., Outcome]

REQUEUE = Call('requeue', 'a')
QUEUE = b'rq:queue:q'


def failed(*traits: str, serializer: str | None = None) -> World:
    return World(jobs=[AJob('a', 'failed', traits), AJob('b', 'queued')], serializer=serializer)


@pytest.mark.parametrize('job', ['a', TheJob('a')])
def test_requeue_puts_job_on_queue(same_as_rq: Same, job: Any) -> None:
    outcome = same_as_rq('FailedJobRegistry', Call('requeue', job), world=failed('times', 'exc_info'))
    assert outcome.value.id == 'a'
    assert outcome.database[QUEUE].content == [b'b', b'a']
    assert outcome.database[b'rq:job:a'].content[b'status'] == b'queued'
    assert outcome.database[b'rq:job:a'].content[b'started_at'] == b''
    assert b'rq:failed:q' not in outcome.database


@pytest.mark.parametrize('at_front', [True, 1, 'yes'])
def test_requeue_at_front_puts_job_first(same_as_rq: Same, at_front: Any) -> None:
    call = Call('requeue', 'a', at_front=at_front)
    assert same_as_rq('FailedJobRegistry', call, world=failed()).database[QUEUE].content == [b'a', b'b']


def test_requeue_returns_given_job(same_as_rq: Same) -> None:
    calls = [Call('requeue', TheJob('a')), Call('in', TheJob('a')), Call('requeue', TheJob('a'))]
    assert isinstance(same_as_rq('FailedJobRegistry', *calls, world=failed()).error, InvalidJobOperation)


@pytest.mark.parametrize('registry_class', [rq.registry.FailedJobRegistry, rqreg_ext.FailedJobRegistry])
def test_requeue_returns_saved_time(connection: Redis, registry_class: Any) -> None:
    queue = rq.Queue('q', connection=connection)
    job = queue.enqueue('differential.functions.say')
    registry = registry_class('q', connection)
    connection.zadd(registry.key, {job.id: 2_000_000_000})
    requeued = registry.requeue(job.id)
    saved = connection.hget(job.key, 'enqueued_at')
    assert requeued.enqueued_at == utcparse(saved.decode())
    assert requeued.enqueued_at > job.enqueued_at


def test_requeue_logs_same_as_rq(same_as_rq: Same) -> None:
    logs = same_as_rq('FailedJobRegistry', REQUEUE, world=failed()).logs
    assert {name for name, _, _ in logs} == {'rq.queue'}


@pytest.mark.parametrize('kind', ['FailedJobRegistry', 'FinishedJobRegistry'])
@pytest.mark.parametrize('rights', RULES)
def test_user_of_few_rights_is_refused_as_by_rq(same_as_rq: Same, kind: str, rights: str) -> None:
    same_as_rq(kind, REQUEUE, world=failed(), setup=Setup(client=f'limited: {rights}'))


def test_requeue_of_job_not_in_registry_raises(same_as_rq: Same) -> None:
    outcome = same_as_rq('FinishedJobRegistry', REQUEUE, world=failed())
    assert isinstance(outcome.error, InvalidJobOperation)
    assert outcome.database[QUEUE].content == [b'b']


@pytest.mark.parametrize('job_id', ['missing', 'a:run', '', 'é', 'a b'])
def test_requeue_of_missing_job_has_same_outcome_as_rq(same_as_rq: Same, job_id: str) -> None:
    world = World(jobs=[AJob('a', 'failed')], entries=[Entry('FailedJobRegistry', job_id)])
    same_as_rq('FailedJobRegistry', Call('requeue', job_id), world=world)


@pytest.mark.parametrize('job', [None, b'a', 5, True, [], {}, 'a\udc80'])
def test_requeue_raises_for_object_that_is_no_id(same_as_rq: Same, job: Any) -> None:
    assert same_as_rq('FailedJobRegistry', Call('requeue', job), world=failed()).error is not None


def test_requeue_of_job_without_hash_keeps_entry(same_as_rq: Same) -> None:
    outcome = same_as_rq('FailedJobRegistry', REQUEUE, world=World(entries=[Entry('FailedJobRegistry', 'a')]))
    assert isinstance(outcome.error, NoSuchJobError)
    assert b'rq:failed:q' in outcome.database


@pytest.mark.parametrize('trait', TRAITS)
def test_requeue_of_job_with_traits_has_same_outcome_as_rq(same_as_rq: Same, trait: str) -> None:
    same_as_rq('FailedJobRegistry', REQUEUE, world=failed(trait))
    same_as_rq('FailedJobRegistry', Call('requeue', TheJob('a'), True), world=failed(trait))


@pytest.mark.parametrize('status', STATUSES)
@pytest.mark.parametrize('kind', ['FailedJobRegistry', 'DeferredJobRegistry', 'CanceledJobRegistry'])
def test_job_of_any_status_is_requeued(same_as_rq: Same, kind: str, status: str) -> None:
    world = World(jobs=[AJob('a', status)], entries=[Entry(kind, 'a')])
    assert same_as_rq(kind, REQUEUE, world=world).database[QUEUE].content[-1] == b'a'


def test_requeue_sets_ttl_of_hash(same_as_rq: Same) -> None:
    assert same_as_rq('FailedJobRegistry', REQUEUE, world=failed('ttl')).database[b'rq:job:a'].expires is not None


def test_requeue_uses_queue_of_origin(same_as_rq: Same) -> None:
    outcome = same_as_rq('FailedJobRegistry', REQUEUE, world=failed('other_origin'))
    assert outcome.database[b'rq:queue:elsewhere'].content == [b'a']


@pytest.mark.skipif(not HAS_RATE_LIMITS, reason='this RQ has no rate limits')
@pytest.mark.parametrize('state', ['free', 'taken'])
def test_requeued_rate_limited_job_waits_if_slot_is_taken(same_as_rq: Same, state: str) -> None:
    others = [AJob('b', 'started', ['rate_limit', 'allowed'])] if state == 'taken' else []
    world = World(jobs=[AJob('a', 'failed', ['rate_limit']), *others])
    status = same_as_rq('FailedJobRegistry', REQUEUE, world=world).value.get_status(refresh=False)
    assert status == ('queued' if state == 'free' else 'rate_limited')


@pytest.mark.parametrize('job_class', ['AppJob', 'JobWithDelete', 'JobElsewhere'])
def test_requeue_returns_job_of_custom_class(same_as_rq: Same, job_class: str) -> None:
    setup = Setup(job_class=job_class)
    outcome = same_as_rq('FailedJobRegistry', REQUEUE, world=failed('hash_elsewhere'), setup=setup)
    assert type(outcome.value).__name__ == job_class


@pytest.mark.parametrize('registry_serializer', [None, 'rq.serializers.JSONSerializer'])
@pytest.mark.parametrize('job_serializer', [None, 'rq.serializers.JSONSerializer'])
def test_requeue_with_serializers_has_same_outcome_as_rq(
    same_as_rq: Same, registry_serializer: Any, job_serializer: Any
) -> None:
    setup = Setup(serializer=registry_serializer)
    same_as_rq('FailedJobRegistry', REQUEUE, world=failed('meta', 'old_result', serializer=job_serializer), setup=setup)


class Unwritable:
    """When it is unpickled, the result is an object that cannot be pickled."""

    def __reduce__(self) -> Any:
        return functions.unwritable, ()


METADATA = {
    'of another protocol': pickle.dumps({'a': ['é', 1]}, protocol=0),
    'that is empty': pickle.dumps({}),
    'that is not a dict': pickle.dumps(['a', 'b']),
    'that is one item': pickle.dumps(['a']),
    'as RQ marks what it cannot read': pickle.dumps({'unserialized': None}),
    'of a function that is gone': b'cdifferential.functions\ngone\n.',
    'that cannot be stored again': pickle.dumps(Unwritable()),
    'that is not a pickle': b'{}',
    'of no bytes': b'',
}


@pytest.mark.parametrize('meta', METADATA.values(), ids=METADATA)
@pytest.mark.parametrize('serializer', [None, 'rq.serializers.JSONSerializer'])
def test_requeue_with_metadata_has_same_outcome_as_rq(same_as_rq: Same, serializer: str | None, meta: bytes) -> None:
    stored = Raw('HSET', 'rq:job:a', 'meta', meta)
    same_as_rq('FailedJobRegistry', stored, REQUEUE, world=failed(), setup=Setup(serializer=serializer))


@pytest.mark.parametrize('client', ['decode_responses', 'resp2', 'resp3', 'unix', 'single', 'url'])
def test_requeue_works_on_every_kind_of_connection(same_as_rq: Same, client: str) -> None:
    same_as_rq('FailedJobRegistry', REQUEUE, world=failed('meta'), setup=Setup(connection=client))


def test_requeue_takes_queue_with_unusual_name_as_rq(same_as_rq: Same) -> None:
    for name in ('', 'räksmörgås', '{q}', 'a:b'):
        world = World(name, jobs=[AJob('a', 'failed')])
        assert same_as_rq('FailedJobRegistry', REQUEUE, world=world).error is None or name == ''


@pytest.mark.parametrize('how', ['wrapped', 'fixed', 'raises'])
@pytest.mark.parametrize('where', ['class', 'instance'])
def test_patched_requeue_is_called(same_as_rq: Same, where: str, how: str) -> None:
    outcome = same_as_rq('FailedJobRegistry', REQUEUE, world=failed(), setup=Setup(patch=(where, 'requeue', how)))
    assert outcome.logs
