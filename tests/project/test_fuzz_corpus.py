"""What fuzzing found, once more: every input kept in fuzz/, by a program that any C compiler makes.

The program compares the C with fuzz/reference.py; here the reference is compared with redis-py and RQ.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from redis._parsers import _RESP3Parser
from rq.utils import parse_composite_key

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fuzz.building import FOLDER, TARGETS, NotEmbeddable, build_replay
from fuzz.reference import CUTS, Shape, cut_as_rq, encoded, transcript

AS_RQ = CUTS.index(cut_as_rq)
WANTED = 'a'
SECONDS_TO_HANG = 300


@pytest.fixture(scope='module')
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The fuzz targets, each as a program that runs the files it is given."""
    folder = tmp_path_factory.mktemp('fuzz')
    try:
        return {target: build_replay(target, folder) for target in TARGETS}
    except NotEmbeddable as reason:
        pytest.skip(str(reason))


def replay(program: Path, files: list[Path]) -> None:
    """Run the files; the last that the program names is the one that it failed with."""
    command = [str(program), *map(str, files)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS_TO_HANG)
    assert result.returncode == 0, result.stderr[-4000:]
    assert result.stdout == f'{len(files)} inputs\n'


@pytest.mark.parametrize('target', TARGETS)
def test_inputs_of_fuzzing_pass_again(programs: dict[str, Path], target: str) -> None:
    reached = sorted(FOLDER.glob(f'corpus/{target}/*'))
    assert reached
    replay(programs[target], [*sorted(FOLDER.glob(f'findings/{target}/*')), *reached])


def test_unreadable_file_is_no_success(programs: dict[str, Path], tmp_path: Path) -> None:
    missing = tmp_path / 'no-such-file'
    result = subprocess.run([str(programs['reply']), str(missing)], capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert str(missing) in result.stderr


# ---- The reference against redis-py and RQ --------------------------------------------------------

ids = st.text(st.characters(blacklist_categories=['Cs'], blacklist_characters=':'), max_size=8) | st.sampled_from('ab')
entries = st.lists(st.builds('{}:{}'.format, ids, ids) | ids | st.just('a:b:c'), max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.binary(max_size=20),
    lambda children: st.lists(children, max_size=4),
    max_leaves=12,
)


def resp3(value: Any) -> bytes:
    """Return a value as a server writes it in RESP3."""
    if value is None:
        return b'_\r\n'
    if isinstance(value, bool):
        return b'#%b\r\n' % (b't' if value else b'f')
    if isinstance(value, int):
        return b':%d\r\n' % value
    if isinstance(value, float):
        return b',%b\r\n' % repr(value).encode()
    if isinstance(value, list):
        return b'*%d\r\n' % len(value) + b''.join(map(resp3, value))
    return b'$%d\r\n%b\r\n' % (len(encoded(value)), encoded(value))


def read_by_redis_py(data: bytes) -> Any:
    """Return what redis-py's own parser makes of bytes that come in over a socket."""
    server, client = socket.socketpair()
    with server, client:
        connection = redis.Connection(protocol=3, parser_class=_RESP3Parser)
        connection._sock = client
        connection._parser.on_connect(connection)
        server.sendall(data)
        server.shutdown(socket.SHUT_WR)
        value = connection._parser.read_response(disable_decoding=True)
        connection._parser.on_disconnect()
        connection._sock = None
    return value


def read_by_reference(shape: Shape, data: bytes) -> str:
    """Return the line of a transcript about the one reply in these bytes."""
    line, *rest = transcript((shape, Shape.NOTHING), AS_RQ, WANTED.encode(), data, 2)
    assert rest == ([] if line.startswith('RAISED') else ['INCOMPLETE'])
    return line


def told(value: Any) -> str:
    """Return the line of a transcript about this value."""
    return f'READY {type(value).__name__} {value!r}'


@settings(deadline=None)
@given(values)
def test_values_are_what_redis_py_reads(value: Any) -> None:
    data = resp3(value)
    assert read_by_reference(Shape.VALUE, data) == told(read_by_redis_py(data)) == told(value)


def by_rq(shape: Shape, entries: list[bytes]) -> Any:
    """Return what RQ makes of the entries of a registry."""
    if shape is Shape.TEXTS:
        return [entry.decode() for entry in entries]
    cut = [parse_composite_key(entry.decode()) for entry in entries]
    if shape is Shape.HAS_JOB:
        return WANTED in [job_id for job_id, _ in cut]
    return cut if shape is Shape.JOB_AND_IDS else [job_id for job_id, _ in cut]


@pytest.mark.parametrize('shape', [Shape.TEXTS, Shape.JOB_IDS, Shape.JOB_AND_IDS, Shape.HAS_JOB])
@settings(deadline=None)
@given(listed=entries)
def test_entries_are_what_rq_makes_of_them(shape: Shape, listed: list[str]) -> None:
    data = resp3(listed)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)
        try:
            expected = told(by_rq(shape, read_by_redis_py(data)))
        except ValueError as error:
            expected = f'RAISED {type(error).__name__}: {error}'
    assert read_by_reference(shape, data) == expected


@settings(deadline=None)
@given(st.text() | st.binary() | st.integers() | st.floats())
def test_arguments_are_written_as_redis_py_writes_them(value: Any) -> None:
    try:
        expected = redis.Connection(protocol=3).encoder.encode(value)
    except UnicodeEncodeError:
        with pytest.raises(UnicodeEncodeError):
            encoded(value)
    else:
        assert encoded(value) == expected


# ---- The C on whole, well-formed replies ------------------------------------------------------------


def test_well_formed_replies_are_read_as_by_reference(programs: dict[str, Path], tmp_path: Path) -> None:
    """Random values and registries, read by the C: fuzzing spends its time on what is malformed."""
    streams: set[bytes] = set()

    @settings(deadline=None, max_examples=60, database=None)
    @given(st.sampled_from(Shape), st.integers(0, 255), entries, values)
    def collect(shape: Shape, piece: int, listed: list[str], value: Any) -> None:
        header = bytes([shape, Shape.VALUE, AS_RQ, piece, len(WANTED)]) + WANTED.encode()
        streams.add(header + resp3(listed) + resp3(value))

    collect()
    files = []
    for number, stream in enumerate(sorted(streams)):
        files.append(tmp_path / f'{number}')
        files[-1].write_bytes(stream)
    replay(programs['reply'], files)
