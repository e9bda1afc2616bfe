"""First inputs of the fuzz targets: what a real Redis answers to the core's commands, in RESP2 and RESP3."""

from __future__ import annotations

import hashlib
import socket
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from .reference import CUTS, KINDS_OF_VALUE, Shape, cut_and_collect, cut_as_rq

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / 'tools'))

from private_redis import PrivateRedis

Command = tuple[str | bytes, ...]

PREPARATION: tuple[Command, ...] = (
    ('FLUSHALL',),
    ('ZADD', 'failed', '1', 'failed-1', '2.5', 'failed-2', '+inf', 'é'),
    ('ZADD', 'started', '1', 'job-1:execution-1', '2', 'job-2:execution-2', '3', 'job-3:execution-3'),
    ('ZADD', 'odd', '1', 'no-colon', '2', 'two:colons:here', '3', 'é:1', '4', b'\xff:1', '5', ':', '6', ''),
    ('SET', 'text', 'no registry'),
    *(('ZADD', 'long', str(number), f'{number:08}-{"id" * 8}:{number}') for number in range(100)),
)
LISTING = (Shape.TEXTS, Shape.JOB_IDS, Shape.JOB_AND_IDS, Shape.HAS_JOB)
LISTED = ('failed', 'started', 'odd', 'long', 'nothing', 'text')
SCRIPTS = (
    "return {1, 'a', {'b', false, {}}, redis.status_reply('ok')}",
    "return {1, redis.error_reply('ERR no')}",
)
# Redis has an example of each kind of reply; most of them differ between the two protocols.
KINDS = ('string', 'integer', 'double', 'null', 'array', 'set', 'map', 'attrib', 'push', 'verbatim', 'true', 'false')
# The shapes that the first and all other replies of a connection are read into, and the commands.
EXCHANGES: tuple[tuple[tuple[Shape, Shape], tuple[Command, ...]], ...] = (
    ((Shape.INTEGER, Shape.INTEGER), (('ZREMRANGEBYSCORE', 'failed', '0', '0'), ('ZCARD', 'failed'))),
    ((Shape.INTEGER, Shape.INTEGER), (('ZCARD', 'text'), ('ZCARD', 'nothing'), ('ZREM', 'failed', 'x'))),
    ((Shape.SCORE, Shape.SCORE), tuple(('ZSCORE', 'failed', name) for name in ('failed-1', 'failed-2', 'é', 'x'))),
    ((Shape.NOTHING, Shape.NOTHING), (('PING',), ('ZRANGE', 'failed', '0', '-1', 'WITHSCORES'), ('NO-SUCH',))),
    ((Shape.VALUE, Shape.VALUE), (*(('EVAL', script, '0') for script in SCRIPTS), ('EVALSHA', '0' * 40, '0'))),
    ((Shape.VALUE, Shape.NOTHING), (('CLIENT', 'TRACKING', 'ON', 'BCAST'), ('SET', 'other', '1'), ('GET', 'other'))),
    *(
        ((Shape.INTEGER, shape), (('ZCARD', key), ('ZRANGE', key, '0', '-1')))
        for shape, key in product(LISTING, LISTED)
    ),
    *(
        ((shape, Shape.VALUE), (('DEBUG', 'PROTOCOL', kind), ('PING',)))
        for shape, kind in product((Shape.VALUE, Shape.TEXTS), (*KINDS, 'bignum'))
    ),
)
# What no server sends, or no registry holds: the shapes, the bytes.
STRANGE: tuple[tuple[tuple[Shape, Shape], bytes], ...] = (
    ((Shape.TEXTS, Shape.TEXTS), b'*4294967295\r\n$1\r\na\r\n'),
    ((Shape.JOB_IDS, Shape.JOB_IDS), b'*4294967296\r\n$1\r\na\r\n'),
    ((Shape.HAS_JOB, Shape.HAS_JOB), b'*1\r\n$9\r\njob-2:1:\xff\r\n'),
    ((Shape.HAS_JOB, Shape.HAS_JOB), b'*1\r\n$7\r\njob-2:1\r\n*1\r\n$7\r\njob-3:1\r\n*0\r\n'),
    ((Shape.HAS_JOB, Shape.HAS_JOB), b'*1\r\n$8\r\njob-22:1\r\n*1\r\n$6\r\njob-:1\r\n'),
    ((Shape.TEXTS, Shape.TEXTS), b'*2\r\n$2\r\na\xff\r\n'),
    ((Shape.TEXTS, Shape.TEXTS), b'*3\r\n$4\r\naa\xc3\xa9\r\n$9\r\n12345678\xff\r\n'),
    *(((shape, shape), b'*3\r\n$3\r\na:b\r\n$4\r\na:b:\r\n$1\r\n:\r\n') for shape in LISTING),
    *(((shape, shape), b'*3\r\n$3\r\na:b\r\n$9\r\n1:345678\xff\r\n$1\r\n:\r\n') for shape in LISTING),
    *(((shape, shape), b'*3\r\n$3\r\na:b\r\n$-1\r\n$3\r\nc:d\r\n') for shape in LISTING),
    *(((shape, shape), b'*3\r\n$3\r\na:b\r\n-ERR\r\n$1\r\nc\r\n:1\r\n') for shape in LISTING),
    *(((shape, shape), b'*3\r\n$03\r\na:b\r\n$+3\r\n') for shape in LISTING),
    *(((shape, shape), b'*3\r\n$3\r\na:b\r\n*1\r\n+a:c\r\n+d:e\r\n') for shape in LISTING),
)


