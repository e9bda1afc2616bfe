"""Every public call on every kind of registry, and its ways to fail, as calls that can be repeated.

Each is made with failing allocations, under a counting interpreter, and under valgrind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec, module_from_spec
from typing import Any

import redis
from rq import Queue
from rq.exceptions import InvalidJobOperation, NoSuchJobError

from rqreg_ext import _core
from rqreg_ext.registry import BaseRegistry, FailedJobRegistry, ScheduledJobRegistry, clean_registries

from .world import LONG_PAST, MANY, NAME, NEVER, SICK, World

IDS = ['failed-0', 'failed-1', 'failed-2', 'failed-3']
LONG_IDS = [f'job-{number:032d}' for number in range(MANY)]
_WRONG = [(_core.INTEGER, 'ZCARD', 'rq:job:failed-0'), (_core.INTEGER, 'ZCARD', f'rq:finished:{NAME}')]
_READS = [
    (_core.INTEGER, 'ZCARD', f'rq:finished:{NAME}'),
    (_core.ENTRIES, 'ZRANGE', f'rq:deferred:{NAME}', 0, -1, 'WITHSCORES'),
    (_core.VALUE, 'HMGET', 'rq:job:failed-0', 'status', 'nothing'),
    (_core.SCORE, 'ZSCORE', f'rq:finished:{NAME}', 'nobody'),
    (_core.TEXTS, 'ZRANGE', f'rq:deferred:{NAME}', 0, -1),
]


@dataclass(frozen=True)
class Scenario:
    """A call, and what it gives: a value, or an exception of the class `error`."""

    call: Callable[[World], Any]
    value: Any = None
    error: type[BaseException] | None = None
    # Done before each call, with memory enough.
    before: Callable[[World], object] | None = None
    # Done after each call, whatever it gave.
    after: Callable[[World], object] | None = None
    # The call changes data: it is put back before each.
    changes: bool = False
    # A change is made at once or not at all: by one command or script of ours. Not so where RQ's path does it.
    is_atomic: bool = True

    @property
    def outcome(self) -> tuple[str, Any]:
        """What run_scenario gives where nothing goes wrong."""
        return ('' if self.error is None else self.error.__name__, self.value)


def _flush_scripts(world: World) -> None:
    world.admin.script_flush()


def _touch(world: World) -> None:
    FailedJobRegistry.touched = True  # type: ignore[attr-defined]
    BaseRegistry.touched = True  # type: ignore[attr-defined]


def _fail(reply: Any) -> None:
    raise ValueError(reply)


def _import_core() -> str:
    """Make the module of the core once more, in addition to the one in use."""
    spec = find_spec('rqreg_ext._core')
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.__name__


def run_scenario(
    world: World, scenario: Scenario, make: Callable[[Callable[[], Any]], Any] = lambda call: call()
) -> tuple[str, Any]:
    """Prepare the data, make the call through `make`, and return (name of the exception's class or '', value)."""
    if scenario.changes:
        world.put_back()
    if scenario.before is not None:
        scenario.before(world)
    try:
        return '', make(lambda: scenario.call(world))
    except BaseException as error:
        return type(error).__name__, None
    finally:
        if scenario.after is not None:
            scenario.after(world)


SCENARIOS: dict[str, Scenario] = {
    # What decides for the others.
    'guard': Scenario(lambda w: _core.Guard(lambda: (True, (), (FailedJobRegistry,), ())).holds(), True),
    'guard that fails': Scenario(lambda w: _core.Guard(lambda: (True, (), (1,), ())).holds(), error=TypeError),
    'methods_of': Scenario(lambda w: _core.methods_of(FailedJobRegistry)[3], 1),
    'cleanup_command': Scenario(
        lambda w: _core.cleanup_command(3, 'key', NEVER), ('ZRANGEBYSCORE', 'key', 0, NEVER, 'LIMIT', 0, 1)
    ),
    'cleanup_command, none': Scenario(lambda w: _core.cleanup_command(1, 'key', NEVER), error=ValueError),
    'methods_of, after a change': Scenario(lambda w: _core.methods_of(FailedJobRegistry)[3], 1, before=_touch),
    'count, after a change': Scenario(lambda w: w.finished.count, 2, before=_touch),
    'decode_base64': Scenario(lambda w: _core.decode_base64(b'cmVnaXN0cnk='), b'registry'),
    'decode_base64, none': Scenario(lambda w: _core.decode_base64(b'----')),
    'json_string': Scenario(lambda w: _core.json_string('\n\u00e9\U0001f600'.encode()), r'"\n\u00e9\ud83d\ude00"'),
    'json_string, base64': Scenario(lambda w: _core.json_string(b'\xff'), '{"base64": "/w=="}'),
    'json_string, of a number': Scenario(lambda w: _core.json_string(1), error=TypeError),  # type: ignore[arg-type]
    'json_fields': Scenario(
        lambda w: _core.json_fields([b'a', b'1', 'b', b'\xff']), '{"a": "1", "b": {"base64": "/w=="}}'
    ),
    'json_fields, pairs': Scenario(lambda w: _core.json_fields({b'\xff': b'1'}), '[[{"base64": "/w=="}, "1"]]'),
    'json_fields, of a number': Scenario(lambda w: _core.json_fields([b'a', 1]), error=TypeError),  # type: ignore[list-item]
    'fields_from_json': Scenario(lambda w: _core.fields_from_json({'a': {'base64': '/w=='}}), ['a', b'\xff']),
    'fields_from_json, pairs': Scenario(lambda w: _core.fields_from_json([[{'base64': '/w=='}, 'b']]), [b'\xff', 'b']),
    'fields_from_json, no base64': Scenario(lambda w: _core.fields_from_json({'a': {'base64': '?'}}), error=ValueError),
    'fields_from_json, no pair': Scenario(lambda w: _core.fields_from_json([['a']]), error=ValueError),
    'exception_in': Scenario(
        lambda w: _core.exception_in(b'Traceback (most recent call last):\n  File\na.Error: b\n'), ('a.Error', 'b')
    ),
    'exception_in, none': Scenario(lambda w: _core.exception_in(b'Job stopped by user')),
    'exception_in that is not UTF-8': Scenario(
        lambda w: _core.exception_in(b'Traceback (most recent call last):\n  File\nError: b\xffc\n'),
        error=UnicodeDecodeError,
    ),
    # What only reads.
    'get_job_ids': Scenario(lambda w: w.failed.get_job_ids(cleanup=False), ['expired', *IDS]),
    'get_job_ids in part': Scenario(
        lambda w: w.failed.get_job_ids(-2, -1, desc=True, cleanup=False), ['failed-0', 'expired']
    ),
    'get_job_ids of many': Scenario(lambda w: w.long.get_job_ids(), LONG_IDS),
    'get_job_count': Scenario(lambda w: w.failed.get_job_count(cleanup=False), 5),
    'id in': Scenario(lambda w: 'failed-1' in w.failed, True),
    'id not in': Scenario(lambda w: 'nobody' in w.failed, False),
    'job in': Scenario(lambda w: w.job in w.failed, True),
    'get_expired_job_ids': Scenario(lambda w: w.failed.get_expired_job_ids(), ['expired']),
    'get_expired_job_ids at': Scenario(lambda w: w.failed.get_expired_job_ids(NEVER + 1), ['expired', *IDS[:2]]),
    'get_expiration_time': Scenario(lambda w: w.failed.get_expiration_time(w.job).timestamp(), NEVER + 1),
    'finished count': Scenario(lambda w: w.finished.count, 2),
    'finished len': Scenario(lambda w: len(w.finished), 2),
    'finished get_job_ids': Scenario(lambda w: w.finished.get_job_ids(), ['done-1', 'done-2']),
    'finished cleanup': Scenario(lambda w: w.finished.cleanup(LONG_PAST), None),
    'deferred get_job_ids': Scenario(lambda w: w.deferred.get_job_ids(), ['waiting']),
    'deferred count': Scenario(lambda w: w.deferred.count, 1),
    'canceled get_job_ids': Scenario(lambda w: w.canceled.get_job_ids(), ['canceled']),
    'canceled get_expired_job_ids': Scenario(lambda w: w.canceled.get_expired_job_ids(), error=NotImplementedError),
    'scheduled get_job_ids': Scenario(lambda w: w.scheduled.get_job_ids(), ['due', 'later']),
    'get_jobs_to_schedule': Scenario(lambda w: w.scheduled.get_jobs_to_schedule(), ['due']),
    'get_jobs_to_schedule, one': Scenario(lambda w: w.scheduled.get_jobs_to_schedule(NEVER, chunk_size=1), ['due']),
    'get_jobs_to_enqueue': Scenario(lambda w: w.scheduled.get_jobs_to_enqueue(), ['due']),
    'get_scheduled_time': Scenario(lambda w: w.scheduled.get_scheduled_time('later').timestamp(), NEVER),
    'started count': Scenario(lambda w: w.started.count, 2),
    'started get_job_ids': Scenario(lambda w: w.started.get_job_ids(), ['running', 'lone']),
    'started get_job_ids of many': Scenario(lambda w: w.long_started.get_job_ids(), LONG_IDS),
    'started get_job_ids, odd ones': Scenario(lambda w: w.odd.get_job_ids(), ['é', 'plain']),
    'get_job_and_execution_ids': Scenario(
        lambda w: w.odd.get_job_and_execution_ids(), [('é', 'one'), ('plain', 'two')]
    ),
    'id in started': Scenario(lambda w: 'running' in w.started, True),
    'id in started, not running': Scenario(lambda w: 'lone' in w.started, True),
    'id not in started': Scenario(lambda w: 'nobody' in w.started, False),
    'id in started, odd one': Scenario(lambda w: 'é' in w.odd, True),
    'id not in started of many': Scenario(lambda w: 'nobody' in w.long_started, False),
    'executions count': Scenario(lambda w: w.executions.count, 1),
    'get_execution_ids': Scenario(lambda w: w.executions.get_execution_ids(), ['one']),
    # What makes registries.
    'a registry': Scenario(lambda w: FailedJobRegistry(NAME, connection=w.client).key, f'rq:failed:{NAME}'),
    'a registry of a queue': Scenario(lambda w: FailedJobRegistry(queue=w.queue).key, f'rq:failed:{NAME}'),
    'a scheduled registry': Scenario(
        lambda w: ScheduledJobRegistry(NAME, connection=w.client).key, f'rq:scheduled:{NAME}'
    ),
    'properties of a queue': Scenario(
        lambda w: [w.queue.failed_job_registry.key, w.queue.started_job_registry.name], [f'rq:failed:{NAME}', NAME]
    ),
    'a registry that cannot be': Scenario(lambda w: FailedJobRegistry(nonsense=1), error=TypeError),
    # What changes data.
    'count with expired ones': Scenario(lambda w: w.failed.count, 4, changes=True),
    'get_job_ids with expired ones': Scenario(lambda w: w.failed.get_job_ids(), IDS, changes=True),
    'cleanup': Scenario(lambda w: w.failed.cleanup(), None, changes=True),
    'remove': Scenario(lambda w: w.failed.remove('failed-0'), 1, changes=True),
    'remove a job': Scenario(lambda w: w.failed.remove(w.job), 1, changes=True),
    'remove nobody': Scenario(lambda w: w.failed.remove('nobody'), 0),
    'remove and delete': Scenario(lambda w: w.failed.remove('failed-0', delete_job=True), 1, changes=True),
    'remove and delete a job': Scenario(lambda w: w.failed.remove(w.job, delete_job=True), 1, changes=True),
    'requeue': Scenario(lambda w: w.failed.requeue('failed-0').id, 'failed-0', changes=True),
    'requeue at front': Scenario(lambda w: w.failed.requeue('failed-0', at_front=True).id, 'failed-0', changes=True),
    'requeue with metadata': Scenario(lambda w: w.failed.requeue('failed-3').id, 'failed-3', changes=True),
    'clean_registries': Scenario(lambda w: clean_registries(w.queue), None, changes=True),
    # RQ's own paths, behind ours.
    'requeue by RQ': Scenario(lambda w: w.failed.requeue('failed-2').id, 'failed-2', changes=True, is_atomic=False),
    'count of abandoned ones': Scenario(lambda w: w.abandoned.count, 0, changes=True, is_atomic=False),
    'clean_registries by RQ': Scenario(
        lambda w: clean_registries(Queue(SICK, connection=w.client)), None, changes=True, is_atomic=False
    ),
    # Scripts that the server does not have yet.
    'id in started, first': Scenario(lambda w: 'running' in w.started, True, before=_flush_scripts),
    'remove and delete, first': Scenario(
        lambda w: w.failed.remove('failed-0', delete_job=True), 1, before=_flush_scripts, changes=True
    ),
    'requeue, first': Scenario(
        lambda w: w.failed.requeue('failed-0').id, 'failed-0', before=_flush_scripts, changes=True
    ),
    # Errors.
    'wrong type': Scenario(lambda w: w.wrong.get_job_ids(cleanup=False), error=redis.ResponseError),
    'wrong type, in two': Scenario(lambda w: w.wrong.count, error=redis.ResponseError),
    'undecodable': Scenario(lambda w: w.sick.get_job_ids(cleanup=False), error=UnicodeDecodeError),
    'too many colons': Scenario(lambda w: w.colons.get_job_ids(), error=ValueError),
    'too many colons, id in': Scenario(lambda w: 'a' in w.colons, error=ValueError),
    'delete nobody': Scenario(lambda w: w.failed.remove('nobody', delete_job=True), error=NoSuchJobError),
    'requeue nobody': Scenario(lambda w: w.failed.requeue('nobody'), error=NoSuchJobError),
    'requeue what is elsewhere': Scenario(lambda w: w.finished.requeue('failed-0'), error=InvalidJobOperation),
    'get_scheduled_time of nobody': Scenario(lambda w: w.scheduled.get_scheduled_time('nobody'), error=NoSuchJobError),
    'get_expiration_time of nobody': Scenario(lambda w: w.finished.get_expiration_time(w.job), error=TypeError),
    'wrong arguments': Scenario(lambda w: w.failed.get_job_ids(nonsense=1), error=TypeError),
    'wrong rank': Scenario(lambda w: w.failed.get_job_ids('one'), error=redis.ResponseError),
    # Commands of any kind.
    'exchange': Scenario(
        lambda w: _core.exchange(w.client, _READS),
        [2, [('waiting', float(NEVER))], [b'failed', None], None, ['waiting']],
    ),
    'exchange, an error': Scenario(
        lambda w: [type(reply).__name__ for reply in _core.exchange(w.client, _WRONG) or ()], ['ResponseError', 'int']
    ),
    'exchange, no entries': Scenario(
        lambda w: _core.exchange(w.client, [(_core.ENTRIES, 'PING')]), error=redis.InvalidResponse
    ),
    'exchange, callables': Scenario(
        lambda w: _core.exchange(w.client, [(repr, *words) for _, *words in _READS]),
        ['2', f"[b'waiting', b'{NEVER}']", "[b'failed', None]", 'None', "[b'waiting']"],
    ),
    'exchange, a callable that fails': Scenario(
        lambda w: _core.exchange(w.client, [(_fail, 'PING'), *_READS]), error=ValueError
    ),
    'exchange, no command': Scenario(
        lambda w: _core.exchange(w.client, [(_core.INTEGER, 'PING', None)]), error=TypeError
    ),
    'exchange, a client of another kind': Scenario(lambda w: _core.exchange(w, _READS), None),
    # Through a known tracer's wrapper.
    'wrapped count': Scenario(lambda w: w.wrapped_finished.count, 2),
    'wrapped get_job_ids': Scenario(lambda w: w.wrapped.get_job_ids(cleanup=False), ['expired', *IDS]),
    'wrapped started get_job_ids': Scenario(lambda w: w.wrapped_started.get_job_ids(cleanup=False), ['é', 'plain']),
    'wrapped in': Scenario(lambda w: 'failed-1' in w.wrapped, True),
    'wrapped remove': Scenario(lambda w: w.wrapped.remove('failed-1'), 1, changes=True),
    'wrapped remove and delete': Scenario(lambda w: w.wrapped.remove('failed-0', delete_job=True), 1, changes=True),
    'wrapped requeue': Scenario(lambda w: w.wrapped.requeue('failed-1').id, 'failed-1', changes=True),
    # Through an unknown wrapper.
    'by unknown, count': Scenario(lambda w: w.by_unknown_finished.count, 2),
    'by unknown, get_job_ids': Scenario(lambda w: w.by_unknown.get_job_ids(cleanup=False), ['expired', *IDS]),
    'by unknown, started': Scenario(lambda w: 'plain' in w.by_unknown_started, True),
    'by unknown, in': Scenario(lambda w: 'failed-1' in w.by_unknown, True),
    'by unknown, remove': Scenario(lambda w: w.by_unknown.remove('failed-1'), 1, changes=True),
    'by unknown, delete': Scenario(lambda w: w.by_unknown.remove('failed-0', delete_job=True), 1, changes=True),
    'by unknown, requeue': Scenario(lambda w: w.by_unknown.requeue('failed-1').id, 'failed-1', changes=True),
    # Connections.
    'first call': Scenario(lambda w: w.finished.count, 2, before=World.use_new_client),
    'connection lost before': Scenario(lambda w: w.finished.count, 2, before=World.kill_connections),
    'connection lost in the reply': Scenario(
        lambda w: w.long.get_job_ids(), error=redis.ConnectionError, before=World.limit_replies, after=World.lift_limit
    ),
    'connection refused': Scenario(lambda w: w.nowhere.get_job_ids(), error=redis.ConnectionError),
    'timeout': Scenario(
        lambda w: w.hasty.cleanup(), error=redis.TimeoutError, before=World.pause_writes, after=World.go_on
    ),
    # The module itself: another instance of it.
    'import': Scenario(lambda w: _import_core(), 'rqreg_ext._core'),
}
"""By name."""

IN_SHORT = [
    'exchange',
    'get_job_ids',
    'id in started',
    'count with expired ones',
    'remove and delete, first',
    'a registry of a queue',
    'wrong type, in two',
    'wrapped count',
    'wrapped requeue',
    'by unknown, count',
    'by unknown, delete',
]
"""One of each kind, which run with the other tests."""
