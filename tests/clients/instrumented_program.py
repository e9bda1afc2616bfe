"""python instrumented_program.py TOOL SOCKET: calls by clients that a tracing tool observes; prints what came of it."""

from __future__ import annotations

import contextlib
import json
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import redis
import rq
from redis.client import Pipeline

# A command by its name, or a pipeline by the names in it.
Spans = Callable[[], list[list[str]]]
QUEUE, JOBS = 'q', 40


def opentelemetry() -> tuple[Any, Spans]:
    from opentelemetry.instrumentation.redis import RedisInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    RedisInstrumentor().instrument(tracer_provider=provider)

    def spans() -> list[list[str]]:
        statements = [str((span.attributes or {}).get('db.statement', '')) for span in exporter.get_finished_spans()]
        exporter.clear()
        return [[line.split()[0] for line in statement.splitlines()] for statement in statements]

    return contextlib.nullcontext, spans


def sentry() -> tuple[Any, Spans]:
    import sentry_sdk
    from sentry_sdk.integrations.redis import RedisIntegration

    seen: list[list[str]] = []

    def keep(event: Any, hint: Any) -> None:
        for span in event['spans']:
            commands = span['data'].get('redis.commands', {}).get('first_ten')
            seen.append([line.split()[0] for line in commands or [span['description']]])

    sentry_sdk.init(
        dsn='http://key@127.0.0.1:1/1',
        traces_sample_rate=1.0,
        integrations=[RedisIntegration()],
        default_integrations=False,
        auto_enabling_integrations=False,
        before_send_transaction=keep,
    )

    def spans() -> list[list[str]]:
        found = list(seen)
        seen.clear()
        return found

    return lambda: sentry_sdk.start_transaction(name='calls'), spans


def elastic() -> tuple[Any, Spans]:
    import elasticapm

    elasticapm.instrument()
    client = elasticapm.Client(
        service_name='calls',
        server_url='http://127.0.0.1:1',
        central_config=False,
        cloud_provider=False,
        disable_send=True,
        transaction_max_spans=10_000,
    )
    seen: list[list[str]] = []
    queue = client.tracer.queue_func

    def keep(kind: str, data: Any, **options: Any) -> None:
        if kind == 'span' and data['subtype'] == 'redis':
            seen.append([data['name']])
        queue(kind, data, **options)

    client.tracer.queue_func = keep

    @contextlib.contextmanager
    def transaction() -> Any:
        client.begin_transaction('calls')
        yield
        client.end_transaction('calls')

    def spans() -> list[list[str]]:
        found = list(seen)
        seen.clear()
        return found

    return transaction, spans


def wrapt() -> tuple[Any, Spans]:
    """A wrapper of one's own, as tools make them."""
    import wrapt

    seen: list[list[str]] = []

    def single(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        seen.append([args[0]])
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


TOOLS = {'opentelemetry': opentelemetry, 'sentry': sentry, 'elastic': elastic, 'wrapt': wrapt}


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
    aside = {'info', 'client|setinfo', 'client', 'hello', 'select', 'ping', 'client|maint_notifications'}
    counts = {name.removeprefix('cmdstat_'): figures['calls'] for name, figures in stats.items()}
    return Counter({name: count for name, count in counts.items() if name not in aside})


def main(tool: str, socket: str) -> None:
    transaction, spans = TOOLS[tool]()
    import rqreg_ext
    from rqreg_ext import FailedJobRegistry, _core

    client = redis.Redis(unix_socket_path=socket)
    client.flushall()
    fill(client)
    registry = FailedJobRegistry(QUEUE, connection=client)
    told: dict[str, Any] = {'is_direct': _core.is_direct(client)}
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
    told['reads'] = found
    told['processed'] = processed(client) - before
    told['seen'] = Counter(name.lower() for names in spans() for name in names if name.lower() != 'info')
    with transaction():
        requeued = registry.requeue_all()
    told['requeued'], told['requeue spans'] = (requeued.done, requeued.by_rq), [n for names in spans() for n in names]
    client.flushall()
    fill(client)
    spans()
    with transaction():
        told['check'] = len(registry.check(settle=0))
        purged = registry.purge()
    told['purged'], told['purge spans'] = (purged.done, purged.by_rq), [n for names in spans() for n in names]
    client.flushall()
    fill(client)
    own = Prefixing(unix_socket_path=socket)
    fill(own)
    others = client.dbsize() - len(client.keys('app:*'))
    result = FailedJobRegistry(QUEUE, connection=own).purge()
    told['prefixing'] = (result.done, result.by_rq, client.dbsize() - len(client.keys('app:*')) - others)
    print(json.dumps(told))


if __name__ == '__main__':
    main(*sys.argv[1:])
