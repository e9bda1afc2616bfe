"""The Python part of requeue() by script: the job's metadata, and the Job that is returned."""

from __future__ import annotations

import datetime
import zlib
from typing import Any, cast

from rq import job, logutils, queue, serializers, utils
from rq.timeouts import BaseTimeoutException


def enqueued_at() -> tuple[datetime.datetime, str]:
    """Return the moment of a requeue, and how RQ writes it."""
    moment = queue.now()  # type: ignore[attr-defined]
    return moment, utils.utcformat(moment)


def _date(text: bytes) -> datetime.datetime:
    """Parse a date that the script has checked, as RQ's str_to_date() does, which takes ten times as long."""
    return datetime.datetime.fromisoformat(f'{text[:-1].decode()}+00:00')


def read_metadata(rq_registry: Any, fields: list[bytes]) -> tuple[bytes, bytes, dict[str, Any]] | None:
    """Return the metadata in a job's hash: as it is stored, as RQ would store it again, and restored.

    None if RQ's own methods must read the metadata or the data, or complain about them.
    """
    hash_fields = _as_dict(fields)
    stored = hash_fields.get(b'meta', b'')
    if not is_compressed(hash_fields.get(b'data', COMPRESSED)):
        return None
    try:
        meta = rq_registry.serializer.loads(stored) if stored else {}
        # RQ does not store empty metadata.
        again = rq_registry.serializer.dumps(meta) if meta else stored
    except BaseTimeoutException:
        # The timeout of the RQ job that is running this code.
        raise
    except Exception:
        return None
    return (stored, again, meta) if type(meta) is dict and type(again) is bytes else None


# The first octets of data that RQ has compressed.
COMPRESSED = zlib.compress(b'')[:2]


def is_compressed(data: bytes) -> bool:
    """Return whether RQ would write a job's data back as it is."""
    return data.startswith(COMPRESSED)


def _as_dict(fields: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(fields[::2], fields[1::2], strict=True))


# The fields that requeue() sets anew; and the dates, whose parsing would take RQ most of its time.
_REQUEUE_OVERWRITES = (b'enqueued_at', b'started_at', b'ended_at', b'exc_info')
_DATES = (b'created_at', b'last_heartbeat')


def requeued_job(
    rq_registry: Any,
    job_id: str,
    fields: list[bytes],
    moment: datetime.datetime,
    at_front: bool,
    meta: dict[str, Any] | None,
) -> job.Job:
    """Return the Job as RQ's requeue leaves it, after requeue_job.lua did the work on the server.

    `fields` is the job's hash as it was before, and `meta` its metadata, if it has any. Writes RQ's log lines.
    """
    # RQ resolves the serializer once more for each job, which costs more than all the rest for its default.
    serializer = None if rq_registry.serializer is serializers.DefaultSerializer else rq_registry.serializer
    requeued = rq_registry.job_class(job_id, connection=rq_registry.connection, serializer=serializer)
    restored = _as_dict(fields)
    for name in _REQUEUE_OVERWRITES:
        restored.pop(name, None)
    dates = [restored.pop(name, None) for name in _DATES]
    if meta is not None:
        restored.pop(b'meta', None)
    requeued.restore(restored)
    requeued._exc_info = ''
    created_at, last_heartbeat = dates
    if created_at:
        requeued.created_at = _date(created_at)
    if last_heartbeat:
        requeued.last_heartbeat = _date(last_heartbeat)
    if meta is not None:
        requeued.meta = meta
    requeued.redis_server_version = utils.get_version(rq_registry.connection)
    requeued.enqueued_at = moment
    if requeued.timeout is None:
        requeued.timeout = queue.Queue.DEFAULT_TIMEOUT
    requeued._status = job.JobStatus.QUEUED
    queue.logger.debug('Enqueueing job %s to queue %s (at_front=%s)', job_id, requeued.origin, at_front)
    queue.logger.debug('Pushed job %s into %s', logutils.blue(job_id), logutils.green(requeued.origin))
    return cast('job.Job', requeued)
