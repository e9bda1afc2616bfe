"""What reply.h and command.h promise, in plain Python: the fuzz targets compare the C with it.

Written for reading, not for speed: it sees all bytes at once and takes them apart recursively. Where RESP leaves room
(how a number is written, what a line may contain) it is as strict as hiredis. Only the standard library is used: the
targets run it in an interpreter of their own.
"""

from __future__ import annotations

import gc
import math
import re
import struct
import sys
from collections.abc import Callable
from enum import IntEnum
from typing import Any, NoReturn

MAX_DEPTH = 1024
MAX_ELEMENTS = 2**32 - 1
MAX_DOUBLE_LENGTH = 325

INTEGER = re.compile(rb'0|-?[1-9][0-9]*')
DOUBLE = re.compile(rb'-?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?')
SPECIAL_DOUBLES = {b'inf': math.inf, b'-inf': -math.inf, b'nan': math.nan, b'-nan': math.nan}
BIG_NUMBER = re.compile(rb'-?[0-9]*')
# hiredis looks the letter up with strchr(), which finds the end of the text as well.
TRUE, FALSE = (b't', b'T'), (b'f', b'F', b'\0')

# As deep as replies may be nested, a few frames for each.
sys.setrecursionlimit(10 * MAX_DEPTH)


class Shape(IntEnum):
    """The reply_shape of reply.h, in its order."""

    INTEGER = 0
    SCORE = 1
    VALUE = 2
    NOTHING = 3
    TEXTS = 4
    JOB_IDS = 5
    JOB_AND_IDS = 6
    HAS_JOB = 7


LISTS = (Shape.TEXTS, Shape.JOB_IDS, Shape.JOB_AND_IDS, Shape.HAS_JOB)


class Incomplete(Exception):
    """More bytes are needed."""


class Broken(Exception):
    """No RESP, or a reply of another shape."""


class Raised(Exception):
    """Building the reply raised the exception that is the argument."""


# ---- What may stand for RQ's parse_composite_key --------------------------------------------------


def cut_as_rq(text: str) -> Any:
    """Cut at the colon; more than one is an error, none an entry of an older RQ."""
    parts = text.split(':')
    if len(parts) == 1:
        return parts[0], ''
    job_id, execution_id = parts
    return job_id, execution_id


def cut_oddly(text: str) -> Any:
    """Return what are no two ids."""
    return (None, [text, text], (text,), (len(text), text), (text, text, text))[len(text) % 5]


def refuse_to_cut(text: str) -> NoReturn:
    """Raise."""
    raise KeyError(text)


def cut_and_collect(text: str) -> Any:
    """Run the garbage collector, which meets every list that is being filled."""
    gc.collect(0)
    return cut_as_rq(text)


CUTS: tuple[Callable[[str], Any], ...] = (cut_as_rq, cut_oddly, refuse_to_cut, cut_and_collect)


# ---- Replies --------------------------------------------------------------------------------------


