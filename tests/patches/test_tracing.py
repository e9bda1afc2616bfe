"""Under OpenTelemetry's instrumentation of RQ, a requeue makes a span and a new traceparent, as RQ's does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from private_redis import PrivateRedis
from rq.job import Job

from .running import output_of

pytest.importorskip('opentelemetry_instrumentation_rq')
if not hasattr(Job, 'execute_success_callback'):
    pytest.skip('the instrumentation wraps methods that this RQ has not', allow_module_level=True)


# Argument: what is done before and after rq is instrumented, and how; prints the spans and what is left of the old one.
PROGRAM = """
import importlib, json, sys, time, zlib
import redis
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry_instrumentation_rq import RQInstrumentor

socket, before, after, calls = json.loads(sys.argv[1])
client = redis.Redis(unix_socket_path=socket)
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
OLD = '00-' + '1' * 32 + '-' + '2' * 16 + '-01'

def do(steps):
    for step in steps:
        if step == 'install':
            import rqreg_ext
            rqreg_ext.install()
        elif step == 'call':
            fail()
            call()
        else:
            importlib.import_module(step)

def fail():
    import rq
    client.flushall()
    for job_id in ('a', 'b'):
        job = rq.job.Job.create('os.getpid', id=job_id, origin='default', connection=client)
        job.meta['traceparent'] = OLD
        job.save()
        job.set_status('failed')
        client.zadd('rq:failed:default', {job_id: time.time() + 1e6})

def call():
    module = sys.modules.get('rqreg_ext.registry') if 'import line' in calls else importlib.import_module('rq.registry')
    registry = module.FailedJobRegistry(connection=client)
    if 'bulk' in calls and hasattr(registry, 'requeue_all'):
        return registry.requeue_all()
    for job_id in registry.get_job_ids():
        registry.requeue(job_id)

do(before)
instrumentor = RQInstrumentor()
instrumentor.instrument()
do(after)
fail()
exporter.clear()
call()
spans = sorted(span.name for span in exporter.get_finished_spans())
from rq.job import Job
jobs = [Job.fetch(job_id, connection=client) for job_id in ('a', 'b')]
old = [job.id for job in jobs if job.meta['traceparent'] == OLD]
same_trace = [job.meta['traceparent'].split('-')[1] == '1' * 32 for job in jobs]
instrumentor.uninstrument()
fail()
exporter.clear()
result = call()
by_rq = result.by_rq if result is not None and hasattr(result, 'by_rq') else None
print(json.dumps([spans, old, same_trace, len(exporter.get_finished_spans()), by_rq]))
"""

ORDERS = {
    'instrumented before the import': ([], ['rqreg_ext.registry']),
    'instrumented after the import': (['rqreg_ext.registry'], []),
    'instrumented after the first call': (['rqreg_ext.registry', 'call'], []),
}
INSTALLED = {
    'instrumented before install()': (['rq'], ['install']),
    'instrumented after install()': (['install', 'rq'], []),
    'instrumented after the first call': (['install', 'rq', 'call'], []),
}


def run(server: PrivateRedis, before: list[str], after: list[str], calls: list[str]) -> Any:
    argument = json.dumps([server.socket_path, before, after, calls])
    return output_of('-c', PROGRAM, argument)


@pytest.fixture(scope='module')
def by_rq(redis_server: PrivateRedis) -> Any:
    """What RQ's own requeue() leaves, instrumented."""
    spans, old, same_trace, later, _ = run(redis_server, ['rq'], [], [])
    assert len(spans) == 2
    assert (old, same_trace, later) == ([], [True, True], 0)
    return [spans, old, same_trace, later]


@pytest.mark.parametrize('how', ['single', 'bulk'])
@pytest.mark.parametrize('order', ORDERS)
def test_requeue_is_traced_with_the_import_line(redis_server: PrivateRedis, by_rq: Any, order: str, how: str) -> None:
    output = run(redis_server, *ORDERS[order], ['import line', how])
    assert output[:4] == by_rq
    assert output[4] == (0 if how == 'bulk' else None)


@pytest.mark.parametrize('how', ['single', 'bulk'])
@pytest.mark.parametrize('order', INSTALLED)
def test_requeue_is_traced_under_install(redis_server: PrivateRedis, by_rq: Any, order: str, how: str) -> None:
    output = run(redis_server, *INSTALLED[order], [how])
    assert output[:4] == by_rq
    assert output[4] == (0 if how == 'bulk' else None)
