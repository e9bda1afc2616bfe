"""A program: registries in sub-interpreters, which share the GIL with the first one or have one of their own.

Several that share the GIL run at the same time in threads. Those of the other kind run one after the other:
CPython 3.13.0 crashes where several of them import RQ at the same time, with ours or without.
Prints `KIND: what RQ does; what ours do`.
"""

from __future__ import annotations

import importlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

THREADS = 4
ROUNDS = 50

# One line of outcomes on the pipe: what importing RQ came to, and what using ours did.
CODE = """\
import os
def outcome(work):
    try:
        return work()
    except BaseException as error:
        return f'{{type(error).__name__}}: {{error}}'
def import_rq():
    import rq.registry
    return 'works'
def use():
    import redis
    from rqreg_ext.registry import FailedJobRegistry
    client = redis.Redis.from_url({url!r})
    registry = FailedJobRegistry({name!r}, connection=client)
    client.zadd(registry.key, {{'one': 2**40, 'two': 2**41}})
    for _ in range({rounds}):
        assert registry.count == 2
        assert registry.get_job_ids() == ['one', 'two']
        assert 'one' in registry and 'nobody' not in registry
        assert registry.remove('nobody') == 0
    assert len(client.client_list()) > 1
    try:
        registry.requeue('nobody')
    except Exception as error:
        assert type(error).__name__ == 'NoSuchJobError', error
    return 'works'
rq = outcome(import_rq)
import sys
sys.path[:0] = {path!r}
os.write({pipe}, f'{{rq}}; {{outcome(use)}}\\n'.encode())
"""


def interpreters_module() -> Any:
    """Return CPython's module for sub-interpreters, under the name that it has in this release."""
    try:
        return importlib.import_module('_interpreters')
    except ImportError:
        return importlib.import_module('_xxsubinterpreters')


def run_one(interpreters: Any, isolated: bool, number: int) -> str:
    """Make a sub-interpreter, use registries in it, destroy it, and return the line that it wrote."""
    reading, writing = os.pipe()
    code = CODE.format(url=sys.argv[1], name=f'sub-{number}', rounds=ROUNDS, path=sys.path[1:], pipe=writing)
    if sys.version_info >= (3, 13):
        interpreter = interpreters.create('isolated' if isolated else 'legacy')
    else:
        interpreter = interpreters.create(isolated=isolated)
    failure = interpreters.run_string(interpreter, code)
    interpreters.destroy(interpreter)
    os.close(writing)
    with open(reading) as pipe:
        return pipe.read().strip() or str(failure)


def main() -> None:
    """Run some of each kind, and the first interpreter once more after they are gone."""
    interpreters = interpreters_module()
    for kind, at_once in (('legacy', THREADS), ('isolated', 1)):
        run = partial(run_one, interpreters, kind == 'isolated')
        with ThreadPoolExecutor(at_once) as pool:
            for line in sorted({*pool.map(run, range(2 * THREADS))}):
                print(f'{kind}: {line}')
    import redis

    from rqreg_ext.registry import FailedJobRegistry

    print(f'first: {FailedJobRegistry("sub-0", connection=redis.Redis.from_url(sys.argv[1])).get_job_ids()}')


if __name__ == '__main__':
    main()
