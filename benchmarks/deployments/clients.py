"""The clients of the deployments: what stands between RQ and the server.

Each function is given the port, and returns the client and what makes the context of some calls: a transaction of the
tracer, or nothing. Spans are made, and then dropped.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis
from redis.client import Pipeline

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'tools'))

import tracers

Context = tracers.Context
# What tracers wrap.
_METHODS = ((redis.Redis, 'execute_command'), (Pipeline, 'execute'), (Pipeline, 'immediate_execute_command'))


def plain(port: int) -> tuple[Any, Context]:
    return redis.Redis(port=port), contextlib.nullcontext


def tls(port: int) -> tuple[Any, Context]:
    return redis.Redis(port=port, ssl=True, ssl_cert_reqs='none'), contextlib.nullcontext


def cluster(port: int) -> tuple[Any, Context]:
    return redis.RedisCluster(host='127.0.0.1', port=port), contextlib.nullcontext


def opentelemetry(port: int) -> tuple[Any, Context]:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Dropping(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    context = tracers.opentelemetry(BatchSpanProcessor(Dropping()))
    return redis.Redis(port=port), context


def sentry(port: int) -> tuple[Any, Context]:
    context = tracers.sentry(lambda event, hint: None)
    return redis.Redis(port=port), context


def ddtrace(port: int) -> tuple[Any, Context]:
    context = tracers.ddtrace(lambda trace: None)
    return redis.Redis(port=port), context


def elastic(port: int) -> tuple[Any, Context]:
    _, context = tracers.elastic()
    return redis.Redis(port=port), context


def functools_wraps(port: int) -> tuple[Any, Context]:
    """An unknown wrapper, around each method that tracers wrap."""

    def wrapper_of(method: Any) -> Any:
        @functools.wraps(method)
        def wrapper(self: Any, *args: Any, **options: Any) -> Any:
            return method(self, *args, **options)

        return wrapper

    for owner, name in _METHODS:
        setattr(owner, name, wrapper_of(getattr(owner, name)))
    return redis.Redis(port=port), contextlib.nullcontext


def wrapt(port: int) -> tuple[Any, Context]:
    """The same, made by wrapt."""
    import wrapt

    for owner, name in _METHODS:
        wrapt.wrap_function_wrapper(owner, name, lambda wrapped, instance, args, options: wrapped(*args, **options))
    return redis.Redis(port=port), contextlib.nullcontext


BY_NAME: dict[str, Callable[[int], tuple[Any, Context]]] = {
    client.__name__: client
    for client in (plain, tls, cluster, opentelemetry, sentry, ddtrace, elastic, functools_wraps, wrapt)
}
