"""Static analysis of src/*.c: gcc's -fanalyzer, clang-tidy (.clang-tidy) and cppcheck; fails on any finding.

Each must also find something in deliberate_faults.c: else it does not look, and its silence says nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import embed_lua
import fetch_hiredis
import system_packages

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / 'src').glob('*.c'))
FAULTS = ROOT / 'tools' / 'deliberate_faults.c'
GENERATED = ROOT / 'build' / 'analysis'
PYTHON_HEADERS = sysconfig.get_path('include')

DIALECT = ['-std=c11']
OURS = ['-Isrc']
# What is not ours is not judged.
OTHERS = [option for path in ('vendor', str(GENERATED), PYTHON_HEADERS) for option in ('-isystem', path)]


def gcc(source: Path) -> list[str]:
    """Return gcc's command: its path-sensitive analysis, which needs no optimisation, and the usual warnings."""
    flags = ['-fanalyzer', '-Wall', '-Wextra', '-Werror', '-O1']
    return ['gcc', *DIALECT, *flags, *OURS, *OTHERS, '-c', str(source), '-o', os.devnull]


def clang_tidy(source: Path) -> list[str]:
    """Return clang-tidy's command."""
    return ['clang-tidy', '--quiet', '--config-file=.clang-tidy', str(source), '--', *DIALECT, *OURS, *OTHERS]


def cppcheck(source: Path) -> list[str]:
    """Return cppcheck's command. It knows the C API from its own description, not from Python's headers."""
    kinds = '--enable=warning,performance,portability,style'
    flags = ['--quiet', '--std=c11', '--error-exitcode=1', '--inline-suppr', '--library=python,posix']
    return ['cppcheck', *flags, kinds, *OURS, str(source)]


ANALYZERS: tuple[Callable[[Path], list[str]], ...] = (gcc, clang_tidy, cppcheck)


def findings(command: list[str]) -> str:
    """Return what an analyzer has to say of a source, with its command; nothing where it passes."""
    result = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return '' if result.returncode == 0 else f'{" ".join(command)}\n{result.stdout}'


def analyze() -> bool:
    """Run every analyzer over every source, and tell whether all is well."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        commands = [analyzer(source) for analyzer in ANALYZERS for source in SOURCES]
        found = [text for text in pool.map(findings, commands) if text]
        silent = [
            analyzer.__name__
            for analyzer, text in zip(ANALYZERS, pool.map(findings, [a(FAULTS) for a in ANALYZERS]), strict=True)
            if FAULTS.name not in text.partition('\n')[2]
        ]
    print('\n'.join(found), end='')
    for name in silent:
        print(f'{name} finds nothing in {FAULTS.name}: it does not look')
    print(f'{len(ANALYZERS)} analyzers over {len(SOURCES)} sources: {len(found)} with findings')
    return not found and not silent


def main() -> None:
    """Install what is missing where that is allowed, and analyze."""
    lacking = system_packages.ensure_programs(['gcc', 'clang-tidy', 'cppcheck'], print)
    if lacking:
        sys.exit(f'analyze: this check needs {", ".join(lacking)}')
    fetch_hiredis.fetch()
    embed_lua.write_headers(sorted((ROOT / 'src' / 'lua').rglob('*.lua')), GENERATED)
    sys.exit(0 if analyze() else 1)


if __name__ == '__main__':
    main()
