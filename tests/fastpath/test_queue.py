"""rqreg_ext.Queue, whose registries are ours, and clean_registries()."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import rq
import rq.registry
from differential import functions
from differential.arguments import TheQueue
from differential.comparison import Call, Setup
from differential.functions import AppJob
from differential.observe import Outcome
from differential.sides import REGISTRIES
from differential.world import STATUSES, AJob, Entry, World
from redis import Redis
from redis.exceptions import ResponseError
from rq.serializers import JSONSerializer

import rqreg_ext
from rqreg_ext._fastpath.releases import release

Same = Callable[..., Outcome]

PROPERTIES = {
    name.removesuffix('JobRegistry').lower() + '_job_registry': name for name in REGISTRIES if name != 'BaseRegistry'
}
FULL = World(
    jobs=[
        AJob('a', 'started', ['failure_callback'], score='expired'),
        AJob('b', 'failed', score='expired'),
        AJob('c', 'finished', score='expired'),
        AJob('d', 'deferred', score='expired'),
    ]
)


@pytest.mark.parametrize('attribute', PROPERTIES)
def test_registry_of_our_queue_has_attributes_of_rqs(same_as_rq: Same, attribute: str) -> None:
    setup = Setup(job_class='AppJob', serializer='rq.serializers.JSONSerializer')
    # same_as_rq() compares the name of the registry's class, and its attributes.
    assert type(same_as_rq('Queue', Call(attribute), setup=setup).value).__name__ == PROPERTIES[attribute]


@pytest.mark.parametrize('attribute', PROPERTIES)
def test_registries_of_our_queue_are_ours(connection: Redis, attribute: str) -> None:
    queue = rqreg_ext.Queue('q', connection=connection, job_class=AppJob, serializer=JSONSerializer)
    registry = getattr(queue, attribute)
    assert type(registry) is getattr(rqreg_ext, PROPERTIES[attribute])
    assert (registry.name, registry.connection) == ('q', connection)
    assert registry.job_class is AppJob
    assert registry.serializer is JSONSerializer


@pytest.mark.parametrize('attribute', PROPERTIES)
def test_each_access_creates_a_registry(connection: Redis, attribute: str) -> None:
    queue = rqreg_ext.Queue('q', connection=connection)
    assert getattr(queue, attribute) is not getattr(queue, attribute)


@pytest.mark.parametrize('attribute', PROPERTIES)
def test_registries_of_our_queue_count_as_rqs(same_as_rq: Same, attribute: str) -> None:
    same_as_rq('Queue', Call(f'{attribute}.count'), Call(f'{attribute}.get_job_ids'), world=FULL)


def test_our_queue_is_instance_of_rqs(connection: Redis) -> None:
    queue = rqreg_ext.Queue('q', connection=connection)
    assert isinstance(queue, rq.Queue)
    assert queue == rq.Queue('q', connection=connection)
    job = queue.enqueue(functions.say, 'hello')
    assert rq.Queue('q', connection=connection).job_ids == [job.id]


def test_subclass_of_our_queue_passes_its_job_class_on(connection: Redis) -> None:
    class AppQueue(rqreg_ext.Queue):  # type: ignore[misc]
        job_class = AppJob

    assert AppQueue('q', connection=connection).failed_job_registry.job_class is AppJob


def test_overridden_registry_property_is_called(connection: Redis) -> None:
    class AppQueue(rqreg_ext.Queue):  # type: ignore[misc]
        @property
        def failed_job_registry(self) -> Any:
            return 'mine'

    assert AppQueue('q', connection=connection).failed_job_registry == 'mine'


def test_queue_without_connection_raises_same_error_as_rq() -> None:
    errors = []
    for queue_class in (rq.Queue, rqreg_ext.Queue):
        with pytest.raises(TypeError) as caught:
            queue_class('q')
        errors.append(caught.value.args)
    assert errors[0] == errors[1]


def test_get_queue_has_serializer_and_job_class(same_as_rq: Same) -> None:
    setup = Setup(serializer='rq.serializers.JSONSerializer', job_class='AppJob')
    assert same_as_rq('FailedJobRegistry', Call('get_queue'), setup=setup).value.name == 'q'


@pytest.mark.parametrize('rq_queue', [False, True])
def test_clean_registries_agrees_with_rq(same_as_rq: Same, rq_queue: bool) -> None:
    call = Call('clean_registries', TheQueue(rq=rq_queue), exception_handlers=[functions.handle])
    outcome = same_as_rq('clean_registries', call, world=FULL)
    assert b'rq:finished:q' not in outcome.database
    assert outcome.database[b'rq:job:a'].content[b'status'] == b'failed'
    texts = [text for _, _, text in outcome.logs]
    assert any(text.startswith('handler: a') for text in texts)
    assert any(text.startswith('failure callback of a') for text in texts)


# Jobs whose entries clean_registries() drops without RQ.
DROPPED = (AJob('b', 'failed', score='expired'), AJob('c', 'finished', score='expired'), AJob('e', 'failed'))


def test_clean_registries_drops_expired_entries(same_as_rq: Same) -> None:
    world = World(jobs=[*DROPPED, AJob('a', 'started'), AJob('d', 'deferred', score='future')])
    outcome = same_as_rq('clean_registries', Call('clean_registries', TheQueue()), world=world)
    assert b'rq:finished:q' not in outcome.database
    assert [member for member, _ in outcome.database[b'rq:failed:q'].content] == [b'e']


@pytest.mark.parametrize(
    ('special', 'error'),
    [
        ({'jobs': [AJob('a', 'started', ['retries'], score='expired')]}, None),
        ({'jobs': [AJob('a', 'ready_to_enqueue')]}, None),
        ({'jobs': [AJob('a', 'rate_limited', ['rate_limit', 'waiting'])]}, None),
        ({'spoiled': {'FinishedJobRegistry': 'string'}}, ResponseError),
        ({'spoiled': {'StartedJobRegistry': 'string'}}, ResponseError),
        ({'spoiled': {'FailedJobRegistry': 'string'}}, ResponseError),
        ({'spoiled': {'DeferredJobRegistry': 'string'}}, ResponseError if release.fails_expired_deferred else None),
    ],
)
def test_clean_registries_leaves_jobs_to_rq(same_as_rq: Same, special: Any, error: Any) -> None:
    """The registries before it in RQ's order are cleaned up; after an error, the others are not."""
    if not hasattr(rq.registry, 'ReadyJobRegistry') and special.get('jobs', [AJob()])[0].status not in STATUSES:
        pytest.skip('this RQ knows no such job')
    world = World(**{**special, 'jobs': [*DROPPED, *special.get('jobs', [])]})
    outcome = same_as_rq('clean_registries', Call('clean_registries', TheQueue()), world=world)
    assert (None if outcome.error is None else type(outcome.error)) is error


def test_clean_registries_raises_error_of_handler(same_as_rq: Same) -> None:
    call = Call('clean_registries', TheQueue(), [functions.raise_in_handler])
    assert isinstance(same_as_rq('clean_registries', call, world=FULL).error, LookupError)


@pytest.mark.parametrize('queue', [None, 'q', 5])
def test_clean_registries_raises_for_object_that_is_no_queue(same_as_rq: Same, queue: Any) -> None:
    assert isinstance(same_as_rq('clean_registries', Call('clean_registries', queue)).error, AttributeError)


def test_clean_registries_raises_without_argument(same_as_rq: Same) -> None:
    assert isinstance(same_as_rq('clean_registries', Call('clean_registries')).error, TypeError)


def test_clean_registries_raises_for_malformed_started_entry(same_as_rq: Same) -> None:
    world = World(jobs=FULL.jobs, entries=[Entry('StartedJobRegistry', 'a:b:c', 'expired')])
    outcome = same_as_rq('clean_registries', Call('clean_registries', TheQueue()), world=world)
    assert isinstance(outcome.error, ValueError)
