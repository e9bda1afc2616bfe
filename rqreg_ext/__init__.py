"""RQ's job registries, implemented in C, with operations on whole registries and on many queues.

What RQ has works as in RQ: the same names, arguments, results and errors, and the same keys in Redis. Importing this
package imports neither rq nor redis; each name is loaded when it is first used.
"""

from __future__ import annotations

# Type checkers take this for typing.TYPE_CHECKING. Importing typing would take longer than importing this package.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._all_queues.batch import Batch, PendingResult, batch
    from ._all_queues.count_by import count_by
    from ._all_queues.export import export, restore
    from ._all_queues.find import find
    from ._all_queues.list_jobs import JobListing, list_jobs
    from ._all_queues.operations import BulkResults, cancel_all, check, purge, repair, requeue_all
    from ._all_queues.snapshot import QueueSnapshot, Snapshot, snapshot
    from ._all_queues.trimming import trim
    from ._all_queues.workers import WorkerSnapshot
    from ._bulk.options import BulkOptions
    from ._bulk.result import BulkResult
    from ._export.lines import DamagedFileError
    from ._export.restoring import JobExistsError
    from ._install.installation import InstallReport, install, is_installed, uninstall
    from ._integrity.problems import CheckReport, Problem, ProblemKind
    from ._integrity.repair_report import RepairReport
    from ._query.count_by import JobGroup, JobGroups
    from ._query.filters import JobFilters
    from ._query.jobs import JobList, get_jobs
    from ._query.pages import JobPage, Page
    from .executions import ExecutionRegistry
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
    from .waiting_jobs import WaitingJobs

__version__ = '0.2.0'
__all__ = [
    'BaseRegistry',
    'Batch',
    'BulkOptions',
    'BulkResult',
    'BulkResults',
    'CanceledJobRegistry',
    'CheckReport',
    'DamagedFileError',
    'DeferredJobRegistry',
    'ExecutionRegistry',
    'FailedJobRegistry',
    'FinishedJobRegistry',
    'InstallReport',
    'JobExistsError',
    'JobFilters',
    'JobGroup',
    'JobGroups',
    'JobList',
    'JobListing',
    'JobPage',
    'Page',
    'PendingResult',
    'Problem',
    'ProblemKind',
    'Queue',
    'QueueSnapshot',
    'ReadyJobRegistry',
    'RepairReport',
    'ScheduledJobRegistry',
    'Snapshot',
    'StartedJobRegistry',
    'WaitingJobs',
    'WorkerSnapshot',
    'batch',
    'cancel_all',
    'check',
    'clean_registries',
    'count_by',
    'export',
    'find',
    'get_jobs',
    'install',
    'is_installed',
    'list_jobs',
    'purge',
    'repair',
    'requeue_all',
    'restore',
    'snapshot',
    'trim',
    'uninstall',
]

if not TYPE_CHECKING:
    # The module of each name that is not in rqreg_ext.registry.
    _MODULES = {
        'Batch': 'rqreg_ext._all_queues.batch',
        'BulkOptions': 'rqreg_ext._bulk.options',
        'BulkResult': 'rqreg_ext._bulk.result',
        'BulkResults': 'rqreg_ext._all_queues.operations',
        'CheckReport': 'rqreg_ext._integrity.problems',
        'DamagedFileError': 'rqreg_ext._export.lines',
        'ExecutionRegistry': 'rqreg_ext.executions',
        'InstallReport': 'rqreg_ext._install.installation',
        'JobExistsError': 'rqreg_ext._export.restoring',
        'JobFilters': 'rqreg_ext._query.filters',
        'JobGroup': 'rqreg_ext._query.count_by',
        'JobGroups': 'rqreg_ext._query.count_by',
        'JobList': 'rqreg_ext._query.jobs',
        'JobListing': 'rqreg_ext._all_queues.list_jobs',
        'JobPage': 'rqreg_ext._query.pages',
        'Page': 'rqreg_ext._query.pages',
        'PendingResult': 'rqreg_ext._all_queues.batch',
        'Problem': 'rqreg_ext._integrity.problems',
        'ProblemKind': 'rqreg_ext._integrity.problems',
        'Queue': 'rqreg_ext.queue',
        'QueueSnapshot': 'rqreg_ext._all_queues.snapshot',
        'RepairReport': 'rqreg_ext._integrity.repair_report',
        'Snapshot': 'rqreg_ext._all_queues.snapshot',
        'WaitingJobs': 'rqreg_ext.waiting_jobs',
        'WorkerSnapshot': 'rqreg_ext._all_queues.workers',
        'batch': 'rqreg_ext._all_queues.batch',
        'cancel_all': 'rqreg_ext._all_queues.operations',
        'check': 'rqreg_ext._all_queues.operations',
        'count_by': 'rqreg_ext._all_queues.count_by',
        'export': 'rqreg_ext._all_queues.export',
        'find': 'rqreg_ext._all_queues.find',
        'get_jobs': 'rqreg_ext._query.jobs',
        'install': 'rqreg_ext._install.installation',
        'is_installed': 'rqreg_ext._install.installation',
        'list_jobs': 'rqreg_ext._all_queues.list_jobs',
        'purge': 'rqreg_ext._all_queues.operations',
        'repair': 'rqreg_ext._all_queues.operations',
        'requeue_all': 'rqreg_ext._all_queues.operations',
        'restore': 'rqreg_ext._all_queues.export',
        'snapshot': 'rqreg_ext._all_queues.snapshot',
        'trim': 'rqreg_ext._all_queues.trimming',
        'uninstall': 'rqreg_ext._install.installation',
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
        try:
            value = getattr(import_module(_MODULES.get(name, 'rqreg_ext.registry')), name)
        except OSError as error:
            from errno import EMFILE, ENFILE

            if error.errno not in (EMFILE, ENFILE):
                raise
            raise OSError(
                error.errno,
                f'no file descriptor is left to load rqreg_ext.{name}: close files, raise the limit (ulimit -n), or '
                f'import {name} at the start of the program',
            ) from error
        globals()[name] = value
        return value

    def __dir__():
        return sorted({*__all__, *(name for name in globals() if name.startswith('__'))})
