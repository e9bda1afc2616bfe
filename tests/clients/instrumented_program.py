"""python instrumented_program.py TOOL SOCKET [wrapped]: calls by clients instrumented by a tool; prints the results.

wrapped: another wrapper is around the tool's.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import redis
import rq
from redis.client import Pipeline

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'tools'))

import tracers

# A command by its name, or a pipeline by the names in it.
Spans = Callable[[], list[list[str]]]
QUEUE, JOBS = 'q', 40
# All that each span tells, but times and ids.
DETAILS: list[Any] = []


def opentelemetry() -> tuple[Any, Spans]:
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    context = tracers.opentelemetry(SimpleSpanProcessor(exporter))

    def spans() -> list[list[str]]:
        for span in exporter.get_finished_spans():
            DETAILS.append((span.name, dict(span.attributes or {}), span.status.status_code.name))
        statements = [str((span.attributes or {}).get('db.statement', '')) for span in exporter.get_finished_spans()]
        exporter.clear()
        return [[line.split()[0] for line in statement.splitlines()] for statement in statements]

    return context, spans


def sentry() -> tuple[Any, Spans]:
    seen: list[list[str]] = []

    def keep(event: Any, hint: Any) -> None:
        for span in event['spans']:
            DETAILS.append((span['op'], span['description'], span['data'], span.get('status')))
            commands = span['data'].get('redis.commands', {}).get('first_ten')
            seen.append([line.split()[0] for line in commands or [span['description']]])

    context = tracers.sentry(keep)

    def spans() -> list[list[str]]:
        found = list(seen)
        seen.clear()
        return found

    return context, spans


def elastic() -> tuple[Any, Spans]:
    client, transaction = tracers.elastic(transaction_max_spans=10_000)
    seen: list[list[str]] = []
    queue = client.tracer.queue_func

    def keep(kind: str, data: Any, **options: Any) -> None:
        if kind == 'span' and data['subtype'] == 'redis':
            seen.append([data['name']])
            DETAILS.append((data['name'], data['context'], data['outcome']))
        queue(kind, data, **options)

    client.tracer.queue_func = keep

    def spans() -> list[list[str]]:
        found = list(seen)
        seen.clear()
        return found

    return transaction, spans


def ddtrace() -> tuple[Any, Spans]:
    seen: list[list[str]] = []

    def keep(trace: Any) -> None:
        for span in trace:
            seen.append(span.resource.splitlines())
            told = ('db.system', 'network.destination.port', 'out.host', 'redis.raw_command', 'error.message')
            tags = [span.get_tag(tag) or span.get_metric(tag) for tag in told]
            DETAILS.append((span.name, span.resource, span.service, tags, span.error))

    context = tracers.ddtrace(keep)

    def spans() -> list[list[str]]:
        found = list(seen)
        seen.clear()
        return found

    return context, spans


def wrapt() -> tuple[Any, Spans]:
    """A custom wrapper, as tracing tools make them."""
    import wrapt

    seen: list[list[str]] = []

    def single(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        seen.append([args[0]])
        DETAILS.append((args, instance.connection_pool.connection_kwargs['path']))
        return wrapped(*args, **kwargs)

    def pipeline(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        seen.append([command[0][0] for command in instance.command_stack])
        return wrapped(*args, **kwargs)

    wrapt.wrap_function_wrapper('redis.client', 'Redis.execute_command', single)
    wrapt.wrap_function_wrapper('redis.client', 'Pipeline.execute', pipeline)
    wrapt.wrap_function_wrapper('redis.client', 'Pipeline.immediate_execute_command', single)

    def spans() -> list[list[str]]:
        found = list(seen)
        seen.clear()
        return found

    return contextlib.nullcontext, spans


def wrap() -> None:
    """Put a wrapper around redis-py's methods that passes on what it is given."""
    original: Any = redis.Redis.execute_command

    @wraps(original)
    def execute_command(self: Any, *args: Any, **options: Any) -> Any:
        return original(self, *args, **options)

    redis.Redis.execute_command = execute_command  # type: ignore[method-assign]


TOOLS = {each.__name__: each for each in (opentelemetry, sentry, elastic, ddtrace, wrapt)}


class PrefixingPipeline(Pipeline):
    def execute_command(self, *args: Any, **options: Any) -> Any:
        words = args if args[0] in ('MULTI', 'EXEC', 'UNWATCH') else (args[0], f'app:{args[1]}', *args[2:])
        return super().execute_command(*words, **options)


class Prefixing(redis.Redis):
    def execute_command(self, *args: Any, **options: Any) -> Any:
        words = args if args[0] == 'INFO' else (args[0], f'app:{args[1]}', *args[2:])
        return super().execute_command(*words, **options)

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        return PrefixingPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


def fill(client: Any) -> None:
    queue = rq.Queue(QUEUE, connection=client)
    for number in range(JOBS):
        job = queue.enqueue('os.getpid', job_id=f'job-{number}')
        queue.remove(job)
        client.hset(job.key, 'status', 'failed')
        client.zadd('rq:failed:q', {job.id: 4_000_000_000 + number})


