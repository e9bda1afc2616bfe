"""RQ's job registries in C: the same names, arguments, results and keys in Redis, many times faster.

Importing this package imports neither rq nor redis: the names below resolve on first use.
"""

from __future__ import annotations

# As type checkers know it; typing itself would cost more than all of this package.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from .batches import Batch, Pending, batch
    from .everywhere import QueuesResult, check, purge, repair, requeue_all
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
    from .whole.result import BulkResult
    from .whole.truth.problems import CheckReport, Kind, Problem
    from .whole.truth.repairs import RepairReport

__version__ = '0.1.0'
__all__ = [
    'BaseRegistry',
    'Batch',
    'BulkResult',
    'CanceledJobRegistry',
    'CheckReport',
    'DeferredJobRegistry',
    'ExecutionRegistry',
    'FailedJobRegistry',
    'FinishedJobRegistry',
    'Kind',
    'Pending',
    'Problem',
    'Queue',
    'QueuesResult',
    'ReadyJobRegistry',
    'RepairReport',
    'Report',
    'ScheduledJobRegistry',
    'Snapshot',
    'StartedJobRegistry',
    'batch',
    'check',
    'clean_registries',
    'install',
    'is_installed',
    'purge',
    'repair',
    'requeue_all',
    'snapshot',
    'uninstall',
]

if not TYPE_CHECKING:
    # The modules that define the names that are not in rqreg_ext.registry.
    _MODULES = {
        'Batch': 'rqreg_ext.batches',
        'BulkResult': 'rqreg_ext.whole.result',
        'CheckReport': 'rqreg_ext.whole.truth.problems',
        'ExecutionRegistry': 'rqreg_ext.executions',
        'Kind': 'rqreg_ext.whole.truth.problems',
        'Pending': 'rqreg_ext.batches',
        'Problem': 'rqreg_ext.whole.truth.problems',
        'Queue': 'rqreg_ext.queue',
        'QueuesResult': 'rqreg_ext.everywhere',
        'RepairReport': 'rqreg_ext.whole.truth.repairs',
        'Report': 'rqreg_ext.installation',
        'batch': 'rqreg_ext.batches',
        'check': 'rqreg_ext.everywhere',
        'install': 'rqreg_ext.installation',
        'is_installed': 'rqreg_ext.installation',
        'purge': 'rqreg_ext.everywhere',
        'repair': 'rqreg_ext.everywhere',
        'requeue_all': 'rqreg_ext.everywhere',
        'Snapshot': 'rqreg_ext.snapshots',
        'snapshot': 'rqreg_ext.snapshots',
        'uninstall': 'rqreg_ext.installation',
    }

    def __getattr__(name):
        if name not in __all__ and name != '_core':
            raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
        from importlib import import_module

        if name == '_core':
            try:
                return import_module('rqreg_ext._core')
            except ModuleNotFoundError as error:
                raise ImportError(
                    f'{__path__[0]} has the sources of rqreg_ext, not compiled for this Python: '
                    'run Python in another folder than that of the clone after `pip install .`, or run `make build`'
                ) from error
        value = getattr(import_module(_MODULES.get(name, 'rqreg_ext.registry')), name)
        globals()[name] = value
        return value

    def __dir__():
        return sorted({*globals(), *__all__})
