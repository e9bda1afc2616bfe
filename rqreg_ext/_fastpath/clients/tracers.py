"""The wrappers of tracing tools that are known to pass on each command and each reply unchanged.

Clients that only these wrap need not be tried (wrapped.py). A wrapper is told by the module that its code is of.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ..originals import function_of

# Modules, or packages, of Datadog's, Elastic's, OpenTelemetry's and Sentry's.
TRACERS = (
    'ddtrace.contrib.internal.redis',
    'elasticapm.instrumentation.packages',
    'opentelemetry.instrumentation.redis',
    'sentry_sdk.integrations.redis',
)
# The names under which the code of a wrapper has the method that it wraps.
_WRAPPED = frozenset({'old_execute', 'old_execute_command'})


def inside(method: Any) -> Any:
    """Return the method inside a tracer's wrapper, which may be another wrapper; None if it is no tracer's wrapper."""
    if not _is_of_tracer(_code_around(method)):
        return None
    if function_of(method) is None:
        return getattr(method, '__wrapped__', None)
    cells = zip(method.__code__.co_freevars, method.__closure__ or (), strict=True)
    return next((cell.cell_contents for name, cell in cells if name in _WRAPPED), None)


def _code_around(method: Any) -> Any:
    """Return the function that is called instead of the wrapped method."""
    # The object that wrapt makes is not a function, and has the function under this name.
    around = method if function_of(method) is not None else getattr(method, '_self_wrapper', None)
    while isinstance(around, partial):
        around = around.func
    return function_of(around)


def _is_of_tracer(function: Any) -> bool:
    # Not its __module__, which functools.wraps() copies.
    name = function.__globals__.get('__name__', '') if function is not None else ''
    return any(name == tracer or name.startswith(f'{tracer}.') for tracer in TRACERS)
