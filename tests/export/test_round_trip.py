"""What restore() leaves is what export() has read: every key, with its value and the time when it expires."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import Redis

import rqreg_ext
from rqreg_ext._fastpath.rq_keys import REGISTRIES
from rqreg_ext.registry import FailedJobRegistry

from .state import expiries, fill, same_expiries, state

ALL = list(REGISTRIES)


@pytest.mark.parametrize('name', ['jobs.jsonl', 'jobs.jsonl.gz'])
def test_restore_leaves_all_registries_as_exported(connection: Redis, tmp_path: Path, name: str) -> None:
    fill(connection)
    for waiting in ('rq:queue:mail', 'rq:queue:étiquettes'):
        for job_id in connection.lrange(waiting, 0, -1):
            connection.delete(b'rq:job:' + job_id)
        connection.delete(waiting)
    before, times = state(connection), expiries(connection)
    path = tmp_path / name
    exported = rqreg_ext.export(connection, path, ALL)
    assert (exported.total.failed, exported.total.skipped, exported.errors) == ([], {}, {})
    assert state(connection) == before
    connection.flushdb()
    restored = rqreg_ext.restore(connection, path)
    assert {name: result.done for name, result in restored.items()} == {
        name: result.done for name, result in exported.items()
    }
    assert state(connection) == before
    assert same_expiries(expiries(connection), times)


def test_restore_leaves_one_registry_as_exported(connection: Redis, tmp_path: Path) -> None:
    fill(connection)
    failed = FailedJobRegistry('mail', connection=connection)
    job_ids = failed.get_job_ids()
    before = state(connection)
    result = failed.export(tmp_path / 'failed.jsonl')
    assert (result.done, result.total) == (len(job_ids), len(job_ids))
    assert failed.purge().done == len(job_ids)
    assert state(connection) != before
    assert rqreg_ext.restore(connection, tmp_path / 'failed.jsonl')['mail'].done == len(job_ids)
    assert state(connection) == before
