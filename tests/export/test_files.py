"""Files that are cut off, damaged, of a later release, or there already."""

from __future__ import annotations

import gzip
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from bulk.bulk_jobs import fill
from redis import Redis

import rqreg_ext
from rqreg_ext.registry import FailedJobRegistry

from .state import state

COUNT = 24


@pytest.fixture
def exported(connection: Redis, tmp_path: Path) -> tuple[Path, dict[bytes, Any]]:
    """A file with all jobs, and what was in the Redis, which is empty now."""
    fill(connection, COUNT)
    connection.sadd('rq:queues', 'rq:queue:q')
    connection.sadd('rq:groups', 'crew', 'équipe')
    FailedJobRegistry('q', connection=connection).export(tmp_path / 'jobs.jsonl')
    before = state(connection)
    connection.flushdb()
    return tmp_path / 'jobs.jsonl', before


def without_list(found: dict[bytes, Any]) -> dict[bytes, Any]:
    """Return it without the jobs that stand in the queue as well, which is not the registry's."""
    return {key: value for key, value in found.items() if key != b'rq:queue:q'}


def restored(connection: Redis, file: Any, **options: Any) -> Any:
    return rqreg_ext.restore(connection, file, **options)['q']


def test_line_of_job_is_as_in_guide(exported: tuple[Path, Any]) -> None:
    first, *jobs, last = map(json.loads, exported[0].read_text().splitlines())
    assert (first['rqreg_export'], first['key_prefix']) == (1, 'rq')
    assert last == {'end': True, 'jobs': COUNT, 'queues': {'q': COUNT}}
    assert jobs[2]['id'] == 'job-0002'
    assert (jobs[2]['queue'], jobs[2]['registry'], jobs[2]['score']) == ('q', 'failed', 4_000_000_002)
    assert jobs[2]['hash']['origin'] == 'q'
    assert set(jobs[2]['hash']['data']) == {'base64'}
    assert (jobs[5]['group'], jobs[6]['group']) == ('crew', 'équipe')


@pytest.mark.parametrize('line', range(1, COUNT + 2))
def test_file_cut_at_end_of_line_restores_lines_before(
    connection: Redis, exported: tuple[Path, Any], line: int
) -> None:
    path, before = exported
    lines = path.read_bytes().splitlines(keepends=True)
    with pytest.raises(ValueError, match=f'line {line}: the file ends after it, .* cut off') as raised:
        rqreg_ext.restore(connection, io.BytesIO(b''.join(lines[:line])))
    result = raised.value.result  # type: ignore[attr-defined]
    assert (result.total.done, result.interrupted) == (line - 1, True)
    assert connection.zcard('rq:failed:q') == line - 1
    again = restored(connection, path, skip_existing=True)
    assert (again.done, again.skipped['exists already']) == (COUNT - line + 1, line - 1)
    assert state(connection) == without_list(before)


