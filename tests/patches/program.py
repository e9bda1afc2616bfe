"""A program that patches RQ: before rqreg_ext is imported, before the first call, or after it.

Its argument is a JSON object: `mode` ('plain', 'import line' or 'install'), `moment` ('before import', 'before first
call' or 'after first call'), `cases`, and the server's `socket`. It prints what each call did under each patch,
and what was left to RQ when all patches were gone.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any
from unittest import mock

import redis

NAME = 'default'
WANTED = json.loads(sys.argv[1])
MODE = WANTED['mode']
client = redis.Redis(unix_socket_path=WANTED['socket'])
IDS = ['j0', 'j1', 'j2']


# ---- What is in Redis


def populate() -> None:
    """Make three failed jobs, an expired entry, and a started job."""
    client.flushall()
    client.sadd('rq:queues', f'rq:queue:{NAME}')
    for job_id in IDS:
        fields = {
            'created_at': '2026-01-01T00:00:00.000000Z',
            'data': zlib.compress(b'\x80\x04N.'),
            'origin': NAME,
            'status': 'failed',
            'timeout': 180,
            'traceparent': 'old',
        }
        client.hset(f'rq:job:{job_id}', mapping=fields)
        client.zadd(f'rq:failed:{NAME}', {job_id: time.time() + 1e6})
    client.zadd(f'rq:failed:{NAME}', {'gone': 5})
    client.zadd(f'rq:wip:{NAME}', {'running:e1': time.time() + 1e6})


def dump() -> dict[str, Any]:
    """Return all keys, without the times in them."""
    found: dict[str, Any] = {}
    for key in sorted(client.keys()):
        kind = client.type(key)
        if kind == b'hash':
            fields = client.hgetall(key)
            value: Any = {name.decode(): repr(fields[name]) for name in sorted(fields) if not name.endswith(b'_at')}
        elif kind == b'zset':
            value = sorted(map(repr, client.zrange(key, 0, -1)))
        elif kind == b'list':
            value = list(map(repr, client.lrange(key, 0, -1)))
        else:
            value = sorted(map(repr, client.smembers(key)))
        found[key.decode()] = value
    return found


# ---- Patches


class Patch:
    """A patch of a case, with a count of its calls."""

    def __init__(self, dotted: str, kind: str, value: Any) -> None:
        module, *path, self._name = dotted.split(':')[0], *dotted.split(':')[1].split('.')
        self._owner = importlib.import_module(module)
        for name in path:
            self._owner = getattr(self._owner, name)
        self._kind = kind
        self._value = value
        self._code: Any = None
        self.calls = 0

    def start(self) -> None:
        """Make the patch."""
        if self._kind == 'code':
            self._start_code()
            return
        make = {'mock': self._mock, 'property': self._property, 'wrap': self._wrapped, 'tracer': self._tracer}
        self._patch = mock.patch.object(self._owner, self._name, make[self._kind]())
        self._patch.start()

    def stop(self) -> None:
        """Remove the patch."""
        if self._code is not None:
            self._function.__code__ = self._code
        else:
            self._patch.stop()

    def _count(self) -> None:
        self.calls += 1

    def _mock(self) -> Any:
        def mocked(*args: Any, **kwargs: Any) -> Any:
            self._count()
            return self._value

        return mocked

    def _property(self) -> Any:
        return property(self._mock())

    def _wrapped(self) -> Any:
        standing = self._raw()
        original = getattr(standing, '__func__', standing)

        @wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            self._count()
            return original(*args, **kwargs)

        return type(standing)(wrapper) if isinstance(standing, staticmethod | classmethod) else wrapper

    def _tracer(self) -> Any:
        # As an instrumentation does around Queue._enqueue_job(): what it writes into the job is saved with it.
        original = self._raw()

        @wraps(original)
        def traced(queue: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
            self._count()
            job.meta['traceparent'] = 'new'
            return original(queue, job, *args, **kwargs)

        return traced

    def _raw(self) -> Any:
        if not isinstance(self._owner, type):
            return getattr(self._owner, self._name)
        return next(vars(base)[self._name] for base in self._owner.__mro__ if self._name in vars(base))

    def _start_code(self) -> None:
        # Some tools replace the code, and leave the function.
        rq_class = getattr(self._owner, '_rq_class', self._owner)
        self._function = vars(rq_class)[self._name]
        self._code = self._function.__code__
        self._function.__globals__['_rqreg_ext_test_count'] = self._count
        self._function.__code__ = _counting.__code__


def _counting(self: Any, job: Any, pipeline: Any = None, delete_job: Any = False) -> Any:
    _rqreg_ext_test_count()  # type: ignore[name-defined] # noqa: F821


# ---- Calls


def loop(call: Callable[[Any, str], Any]) -> None:
    """Make the bulk call with RQ only: a loop over the jobs, as its users write it."""
    registry = failed()
    for job_id in registry.get_job_ids():
        # An entry whose job is gone, above all.
        with contextlib.suppress(Exception):
            call(registry, job_id)


def registries() -> Any:
    """Return the module of the registries that this program uses."""
    return importlib.import_module('rqreg_ext.registry' if MODE == 'import line' else 'rq.registry')


def failed() -> Any:
    return registries().FailedJobRegistry(NAME, connection=client)


def started() -> Any:
    return registries().StartedJobRegistry(NAME, connection=client)


def queue() -> Any:
    return importlib.import_module('rqreg_ext' if MODE == 'import line' else 'rq').Queue(NAME, connection=client)


def in_batch() -> Any:
    import rqreg_ext

    with rqreg_ext.batch(client) as batch:
        registry = failed()
        calls = [batch.count(registry), batch.contains(registry, 'j1'), batch.get_job_ids(registry)]
    return [call.result() for call in calls]


def remove_in_batch() -> Any:
    import rqreg_ext

    with rqreg_ext.batch(client) as batch:
        removed = batch.remove(failed(), 'j2')
    return removed.result()


def one_by_one() -> Any:
    registry = failed()
    return [registry.get_job_count(), 'j1' in registry, registry.get_job_ids()]


def everywhere() -> None:
    import rqreg_ext

    rqreg_ext.purge(client)


def cancel(registry: Any, job_id: str) -> Any:
    from rq.job import Job

    return Job.fetch(job_id, connection=client).cancel()


SINGLE: dict[str, Callable[[], Any]] = {
    'count': lambda: failed().count,
    'len': lambda: len(failed()),
    'get_job_count': lambda: failed().get_job_count(),
    'get_job_ids': lambda: failed().get_job_ids(),
    'get_expired_job_ids': lambda: failed().get_expired_job_ids(),
    'get_expiration_time': lambda: failed().get_expiration_time(mock.Mock(id='gone')).timestamp(),
    'in': lambda: 'j1' in failed(),
    'remove': lambda: failed().remove('j1'),
    'remove and delete': lambda: failed().remove('j1', delete_job=True),
    'requeue': lambda: getattr(failed().requeue('j1'), 'id', None),
    'cleanup': lambda: failed().cleanup(),
    'started count': lambda: started().count,
    'started in': lambda: 'running' in started(),
    'started ids': lambda: started().get_job_ids(),
    'executions': lambda: started().get_job_and_execution_ids(),
    'canceled count': lambda: registries().CanceledJobRegistry(NAME, connection=client).count,
    'of the queue': lambda: queue().failed_job_registry.count,
    'clean_registries': lambda: registries().clean_registries(queue()),
}
# By RQ's loop, and by ours.
MANY: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    'purge': (lambda: loop(lambda found, i: found.remove(i, delete_job=True)), lambda: failed().purge()),
    'requeue_all': (lambda: loop(lambda found, i: found.requeue(i)), lambda: failed().requeue_all()),
    'remove_many': (lambda: [failed().remove(i) for i in IDS], lambda: failed().remove_many(IDS)),
    'cancel_many': (lambda: [cancel(None, i) for i in IDS], lambda: failed().cancel_many(IDS)),
    'purge of all queues': (lambda: loop(lambda found, i: found.remove(i, delete_job=True)), everywhere),
}
ANSWERS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    'batch': (one_by_one, in_batch),
    'remove in batch': (lambda: failed().remove('j2'), remove_in_batch),
    'contains_many': (lambda: [i in failed() for i in IDS], lambda: failed().contains_many(IDS)),
}


def calls() -> Iterator[tuple[str, Callable[[], Any], bool]]:
    """Yield the calls: name, function, and whether its value is RQ's."""
    for name, call in SINGLE.items():
        yield name, call, True
    for name, (by_rq, ours) in ANSWERS.items():
        yield name, by_rq if MODE == 'plain' else ours, True
    for name, (by_rq, ours) in MANY.items():
        yield name, by_rq if MODE == 'plain' else ours, False