class Reply:
    """One reply, read from `data` at `position`."""

    def __init__(self, data: bytes, position: int, shape: Shape, wanted: bytes, cut: Callable[[str], Any]) -> None:
        self.data = data
        self.position = position
        self.shape = shape
        self.wanted = wanted
        self.cut = cut
        self.found = False
        self.is_out_of_band = False
        self.error: bytes | None = None

    def read(self) -> Any:
        """Return the reply's value, of its shape."""
        value = self.item(0)
        return self.found if self.shape is Shape.HAS_JOB else value

    # Bytes

    def take(self, count: int) -> bytes:
        if len(self.data) - self.position < count:
            raise Incomplete
        self.position += count
        return self.data[self.position - count : self.position]

    def line(self) -> bytes:
        end = self.data.find(b'\r\n', self.position)
        if end < 0:
            raise Incomplete
        return self.take(end + 2 - self.position)[:-2]

    def number(self) -> int:
        text = self.line()
        if not INTEGER.fullmatch(text) or not -(2**63) <= int(text) < 2**63:
            raise Broken
        return int(text)

    def length(self, limit: int) -> int:
        length = self.number()
        if not -1 <= length <= limit:
            raise Broken
        return length

    # Items: a kind of RESP each

    def item(self, depth: int) -> Any:
        kind = self.take(1)
        if kind in b'*~%|>':
            return self.array(kind, depth)
        if kind in b'$=':
            return self.bulk(kind, depth)
        if kind == b':':
            return self.scalar(self.number(), depth, Shape.INTEGER)
        if kind == b',':
            return self.scalar(self.double(), depth, Shape.SCORE)
        if kind == b'_':
            return self.nil(depth)
        if kind == b'#':
            return self.boolean(depth)
        if kind in b'+-(':
            return self.simple(kind, depth)
        raise Broken

    def double(self) -> float:
        text = self.line()
        if len(text) > MAX_DOUBLE_LENGTH:
            raise Broken
        if text.lower() in SPECIAL_DOUBLES:
            return SPECIAL_DOUBLES[text.lower()]
        if not DOUBLE.fullmatch(text):
            raise Broken
        value = float(text)
        is_zero = not re.search(rb'[1-9]', re.split(rb'[eE]', text)[0])
        if math.isinf(value) or (value == 0 and not is_zero):
            raise Broken
        return value

    def nil(self, depth: int) -> Any:
        if self.line():
            raise Broken
        return self.scalar(None, depth, Shape.SCORE)

    def boolean(self, depth: int) -> Any:
        text = self.line()
        if text not in TRUE + FALSE:
            raise Broken
        return self.scalar(text in TRUE, depth)

    def simple(self, kind: bytes, depth: int) -> Any:
        text = self.line()
        if kind == b'(':
            if not BIG_NUMBER.fullmatch(text):
                raise Broken
        elif b'\r' in text or b'\n' in text:
            raise Broken
        return self.string(kind, text, depth)

    def bulk(self, kind: bytes, depth: int) -> Any:
        length = self.length(2**63 - 1)
        if length == -1:
            return self.scalar(None, depth, Shape.SCORE)
        text = self.take(length + 2)[:-2]
        if kind == b'=' and (len(text) < 4 or text[3:4] != b':'):
            raise Broken
        return self.string(kind, text, depth)

    def array(self, kind: bytes, depth: int) -> Any:
        if depth >= MAX_DEPTH:
            raise Broken
        length = self.length(MAX_ELEMENTS)
        if length == -1:
            return self.scalar(None, depth, Shape.SCORE)
        if depth == 0 and kind in b'>|':
            self.is_out_of_band = True
        kept: list[Any] | None = None
        if not self.is_skipped(depth) and self.shape is not Shape.HAS_JOB:
            if self.shape is not Shape.VALUE and not (self.shape in LISTS and depth == 0):
                raise Broken
            kept = []
        for _ in range(length * 2 if kind in b'%|' else length):
            value = self.item(depth + 1)
            if kept is not None:
                kept.append(value)
        return kept

    # Shapes

    def is_skipped(self, depth: int) -> bool:
        below = self.shape is Shape.HAS_JOB and depth > 0
        return self.is_out_of_band or self.error is not None or self.shape is Shape.NOTHING or below

    def scalar(self, value: Any, depth: int, *shapes: Shape) -> Any:
        if self.is_skipped(depth):
            return None
        if self.shape not in (Shape.VALUE, *shapes):
            raise Broken
        return value

    def string(self, kind: bytes, text: bytes, depth: int) -> Any:
        if kind == b'-':
            if not self.is_skipped(depth):
                self.error = text
            return None
        try:
            if self.shape is Shape.HAS_JOB and depth > 0 and not self.is_out_of_band:
                return self.look_at(text)
            return None if self.is_skipped(depth) else self.entry(text, depth)
        except Broken:
            raise
        except Exception as error:
            raise Raised(error) from error

    def look_at(self, text: bytes) -> None:
        job_id = self.ids(text)[0]
        if not isinstance(job_id, str):
            raise TypeError('bad argument type for built-in operation')
        self.found |= job_id.encode() == self.wanted

    def entry(self, text: bytes, depth: int) -> Any:
        if self.shape is Shape.VALUE:
            return text
        if self.shape is Shape.SCORE:
            return float(text)
        if self.shape not in LISTS or depth == 0:
            raise Broken
        if self.shape is Shape.TEXTS:
            return text.decode()
        ids = self.ids(text)
        return ids if self.shape is Shape.JOB_AND_IDS else ids[0]

    def ids(self, text: bytes) -> tuple[Any, Any]:
        if text.isascii() and text.count(b':') == 1:
            job_id, _, execution_id = text.decode().partition(':')
            return job_id, execution_id
        ids = self.cut(text.decode())
        if not isinstance(ids, tuple) or len(ids) != 2:
            raise TypeError(f'parse_composite_key() returned {ids!r}, not two ids')
        return ids


