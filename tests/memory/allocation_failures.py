"""A program: make one scenario's allocations fail, one after the other, and tell what came of each.

Runs with failing_malloc preloaded (see preload.py). Writes a line of JSON for each allocation, flushed before the
next one: where this process crashes, the one behind the last line did it.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import re
import signal
import sys
import threading
from collections.abc import Callable
from itertools import count
from typing import Any

from host.descriptors import open_descriptors

from .scenarios import SCENARIOS, Scenario, run_scenario
from .stacks import Stack
from .world import World

# Growth by caches happens once; that of a leak each time.
REPEATS = 6
HANGS_AFTER = 10
# A Python function that CPython could not leave properly for want of a frame. Of ours it says "<method ...".
LOST_BY_CPYTHON = re.compile(r'<function .* returned NULL without setting an exception$')


class Shim:
    """What failing_malloc.c offers."""

    def __init__(self, path: str) -> None:
        library = ctypes.PyDLL(path)
        self._call = library.failing_call
        self._call.argtypes = (ctypes.py_object, ctypes.c_long, ctypes.c_int)
        self._call.restype = ctypes.py_object
        self.failures = library.failures
        self.failures.restype = ctypes.c_long
        self.blocks_alive = library.blocks_alive
        self.blocks_alive.restype = ctypes.c_long
        self._stack = library.failure_stack
        self._stack.argtypes = (ctypes.c_char_p, ctypes.c_size_t)
        library.watch_end()

    def call(self, callable_: Callable[[], Any], number: int, once: bool) -> Any:
        """Call with the allocation of that number failing, and the later ones unless `once`."""
        return self._call(callable_, number, once)

    def stack(self) -> Stack:
        """Return where the first failure was."""
        text = ctypes.create_string_buffer(1 << 15)
        length = self._stack(text, len(text))
        return Stack(text.raw[:length].decode().splitlines())


class Program:
    """Runs one scenario, with the allocations from `start` on failing."""

    def __init__(self, shim: Shim, world: World, scenario: Scenario, once: bool) -> None:
        self.shim = shim
        self.world = world
        self.scenario = scenario
        self.once = once
        self.words = ''
        self.before: Any = None
        self.after: Any = None

    def plain(self) -> None:
        """Make the call with memory enough."""
        outcome = run_scenario(self.world, self.scenario)
        if outcome != self.scenario.outcome:
            raise AssertionError(f'with memory enough: {outcome!r}, not {self.scenario.outcome!r}')

    def warm_up(self) -> None:
        """Fill what is filled on first use, and learn the data before and after."""
        for _ in range(3):
            self.plain()
        if self.scenario.changes:
            self.after = self.world.state()
            self.world.put_back()
            self.before = self.world.state()
        self.plain()

    def fail(self, call: Callable[[], Any], number: int) -> Any:
        """Make the call with that allocation failing, and keep the words of what it raises."""
        try:
            return self.shim.call(call, number, self.once)
        except BaseException as error:
            self.words = str(error)
            raise

    def once_more(self, number: int) -> dict[str, Any]:
        """Let the allocation of that number fail in a call."""
        self.words = ''
        name, value = run_scenario(self.world, self.scenario, lambda call: self.fail(call, number))
        told = {'number': number, 'failures': self.shim.failures(), 'error': name, 'wrong': ''}
        if name == 'SystemError' and LOST_BY_CPYTHON.match(self.words):
            told['error'] = 'MemoryError'
        elif name != 'MemoryError' and (name, value) != self.scenario.outcome:
            told['wrong'] = f'{name} {self.words} {value!r}'
        del value
        told['half'] = False
        if self.scenario.changes and self.scenario.is_atomic:
            told['half'] = self.world.state() not in (self.before, self.after)
        return told

    def alive(self) -> int:
        """Return how many blocks are alive, garbage collected.

        The type cache keeps the names that were looked up last, until others take their places. redis-py's clients,
        those of RESP3 above all, are part of reference cycles: what is let go of by weak references' callbacks
        while one is collected can wait for the next collection.
        """
        sys._clear_type_cache()
        while gc.collect() > 0:
            pass
        return int(self.shim.blocks_alive())

    def in_use(self) -> int:
        """Return how many descriptors are open, garbage collected."""
        gc.collect()
        return len(open_descriptors())

    def look(self, number: int) -> tuple[dict[str, Any], Stack]:
        """Let that allocation fail, and repeat the call with memory enough."""
        told = self.once_more(number)
        stack = self.shim.stack()
        try:
            self.plain()
        except BaseException as error:
            told['next'] = f'{type(error).__name__}: {error}'
        return told, stack

    def growth(self, number: int, where: Stack) -> int:
        """Return by how many blocks each repetition of the failure grows the process; 0 if not by one each."""
        before = self.alive()
        for _ in range(REPEATS):
            _, stack = self.look(number)
            # Code that CPython specialises during the run does without some allocations: then this one is another.
            if stack != where:
                return 0
            del stack
        return (self.alive() - before) // REPEATS

    def leaks(self, number: int, where: Stack) -> int:
        """Return by how many blocks each repetition of the failure grows the process, now and later."""
        first = self.growth(number, where)
        return min(first, self.growth(number, where)) if first > 0 else 0

    def run(self, start: int, write: Callable[[dict[str, Any]], None]) -> None:
        """Go through the allocations until the call has no more of them."""
        # Before anything that is made anew and must be collected.
        gc.freeze()
        self.warm_up()
        descriptors = self.in_use()
        alive = self.alive()
        for number in count(start):
            write({'begin': number})
            signal.alarm(HANGS_AFTER)
            told, stack = self.look(number)
            if not told['failures']:
                write(told)
                break
            told['stack'] = stack.frames
            told['descriptors'] = self.in_use() - descriptors
            descriptors += told['descriptors']
            if stack.is_ours():
                now = self.alive()
                told['leaked'] = self.leaks(number, stack) if now > alive else 0
                alive = self.alive()
            write(told)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('shim')
    parser.add_argument('port', type=int)
    parser.add_argument('scenario', choices=[*SCENARIOS])
    parser.add_argument('--start', type=int, default=1)
    parser.add_argument('--once', action='store_true')
    parser.add_argument('--protocol', type=int, default=2)
    parser.add_argument('--thread', action='store_true')
    parser.add_argument('--tls', nargs=2, metavar=('PORT', 'AUTHORITY'), help='the same server behind TLS')
    arguments = parser.parse_args()
    tls = {}
    if arguments.tls:
        port, authority = arguments.tls
        tls = {'host': 'localhost', 'port': int(port), 'ssl': True, 'ssl_ca_certs': authority}

    def write(told: dict[str, Any]) -> None:
        print(json.dumps(told), flush=True)

    def work() -> None:
        program.run(arguments.start, write)

    world = World(arguments.port, protocol=arguments.protocol, **tls)
    program = Program(Shim(arguments.shim), world, SCENARIOS[arguments.scenario], arguments.once)
    if arguments.thread:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    else:
        work()


if __name__ == '__main__':
    sys.exit(main())
