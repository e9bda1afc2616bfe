"""Under valgrind: the core reads nothing that is not there or was never written, and loses no block."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
from depth import IS_DEEP

from .preload import program_environment
from .stacks import Stack

if TYPE_CHECKING:
    from private_redis import PrivateRedis

PATIENCE = 900
OPTIONS = ['--leak-check=full', '--show-leak-kinds=definite', '--num-callers=40', '--xml=yes']

pytestmark = [
    pytest.mark.skipif(not IS_DEEP, reason='part of make check-memory: valgrind is slow'),
    pytest.mark.skipif(shutil.which('valgrind') is None, reason='no valgrind: apt-get install valgrind'),
]


def stack_of(error: ElementTree.Element) -> Stack:
    """Return where the error was, in the form of the other checks."""
    return Stack(
        [
            f'{frame.findtext("obj")} {frame.findtext("ip")} {frame.findtext("fn") or "?"}'
            for frame in error.iterfind('stack[1]/frame')
        ]
    )


def errors_of_ours(report: Path) -> list[str]:
    """Return the errors in which the core, or C code that it called, was at work.

    CPython and libcrypto have some of their own: no list of suppressions is needed to tell them apart.
    """
    stacks = [(error.findtext('kind'), stack_of(error)) for error in ElementTree.parse(report).iter('error')]
    return [f'{kind}\n{stack}' for kind, stack in stacks if stack.is_ours()]


def watch(report: Path, *program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program of Python's under valgrind."""
    return subprocess.run(
        ['valgrind', *OPTIONS, f'--xml-file={report}', sys.executable, '-W', 'ignore', *program],
        env={**program_environment(), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize('protocol', [2, 3])
def test_valgrind_finds_no_error_in_the_core(redis_server: PrivateRedis, tmp_path: Path, protocol: int) -> None:
    report = tmp_path / 'valgrind.xml'
    ran = watch(report, '-m', 'memory.core_calls', str(redis_server.port), f'--protocol={protocol}')
    assert ran.returncode == 0, ran.stderr
    assert errors_of_ours(report) == []


def test_lost_block_is_found_by_valgrind(tmp_path: Path) -> None:
    report = tmp_path / 'valgrind.xml'
    lose = (
        'import ctypes; malloc = ctypes.CDLL(None).malloc; malloc.restype = ctypes.c_void_p; malloc(1000); malloc(2000)'
    )
    assert watch(report, '-c', lose).returncode == 0
    kinds = {error.findtext('kind') for error in ElementTree.parse(report).iter('error')}
    assert 'Leak_DefinitelyLost' in kinds
