"""A job that RQ's own method was changing when an interrupt came is left as with plain RQ."""

from __future__ import annotations

from typing import Any

import pytest
import redis
import rq.registry
from rq.job import Job

import rqreg_ext
from rqreg_ext.registry import FailedJobRegistry

from .bulk_jobs import fill


def left_of(connection: redis.Redis, job_id: str) -> tuple[Any, dict[bytes, bytes]]:
    fields = connection.hgetall(f'rq:job:{job_id}')
    del fields[b'created_at']
    return connection.zrange('rq:failed:q', 0, -1), fields


def interrupt(*arguments: Any, **options: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ('method', 'inner', 'owner'), [('purge', 'delete', Job), ('requeue_all', '_enqueue_job', rq.Queue)]
)
def test_interrupted_job_is_left_as_by_rq_and_found_by_check(
    connection: redis.Redis, monkeypatch: pytest.MonkeyPatch, method: str, inner: str, owner: Any
) -> None:
    monkeypatch.setattr(owner, inner, interrupt)
    first, *_ = fill(connection, 12)
    by_rq = rq.registry.FailedJobRegistry('q', connection=connection)
    with pytest.raises(KeyboardInterrupt):
        by_rq.requeue(first) if method == 'requeue_all' else by_rq.remove(first, delete_job=True)
    expected = left_of(connection, first)

    fill(connection, 12)
    failed = FailedJobRegistry('q', connection=connection)
    with pytest.raises(KeyboardInterrupt) as raised:
        getattr(failed, method)()
    assert raised.value.result.done == 0  # type: ignore[attr-defined]
    left = left_of(connection, first)
    assert left == expected
    assert first.encode() not in left[0]
    assert left[1][b'status'] == b'failed'

    monkeypatch.undo()
    assert first in {problem.job_id for problem in rqreg_ext.check(connection, settle=0).of('orphan')}
