"""What the core needs of the installed RQ. installed_rq.c reads it once, by the names in state.h."""

from __future__ import annotations

import datetime
import time

from rq import executions, job, registry, serializers
from rq.exceptions import InvalidJobOperation, NoSuchJobError

from .guards import (
    clean_guard,
    clock_guard,
    delete_guard,
    delete_methods,
    requeue_guard,
    serializer_guard,
    texts_guard,
)
from .releases import is_known, release
from .requeued_job import enqueued_at, read_metadata, requeued_job
from .script_constants import delete_arguments, rate_limits_key, requeue_arguments

__all__ = [
    'clean_guard',
    'cleaned',
    'clock_guard',
    'delete_arguments',
    'delete_guard',
    'delete_keeps_status',
    'delete_methods',
    'enqueued_at',
    'is_known',
    'rate_limits_key',
    'read_metadata',
    'requeue_arguments',
    'requeue_guard',
    'requeued_job',
    'serializer_guard',
    'texts_guard',
]

registry_globals = vars(registry)
datetime_globals = vars(datetime)
time_globals = vars(time)
job_class = job.Job
own_serializers = (serializers.DefaultSerializer, serializers.JSONSerializer)
no_such_job_error = NoSuchJobError
invalid_job_operation = InvalidJobOperation
cleaned = release.cleaned
delete_keeps_status = release.delete_keeps_status
execution_key_template = executions.ExecutionRegistry.key_template
