"""RQ's job registries in C: the same names, arguments, results and keys in Redis, many times faster.

Importing this package imports neither rq nor redis: the names below resolve on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = '0.1.0'

_HOMES = {
    'Queue': 'rqreg_ext.queue',
    'ExecutionRegistry': 'rqreg_ext.executions',
}
_REGISTRY_NAMES = (
    'BaseRegistry',
    'CanceledJobRegistry',
    'DeferredJobRegistry',
    'FailedJobRegistry',
    'FinishedJobRegistry',
    'ReadyJobRegistry',
    'ScheduledJobRegistry',
    'StartedJobRegistry',
    'clean_registries',
)
_HOMES.update(dict.fromkeys(_REGISTRY_NAMES, 'rqreg_ext.registry'))

__all__ = ['__version__', *_HOMES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
