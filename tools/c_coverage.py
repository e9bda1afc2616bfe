"""Which lines and branches of src/*.c the tests run: prints them with those that no test runs, and fails below a limit.

python tools/c_coverage.py [pytest's arguments]      without folders: all of tests/, but for what is not instrumented

A child that is ended by a signal, by os._exit() or by exec writes no counts: what only such children do counts as
not run. Branches are the compiler's, with those of CPython's macros (Py_DECREF, assertions): they are told, not judged.
"""

from __future__ import annotations

import sys

from instrumented import InstrumentedCopy

LEAST_LINES = 95
# Threads count together.
COMPILE_FLAGS = ['--coverage', '-fprofile-update=atomic']
REPORT = ['--root', '.', '--object-directory', 'build', '--filter', 'src/']


def main() -> None:
    """Build, run the tests, report."""
    copy = InstrumentedCopy('coverage', COMPILE_FLAGS, ['--coverage'])
    tests = copy.test(*sys.argv[1:])
    limit = ['--fail-under-line', str(LEAST_LINES)]
    lines = copy.python('-m', 'gcovr', *REPORT, '--txt', '-', '--print-summary', *limit)
    if tests != 0:
        print('coverage: tests failed, see above')
    sys.exit(tests or lines)


if __name__ == '__main__':
    main()