def make(call: Callable[[], Any], has_value: bool) -> Any:
    try:
        value = call()
    except Exception as error:
        return type(error).__name__
    return repr(value) if has_value else None


def under(patch: Patch) -> dict[str, Any]:
    """Return what each call does while the patch is in place."""
    results = {}
    for name, call, has_value in calls():
        populate()
        patch.calls = 0
        value = make(call, has_value)
        results[name] = {'calls': patch.calls, 'value': value, 'keys': dump()}
    return results


def frames_of_rq(call: Callable[[], Any]) -> list[str]:
    """Return the functions of rq and redis that run in a call."""
    seen = []

    def note(frame: Any, event: str, _: Any) -> None:
        package = frame.f_globals.get('__name__', '').partition('.')[0]
        if event == 'call' and package in ('rq', 'redis'):
            seen.append(f'{frame.f_globals["__name__"]}.{frame.f_code.co_name}')

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return seen


def without_patch() -> dict[str, Any]:
    """Return the functions of RQ that run without a patch."""
    left: dict[str, Any] = {}
    registry = failed()
    for name, call in {
        'count': lambda: registry.count,
        'len': lambda: len(registry),
        'get_job_ids': lambda: registry.get_job_ids(),
        'in': lambda: 'j1' in registry,
        'remove': lambda: registry.remove('j0'),
        'remove and delete': lambda: registry.remove('j1', delete_job=True),
        'cleanup': lambda: registry.cleanup(),
    }.items():
        populate()
        call()
        populate()
        left[name] = frames_of_rq(call)
    populate()
    client.config_resetstat()
    registry.requeue('j1')
    left['requeue'] = [] if 'cmdstat_evalsha' in client.info('commandstats') else ['requeue']
    for name, many in {
        'purge': lambda: registry.purge(),
        'requeue_all': lambda: registry.requeue_all(),
        'cancel_many': lambda: registry.cancel_many(IDS),
    }.items():
        populate()
        result = many()
        left[name] = [] if (result.done, result.by_rq) == (3, 0) else [str(result)]
    return left


def import_ours() -> None:
    if MODE == 'import line':
        importlib.import_module('rqreg_ext.registry')
    elif MODE == 'install':
        importlib.import_module('rqreg_ext').install()


def main() -> None:
    before = WANTED['cases'] if WANTED['moment'] == 'before import' else {}
    patches = {case: Patch(*given) for case, given in before.items()}
    results: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        for patch in patches.values():
            patch.start()
            stack.callback(patch.stop)
        import_ours()
        for case, patch in patches.items():
            results[case] = under(patch)
    if WANTED['moment'] == 'after first call':
        for _, call, _ in calls():
            populate()
            call()
    for case, given in WANTED['cases'].items():
        if case not in patches:
            patch = Patch(*given)
            patch.start()
            results[case] = under(patch)
            patch.stop()
    print(json.dumps({'under': results, 'left': without_patch() if MODE != 'plain' else {}}))


main()
