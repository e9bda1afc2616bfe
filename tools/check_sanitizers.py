"""The tests under sanitizers: AddressSanitizer with UndefinedBehaviorSanitizer, then ThreadSanitizer; no finding.

python tools/check_sanitizers.py [--only address|thread] [--short] [pytest's arguments]

Python itself is not instrumented, so the sanitizer's library is preloaded. AddressSanitizer sees every access of the
core and of hiredis, and every allocation of the process. ThreadSanitizer sees the core's accesses, and through its own
versions of the locking functions the GIL, which orders them. First the faults of deliberate_faults.c must be found, in
the same arrangement. Findings go to files, whatever becomes of the process and of what it prints: a forked child, a
worker of pytest, a subprocess of a test. Only UndefinedBehaviorSanitizer's do not, which end the process and so fail
its test.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from dataclasses import dataclass, field
from pathlib import Path

from instrumented import InstrumentedCopy, compiler, runtime_library

FAULTS = Path(__file__).with_name('deliberate_faults.c')
CALL = 'import ctypes, sys; library = ctypes.CDLL(sys.argv[1]); '
# Long enough to overlap: what only follows one another is ordered by the GIL, and no race.
IN_THREADS = (
    'from threading import Thread; '
    'threads = [Thread(target=library.count_by_hand, args=(3_000_000,)) for _ in range(4)]; '
    '[thread.start() for thread in threads]; [thread.join() for thread in threads]'
)
# They replace malloc(), measure what the process takes, or compile with sanitizers themselves.
MEMORY_OF_THEIR_OWN = ['tests/memory', 'tests/isolated', 'tests/project/test_fuzz_corpus.py']
CORE_TESTS = [
    'tests/fastpath/test_executions.py',
    'tests/fastpath/test_long_listings.py',
    'tests/fastpath/test_raising_arguments.py',
    'tests/fastpath/test_registry_init.py',
    'tests/fastpath/test_registry_reads.py',
    'tests/fastpath/test_registry_remove.py',
    'tests/fastpath/test_registry_requeue.py',
]


@dataclass(frozen=True)
class Check:
    """One build, how it is run, what it must find in the faults, and the tests that it is for: all, and a choice."""

    name: str
    flags: list[str]
    libraries: list[str]
    options: dict[str, str]
    faults: dict[str, str]
    harmless: list[str] = field(default_factory=list)
    tests: list[str] = field(default_factory=list)
    short: list[str] = field(default_factory=list)


CHECKS = [
    Check(
        name='address',
        flags=['-fsanitize=address,undefined', '-fno-sanitize-recover=undefined'],
        libraries=['libasan.so', 'libubsan.so'],
        # CPython keeps objects to the end on purpose: leaks are looked for by the tests of memory.
        options={'ASAN_OPTIONS': 'detect_leaks=0', 'UBSAN_OPTIONS': 'print_stacktrace=1'},
        faults={
            CALL + 'library.read_past_the_end(0)': 'heap-buffer-overflow',
            CALL + 'library.overflow(2)': 'signed integer overflow',
        },
        tests=['tests', *(f'--ignore={path}' for path in MEMORY_OF_THEIR_OWN)],
        short=[*CORE_TESTS, 'tests/faults/test_lying_servers.py', 'tests/host/test_reentrancy.py'],
    ),
    Check(
        name='thread',
        flags=['-fsanitize=thread'],
        libraries=['libtsan.so'],
        # Tests fork with threads running, and the children start threads of their own.
        options={'TSAN_OPTIONS': 'die_after_fork=0'},
        faults={CALL + IN_THREADS: 'data race'},
        # The same under the GIL: that must not be taken for a race.
        harmless=[CALL.replace('CDLL', 'PyDLL') + IN_THREADS],
        tests=['tests/host/test_threads.py', 'tests/host/test_forks.py', 'tests/clients/test_caps.py'],
        short=['tests/host/test_threads.py'],
    ),
]


class SanitizedCopy:
    """A copy of the checkout that is built and run under one check."""

    def __init__(self, check: Check) -> None:
        self.check = check
        # Read before anything is preloaded.
        libraries = ' '.join(runtime_library(name) for name in check.libraries)
        self.copy = InstrumentedCopy(check.name, [*check.flags, '-fno-omit-frame-pointer'], check.flags)
        self.findings = self.copy.folder / 'findings'
        self.findings.mkdir()
        options = {name: f'{value}:log_path={self.findings}/found' for name, value in check.options.items()}
        # With Python's own allocator the sanitizer would see large arenas, not objects.
        self.environment = {**options, 'LD_PRELOAD': libraries, 'PYTHONMALLOC': 'malloc'}

    def found(self) -> str:
        """Return the findings since the last time."""
        files = sorted(self.findings.iterdir())
        texts = [path.read_text(errors='replace') for path in files]
        for path in files:
            path.unlink()
        return '\n'.join(texts)

    def must_find_faults(self) -> None:
        """End unless the deliberate faults are found here, and nothing where there is none."""
        library = self.copy.folder / 'deliberate_faults.so'
        build = [*compiler(), '-O0', '-g', *self.check.flags, '-shared', '-fPIC', str(FAULTS), '-o', str(library)]
        self.copy.must_run(*build)
        for program, finding in self.check.faults.items():
            if finding not in self._found_in(program, library):
                sys.exit(f'{self.check.name}: no {finding!r} is found in {FAULTS.name}: it does not look')
        for program in self.check.harmless:
            if found := self._found_in(program, library):
                sys.exit(f'{self.check.name}: a finding where there is no fault:\n{found}')

    def _found_in(self, program: str, library: Path) -> str:
        status, said = self.copy.ask(sys.executable, '-c', program, str(library), **self.environment)
        # UndefinedBehaviorSanitizer, together with another, keeps to stderr and ends the process.
        return self.found() + (said if status != 0 else '')

    def passes(self, tests: list[str], arguments: list[str]) -> bool:
        """Run the tests, and tell whether they pass and nothing is found."""
        status = self.copy.test(*tests, *arguments, **self.environment)
        found = self.found()
        print(found or f'{self.check.name}: nothing found', flush=True)
        return status == 0 and not found


def main() -> None:
    """Run all checks, or the one that is asked for."""
    parser = ArgumentParser(description="Run the tests under sanitizers. Other arguments are pytest's.")
    parser.add_argument('--only', choices=[check.name for check in CHECKS])
    parser.add_argument('--short', action='store_true', help='a choice of the tests')
    options, arguments = parser.parse_known_args()
    passed = []
    for check in CHECKS:
        if options.only in {None, check.name}:
            copy = SanitizedCopy(check)
            copy.must_find_faults()
            passed.append(copy.passes(check.short if options.short else check.tests, arguments))
    sys.exit(0 if all(passed) else 1)


if __name__ == '__main__':
    main()