def processed(client: Any) -> Counter[str]:
    """Return how often the server has run each command, those of connecting aside."""
    stats = client.info('commandstats')
    aside = {'info', 'client|setinfo', 'client|info', 'client', 'hello', 'select', 'ping', 'client|maint_notifications'}
    counts = {name.removeprefix('cmdstat_'): figures['calls'] for name, figures in stats.items()}
    return Counter({name: count for name, count in counts.items() if name not in aside})


def single_calls(library: Any, client: Any) -> list[Any]:
    """Make calls for which RQ and rqreg_ext send the same commands."""
    registry = library.FailedJobRegistry(QUEUE, connection=client)
    started = library.StartedJobRegistry(QUEUE, connection=client)
    return [
        registry.count,
        len(registry),
        registry.get_job_ids(),
        registry.get_job_ids(0, 1, desc=True),
        'job-1' in registry,
        'nobody' in registry,
        registry.remove('nobody'),
        started.get_job_ids(cleanup=False),
    ]


def refused_calls(library: Any, client: Any) -> list[str]:
    """Make calls that the server answers by an error."""
    registry = library.FailedJobRegistry('refused', connection=client)
    errors = []
    for call in (lambda: registry.get_job_ids(cleanup=False), lambda: 'a' in registry, lambda: registry.remove('a')):
        try:
            call()
        except redis.ResponseError as error:
            errors.append(str(error))
    return errors


def compare_with_rq(client: Any, transaction: Any, spans: Spans) -> dict[str, Any]:
    """Return answers and spans of RQ's calls and of ours, twice; and what is sent and seen of ours that use scripts."""
    from rqreg_ext import registry as ours

    client.set('rq:failed:refused', 'text')
    found = []
    for library in (rq.registry, ours, ours):
        spans()
        DETAILS.clear()
        with transaction():
            answers = single_calls(library, client), refused_calls(library, client)
        spans()
        found.append([answers, list(DETAILS)])
    client.delete('rq:failed:refused')
    fill(client)
    registry = ours.FailedJobRegistry(QUEUE, connection=client)
    # The server then knows the scripts.
    registry.remove('job-38', delete_job=True)
    registry.requeue('job-39')
    spans()
    # That client is not traced.
    with redis.Redis(unix_socket_path=client.connection_pool.connection_kwargs['path']).monitor() as monitor:
        with transaction():
            changed = [registry.remove('job-2', delete_job=True), registry.requeue('job-3').id, registry.count]
        seen = [name.lower() for names in spans() for name in names if name.lower() != 'info']
        sent = commands_until(monitor, client, 'end')
    return {
        # Some spans have the time up to which entries are removed.
        'compared': json.loads(re.sub(r'\b1\d{9}\b', '0', json.dumps(found, default=str))),
        'changed': changed,
        'sent': sent,
        'spans of that': seen,
    }


def commands_until(monitor: Any, client: Any, text: str) -> list[str]:
    """Return the names of the commands that the server got, from clients, until it got this text."""
    client.echo(text)
    names = []
    for command in monitor.listen():
        name = command['command'].split()[0].lower()
        if name == 'echo':
            return names
        if command['client_type'] != 'lua' and name not in ('multi', 'exec', 'info', 'hello', 'client', 'select'):
            names.append(name)
    raise EOFError


def main(tool: str, socket: str, *how: str) -> None:
    transaction, spans = TOOLS[tool]()
    if 'wrapped' in how:
        wrap()
    import rqreg_ext
    from rqreg_ext import FailedJobRegistry, _core

    client = redis.Redis(unix_socket_path=socket)
    client.flushall()
    fill(client)
    registry = FailedJobRegistry(QUEUE, connection=client)
    results: dict[str, Any] = {'is_direct': _core.is_direct(client)}
    # Whatever is paid once.
    rqreg_ext.snapshot(client)
    with transaction():
        pass
    spans()
    before = processed(client)
    with transaction():
        found = [
            registry.count,
            len(registry.get_page(per_page=10)),
            len(list(registry.find(func_name='os.*', chunk_size=9))),
            sum(registry.contains_many(['job-0', 'nothing'])),
            rqreg_ext.snapshot(client)[QUEUE].failed,
        ]
    results['reads'] = found
    results['processed'] = processed(client) - before
    results['seen'] = Counter(name.lower() for names in spans() for name in names if name.lower() != 'info')
    with transaction():
        requeued = registry.requeue_all()
    results['requeued'], results['requeue spans'] = (
        (requeued.done, requeued.by_rq),
        [n for names in spans() for n in names],
    )
    client.flushall()
    fill(client)
    spans()
    with transaction():
        results['check'] = len(registry.check(settle=0))
        purged = registry.purge()
    results['purged'], results['purge spans'] = (
        (purged.done, purged.by_rq),
        [n for names in spans() for n in names],
    )
    client.flushall()
    fill(client)
    results['single'] = compare_with_rq(client, transaction, spans)
    client.flushall()
    fill(client)
    own = Prefixing(unix_socket_path=socket)
    fill(own)
    others = client.dbsize() - len(client.keys('app:*'))
    result = FailedJobRegistry(QUEUE, connection=own).purge()
    results['prefixing'] = (result.done, result.by_rq, client.dbsize() - len(client.keys('app:*')) - others)
    print(json.dumps(results))


if __name__ == '__main__':
    main(*sys.argv[1:])