def transcript(shapes: tuple[int, int], cut: int, wanted: bytes, data: bytes, replies: int) -> list[str]:
    """Return a line about each reply in `data`, up to the one that ends the connection."""
    lines: list[str] = []
    position = 0
    while len(lines) < replies:
        shape = Shape(shapes[bool(lines)])
        try:
            reply, value = first_reply(shape, cut, wanted, data, position)
        except Incomplete:
            return [*lines, 'INCOMPLETE']
        except Broken:
            return [*lines, 'BROKEN']
        except Raised as raised:
            (error,) = raised.args
            return [*lines, f'RAISED {type(error).__name__}: {error}']
        position = reply.position
        if reply.error is not None:
            lines.append(f'IS_ERROR bytes {reply.error!r}' + rest(data, position))
        else:
            lines.append(f'READY {type(value).__name__} {value!r}' + rest(data, position))
    return lines


def first_reply(shape: Shape, cut: int, wanted: bytes, data: bytes, position: int) -> tuple[Reply, Any]:
    """Return the reply behind any push messages and attributes, and its value."""
    while True:
        reply = Reply(data, position, shape, wanted, CUTS[cut])
        value = reply.read()
        if not reply.is_out_of_band:
            return reply, value
        position = reply.position


def rest(data: bytes, position: int) -> str:
    """Tell whether there is more than was read."""
    return ', and more' if position < len(data) else ''


# ---- Commands -------------------------------------------------------------------------------------

Addition = tuple[str, Any]
KINDS_OF_VALUE = 15
# Where a number is written differently from its neighbours.
BOUNDS = (0, -1, 9, -10, 255, 2**31, -(2**32), 10**18, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1)


def additions(data: bytes) -> list[tuple[str, list[Addition]]]:
    """Return commands made of arbitrary bytes: names, and how each argument is added, with its value.

    Of each six bytes, one says whether a command begins, one the kind of the argument, and one how often the three
    that follow are repeated.
    """
    commands: list[tuple[str, list[Addition]]] = []
    for start in range(0, len(data), 6):
        begin, kind, times, *rest = data[start : start + 6].ljust(6, b'\0')
        if begin % 4 == 0 or not commands:
            commands.append((('ZADD', 'ZRANGE', 'EVALSHA')[begin % 3], []))
        commands[-1][1].append(addition(kind, bytes(rest) * (times + 1)))
    return commands


def addition(kind: int, content: bytes) -> Addition:
    """Return one argument, and the function of command.h that adds it."""
    whole = int.from_bytes(content, 'little', signed=True)
    values: tuple[Addition, ...] = (
        ('text', content.replace(b'\0', b'')),
        ('bytes', content),
        ('integer', int.from_bytes(content[:8], 'little', signed=True)),
        ('integer', BOUNDS[whole % (len(BOUNDS) - 2)]),
        ('object', content.decode('utf-8', 'replace')),
        ('object', content.decode('utf-8', 'surrogateescape')),
        ('object', content.decode('utf-16', 'replace')),
        ('object', content),
        ('object', whole),
        ('object', BOUNDS[whole % len(BOUNDS)]),
        ('object', 10 ** (whole % 6000)),
        ('object', struct.unpack('<d', content.ljust(8, b'\0')[:8])[0]),
        ('object', float(whole % 1000) / 8),
        ('argument', content.decode('utf-8', 'replace')),
        ('argument text', content.replace(b'\0', b'')),
    )
    assert len(values) == KINDS_OF_VALUE
    return values[kind % KINDS_OF_VALUE]


def encoded(value: Any) -> bytes:
    """Return a value as redis-py sends it."""
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else repr(value).encode()


def written(commands: list[tuple[str, list[Addition]]]) -> list[list[bytes]] | str:
    """Return what the server is to understand, or the first error."""
    try:
        return [[name.encode(), *(encoded(value) for _, value in arguments)] for name, arguments in commands]
    except ValueError as error:
        return f'{type(error).__name__}: {error}'


def understood(data: bytes) -> list[list[bytes]]:
    """Return the commands that a server finds in these bytes."""
    found = []
    position = 0
    while position < len(data):
        reply = Reply(data, position, Shape.VALUE, b'', refuse_to_cut)
        found.append(reply.read())
        position = reply.position
    return found
