"""Tracing tools that instrument redis-py in this process, for tests and benchmarks. Each is imported when it is used.

Each function returns what makes the context of some calls: a transaction of the tool, or nothing. Nothing is sent.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

Context = Callable[[], Any]


def opentelemetry(processor: Any) -> Context:
    """Have OpenTelemetry pass spans to a span processor."""
    from opentelemetry.instrumentation.redis import RedisInstrumentor
    from opentelemetry.sdk.trace import TracerProvider

    provider = TracerProvider()
    provider.add_span_processor(processor)
    RedisInstrumentor().instrument(tracer_provider=provider)
    return contextlib.nullcontext


def sentry(before_send_transaction: Callable[[Any, Any], None]) -> Context:
    """Have Sentry call a function with each transaction and a hint. The function returns None, to send nothing."""
    import sentry_sdk
    from sentry_sdk.integrations.redis import RedisIntegration

    sentry_sdk.init(
        dsn='http://key@127.0.0.1:1/1',
        traces_sample_rate=1.0,
        integrations=[RedisIntegration()],
        default_integrations=False,
        auto_enabling_integrations=False,
        before_send_transaction=before_send_transaction,
    )
    return lambda: sentry_sdk.start_transaction(name='calls')


def ddtrace(process_trace: Callable[[Any], None]) -> Context:
    """Have ddtrace call a function with the spans of each trace. The function returns None, to send nothing."""
    os.environ |= {'DD_INSTRUMENTATION_TELEMETRY_ENABLED': '0', 'DD_REMOTE_CONFIGURATION_ENABLED': '0'}
    logging.getLogger('ddtrace').setLevel(logging.CRITICAL)
    from ddtrace import patch
    from ddtrace.trace import TraceFilter, tracer

    class Passing(TraceFilter):
        def process_trace(self, trace: Any) -> None:
            process_trace(trace)

    tracer.configure(trace_processors=[Passing()])
    patch(redis=True)
    return contextlib.nullcontext


def elastic(**options: Any) -> tuple[Any, Context]:
    """Have Elastic APM trace; return its client too."""
    import elasticapm

    elasticapm.instrument()
    client = elasticapm.Client(
        service_name='calls',
        server_url='http://127.0.0.1:1',
        central_config=False,
        cloud_provider=False,
        disable_send=True,
        **options,
    )

    @contextlib.contextmanager
    def transaction() -> Iterator[None]:
        client.begin_transaction('calls')
        yield
        client.end_transaction('calls')

    return client, transaction