def encode(command: Command) -> bytes:
    """Return the command in RESP."""
    words = [word.encode() if isinstance(word, str) else word for word in command]
    return b'*%d\r\n' % len(words) + b''.join(b'$%d\r\n%b\r\n' % (len(word), word) for word in words)


def answer(server: PrivateRedis, protocol: int, commands: tuple[Command, ...]) -> bytes:
    """Return the bytes that the server sends back, whatever they are."""
    received = b''
    with socket.create_connection(('127.0.0.1', server.port), timeout=10) as connection:
        for word, exchange in ((b'ready', (('HELLO', str(protocol)),)), (b'finished', commands)):
            connection.sendall(b''.join(encode(command) for command in (*exchange, ('ECHO', word))))
            received, end = b'', b'$%d\r\n%b\r\n' % (len(word), word)
            # Behind the last answer a push message may follow.
            while end not in received:
                received += connection.recv(1 << 16)
            received = received.replace(end, b'')
    return received


def reply_seeds() -> Iterator[bytes]:
    """Return inputs for reply_target.c; its first comment describes them."""
    wanted = b'job-2'
    streams = list(STRANGE)
    with PrivateRedis(enable_debug_command='yes') as server:
        answer(server, 2, PREPARATION)
        for shapes, commands in EXCHANGES:
            streams += [(shapes, answer(server, protocol, commands)) for protocol in (2, 3)]
    for number, (shapes, stream) in enumerate(streams):
        cut = CUTS.index(cut_and_collect if number % 4 == 0 else cut_as_rq)
        yield bytes([*shapes, cut, (0, 2, 30)[number % 3], len(wanted)]) + wanted + stream
    # Cut at every place of an entry.
    for piece in range(4, 24):
        yield bytes([Shape.TEXTS, Shape.TEXTS, 0, piece, 0]) + b'*19\r\n' + 19 * b'$5\r\nab:cd\r\n'


def command_seeds() -> Iterator[bytes]:
    """Return inputs for command_target.c: an argument of each kind, and some around the first size of the buffer."""
    for content in ('é1'.encode(), b'\xff\xff\xff', b'\1\0\0'):
        arguments = [
            b''.join(bytes([1, kind, times]) + content for times in (0, 200)) for kind in range(KINDS_OF_VALUE)
        ]
        yield from arguments
        yield b''.join(arguments)
    for times in range(145, 170, 2):
        yield bytes([1, 1, times]) + b'abc' + bytes([1, 1, 0]) + b'abc'


SEEDS = {'reply': reply_seeds, 'command': command_seeds}


def write_seeds(target: str, folder: Path) -> int:
    """Write the seeds of a target into `folder`, named by their content as libFuzzer does, and return how many."""
    folder.mkdir(parents=True, exist_ok=True)
    seeds = set(SEEDS[target]())
    for seed in seeds:
        (folder / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    return len(seeds)