@pytest.mark.parametrize('octets', [1, 40, 700])
@pytest.mark.parametrize('is_compressed', [False, True])
def test_file_cut_within_line_restores_lines_before(
    connection: Redis, exported: tuple[Path, Any], octets: int, is_compressed: bool
) -> None:
    path, before = exported
    data = path.read_bytes()
    cut = gzip.compress(data)[:-octets] if is_compressed else data[:-octets]
    if not is_compressed and octets == 1:
        # Only the end of the last line is missing.
        assert restored(connection, io.BytesIO(cut)).done == COUNT
        return
    with pytest.raises(ValueError, match=r'line \d+: ') as raised:
        rqreg_ext.restore(connection, io.BytesIO(cut))
    done = raised.value.result.total.done  # type: ignore[attr-defined]
    assert connection.zcard('rq:failed:q') == done
    assert restored(connection, path, skip_existing=True).done == COUNT - done
    assert state(connection) == without_list(before)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda line: b'{' + line, 'is not JSON'),
        (lambda line: b'\xff\n', 'is not JSON'),
        (lambda line: b'[' * 100_000 + b'\n', 'is not JSON'),
        (lambda line: b'"text"\n', 'is not a job'),
        (lambda line: b'{}\n', 'is not a job'),
        (lambda line: line.replace(b'"id": "job-0007"', b'"id": 7'), 'is not a job'),
        (lambda line: line.replace(b'"id": "job-0007"', b'"id": "\\ud800"'), 'is not JSON'),
        (lambda line: line.replace(b'"score": 4', b'"score": "x4'), 'is not JSON'),
        (lambda line: line.replace(b'"score": 4', b'"expires": {"nothing": 1}, "score": 4'), 'is not a job'),
        (lambda line: line.replace(b'{"base64": "', b'{"base64": "?'), 'is not a job'),
        (lambda line: line.replace(b'{"base64": ', b'{"base32": '), 'is not a job'),
        (lambda line: line.replace(b'"score": 4', b'"scores": 4'), 'is not a job .*no score'),
        (lambda line: line[: line.index(b'"hash"')] + b'"hash": {}}\n', 'is not a job'),
        (lambda line: b'', 'it has'),
    ],
)
def test_damaged_line_ends_restore_with_its_number(
    connection: Redis, exported: tuple[Path, Any], change: Any, message: str
) -> None:
    path, before = exported
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = [*lines[:8], change(lines[8]), *lines[9:]]
    assert damaged != lines
    number = 9 if message != 'it has' else COUNT + 1
    with pytest.raises(ValueError, match=f'line {number}: .*{message}') as raised:
        rqreg_ext.restore(connection, io.BytesIO(b''.join(damaged)))
    done = raised.value.result.total.done  # type: ignore[attr-defined]
    assert connection.zcard('rq:failed:q') == done == (7 if message != 'it has' else COUNT - 1)
    assert restored(connection, path, skip_existing=True).done == COUNT - done
    assert state(connection) == without_list(before)


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (b'', 'line 1: it is empty'),
        (b'\x00' * 1_000_000, 'line 1: '),
        (b'\n', 'line 1: .*is not JSON'),
        (b'{"end": true}\n', 'line 1: .*does not begin as an export does'),
        (b'{"rqreg_export": 2}\n', 'line 1: its schema is 2, and this release of rqreg_ext reads 1'),
        (b'\x1f\x8b\x08', 'line 1: '),
        (os.urandom(1000).replace(b'\n', b' '), 'line 1: '),
    ],
)
def test_data_that_is_no_export_restores_nothing(connection: Redis, data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rqreg_ext.restore(connection, io.BytesIO(data))
    assert list(connection.scan_iter()) == []


@pytest.mark.parametrize('blank', [b'\n', b'\r\n', b' \t\n', b'\n\n', b' '])
def test_blank_lines_are_skipped(connection: Redis, exported: tuple[Path, Any], blank: bytes) -> None:
    path, before = exported
    lines = path.read_bytes().splitlines(keepends=True)
    between = blank if blank.endswith(b'\n') else b''
    data = b''.join([*lines[:5], between, *lines[5:], blank])
    assert restored(connection, io.BytesIO(data)).done == COUNT
    assert state(connection) == without_list(before)


class Interrupted(io.BytesIO):
    """A file whose end is not read: Ctrl-C comes before."""

    def readinto(self, block: Any) -> int:
        if self.tell() > len(self.getbuffer()) / 2:
            raise KeyboardInterrupt
        return super().readinto(memoryview(block)[:1000])


def test_jobs_before_interruption_of_reading_are_counted(
    connection: Redis, exported: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = exported
    monkeypatch.setattr('rqreg_ext._export.restoring._CHUNK', 2)
    with pytest.raises(KeyboardInterrupt) as raised:
        rqreg_ext.restore(connection, Interrupted(path.read_bytes()))
    done = raised.value.result.total.done  # type: ignore[attr-defined]
    assert 2 < done < COUNT
    assert connection.zcard('rq:failed:q') == done


def test_two_exports_in_one_file_restore_the_first_and_raise(connection: Redis, exported: tuple[Path, Any]) -> None:
    data = exported[0].read_bytes()
    with pytest.raises(ValueError, match=f'line {COUNT + 3}: .*goes on after its end'):
        rqreg_ext.restore(connection, io.BytesIO(data + data))
    assert connection.zcard('rq:failed:q') == COUNT


def test_existing_file_is_not_overwritten(connection: Redis, tmp_path: Path) -> None:
    fill(connection, COUNT)
    failed = FailedJobRegistry('q', connection=connection)
    (tmp_path / 'jobs').write_text('mine')
    with pytest.raises(FileExistsError, match='give another name'):
        failed.export(tmp_path / 'jobs')

    def make(count: int, total: int) -> None:
        (tmp_path / 'other').write_text('mine')

    with pytest.raises(FileExistsError, match='give another name'):
        failed.export(tmp_path / 'other', progress=make)
    assert [(path.name, path.read_text()) for path in sorted(tmp_path.iterdir())] == [
        ('jobs', 'mine'),
        ('other', 'mine'),
    ]


def test_interrupted_export_leaves_no_file(connection: Redis, tmp_path: Path) -> None:
    fill(connection, COUNT)
    failed = FailedJobRegistry('q', connection=connection)

    def interrupt(count: int, total: int) -> None:
        assert [path.suffix for path in tmp_path.iterdir()] == ['.part']
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as raised:
        failed.export(tmp_path / 'jobs.gz', progress=interrupt, chunk_size=5)
    assert (raised.value.result.done, raised.value.result.interrupted) == (5, True)  # type: ignore[attr-defined]
    assert list(tmp_path.iterdir()) == []
    assert failed.export(tmp_path / 'jobs', progress=lambda count, total: False, chunk_size=5).stopped
    assert list(tmp_path.iterdir()) == []
    assert failed.export(tmp_path / 'jobs', chunk_size=5).done == COUNT
    assert [path.name for path in tmp_path.iterdir()] == ['jobs']


def test_open_file_is_used_and_left_open(connection: Redis, tmp_path: Path) -> None:
    fill(connection, COUNT)
    failed = FailedJobRegistry('q', connection=connection)
    with open(tmp_path / 'jobs', 'wb') as file:
        assert failed.export(file).done == COUNT
        assert not file.closed
    memory = io.BytesIO()
    failed.export(memory)
    assert memory.getvalue().splitlines()[1:] == (tmp_path / 'jobs').read_bytes().splitlines()[1:]
    connection.delete('rq:failed:q', *[f'rq:job:job-{number:04}' for number in range(COUNT)])
    with open(tmp_path / 'jobs', 'rb') as file:
        assert restored(connection, file).done == COUNT
        assert not file.closed


def test_empty_name_of_file_is_refused(connection: Redis) -> None:
    fill(connection, COUNT)
    before = set(Path().iterdir())
    with pytest.raises(FileNotFoundError, match='give one'):
        FailedJobRegistry('q', connection=connection).export('')
    assert set(Path().iterdir()) == before


@pytest.mark.parametrize('file', [None, 5, io.StringIO(), b'name'])
def test_argument_that_is_no_file_raises(connection: Redis, file: Any) -> None:
    for call in (
        FailedJobRegistry('q', connection=connection).export,
        lambda file: rqreg_ext.restore(connection, file),
    ):
        with pytest.raises(TypeError, match='file'):
            call(file)
