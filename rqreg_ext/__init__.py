"""RQ's job registries in C: the same names, arguments, results and keys in Redis, many times faster.

Importing this package imports neither rq nor redis: the names below resolve on first use.
"""

from __future__ import annotations

# As type checkers know it; typing itself would cost more than all of this package.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from .batches import Batch, Pending, batch
    from .executions import ExecutionRegistry
    from .installation import Report, install, is_installed, uninstall
    from .queue import Queue
    from .registry import (
        BaseRegistry,
        CanceledJobRegistry,
        DeferredJobRegistry,
        FailedJobRegistry,
        FinishedJobRegistry,
        ReadyJobRegistry,
        ScheduledJobRegistry,
        StartedJobRegistry,
        clean_registries,
    )
    from .snapshots import Snapshot, snapshot

__version__ = '0.1.0'
__all__ = [
    'BaseRegistry',
    'Batch',
    'CanceledJobRegistry',
    'DeferredJobRegistry',
    'ExecutionRegistry',
    'FailedJobRegistry',
    'FinishedJobRegistry',
    'Pending',
    'Queue',
    'ReadyJobRegistry',
    'Report',
    'ScheduledJobRegistry',
    'Snapshot',
    'StartedJobRegistry',
    'batch',
    'clean_registries',
    'install',
    'is_installed',
    'snapshot',
    'uninstall',
]

if not TYPE_CHECKING:
    # The modules that define the names that are not in rqreg_ext.registry.
    _MODULES = {
        'Batch': 'rqreg_ext.batches',
        'ExecutionRegistry': 'rqreg_ext.executions',
        'Pending': 'rqreg_ext.batches',
        'Queue': 'rqreg_ext.queue',
        'Report': 'rqreg_ext.installation',
        'batch': 'rqreg_ext.batches',
        'install': 'rqreg_ext.installation',
        'is_installed': 'rqreg_ext.installation',
        'Snapshot': 'rqreg_ext.snapshots',
        'snapshot': 'rqreg_ext.snapshots',
        'uninstall': 'rqreg_ext.installation',
    }

    def __getattr__(name):
        if name not in __all__:
            raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
        from importlib import import_module

        value = getattr(import_module(_MODULES.get(name, 'rqreg_ext.registry')), name)
        globals()[name] = value
        return value

    def __dir__():
        return sorted({*globals(), *__all__})
