"""A program that ends while registries are in use, as its arguments say: MODULE URL WAY."""

from __future__ import annotations

import atexit
import builtins
import importlib
import sys
import threading
import time
from typing import Any

import redis

REGISTRIES: Any = importlib.import_module(sys.argv[1])
NAME = 'medium'
THREADS = 4


def registry_of(kind: str = 'FailedJobRegistry') -> Any:
    return getattr(REGISTRIES, kind)(NAME, connection=redis.Redis.from_url(sys.argv[2]))


REGISTRY = registry_of()


class Farewell:
    """Makes a call in __del__."""

    def __init__(self, registry: Any) -> None:
        self.registry = registry

    def __del__(self) -> None:
        # Any exception may occur by now, but the interpreter must not crash.
        try:
            self.registry.get_job_ids(0, 1, cleanup=False)
            'nobody' in self.registry  # noqa: B015
            self.registry.remove('nobody')
        except BaseException:
            pass


def call_for_ever(kind: str) -> None:
    registry = registry_of(kind)
    while True:
        registry.get_job_ids()
        registry.get_job_count()
        'nobody' in registry  # noqa: B015
        # RQ has no removing of a started job by its id.
        if kind == 'FailedJobRegistry':
            registry.remove('nobody')


def daemons() -> None:
    """End with calls in flight in daemon threads, at a random moment."""
    for kind in ('FailedJobRegistry', 'StartedJobRegistry') * (THREADS // 2):
        threading.Thread(target=call_for_ever, args=(kind,), daemon=True).start()
    time.sleep(float(sys.argv[4]))


def waiting() -> None:
    """End while daemon threads wait for a server that has stopped before the line on standard input."""
    registries = [registry_of(kind) for kind in ('FailedJobRegistry', 'StartedJobRegistry') * (THREADS // 2)]
    for registry in registries[1:]:
        registry.get_job_ids()
    print('ready', flush=True)
    sys.stdin.readline()
    for registry in registries:
        threading.Thread(target=registry.get_job_count, daemon=True).start()
    time.sleep(float(sys.argv[4]))


def at_exit() -> None:
    """Call from an atexit handler, with a client that was used before and with a new one."""

    def tell() -> None:
        print(len(REGISTRY.get_job_ids()), len(registry_of().get_job_ids()), REGISTRY.count, flush=True)

    assert len(REGISTRY.get_job_ids()) > 0
    atexit.register(tell)


def globals_deleted() -> None:
    """Call from __del__ of objects that go with the module, with sys, with builtins, and in a cycle."""
    module: Any = sys.modules[__name__]
    module.farewell = Farewell(REGISTRY)
    module.unused_farewell = Farewell(registry_of('StartedJobRegistry'))
    system: Any = sys
    system.farewell = Farewell(registry_of())
    in_builtins: Any = builtins
    in_builtins.farewell = Farewell(registry_of('StartedJobRegistry'))
    cycle = Farewell(registry_of())
    cycle.registry.cycle = cycle
    for farewell in (module.farewell, system.farewell, in_builtins.farewell):
        farewell.registry.get_job_ids()


def exits() -> None:
    """End by sys.exit in the middle of threads that are not daemons and make a last call."""

    def tell(kind: str) -> None:
        # One write: print() makes two, and the threads' lines would mix.
        sys.stdout.write(f'{len(registry_of(kind).get_job_ids())}\n')

    for kind in ('FailedJobRegistry', 'StartedJobRegistry'):
        threading.Thread(target=tell, args=(kind,)).start()
    sys.exit(3)


WAYS = {way.__name__: way for way in (daemons, waiting, at_exit, globals_deleted, exits)}

if __name__ == '__main__':
    WAYS[sys.argv[3]]()
