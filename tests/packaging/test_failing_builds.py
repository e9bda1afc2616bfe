"""A build that cannot succeed says what it lacks and the remedy, where pip's output ends; so does the bootstrap."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import python_without_headers
from offline import FreshVenv, run

VERSION = f'{sys.version_info.major}.{sys.version_info.minor}'
NEEDS = 'rqreg-ext is compiled from C, which needs '
# By the system that this is.
HEADER_PACKAGES = (f'python{VERSION}-dev', f'python{VERSION}-devel', 'python3-devel', 'python3-dev', 'xcode-select')


def output_of_failed_install(venv: FreshVenv, checkout: Path, **variables: str) -> list[str]:
    """Try to install the checkout, and return the lines that the build printed."""
    result = venv.try_pip('install', '--no-deps', '--no-build-isolation', '.', cwd=checkout, **variables)
    assert result.returncode != 0
    assert 'Traceback' not in result.stdout, result.stdout
    lines = [line.strip() for line in result.stdout.splitlines()]
    return lines[: lines.index('[end of output]')]


def failed_install(venv: FreshVenv, checkout: Path, **variables: str) -> list[str]:
    """Try to install the checkout, and return what the build printed last, from the line on that says what it needs."""
    lines = output_of_failed_install(venv, checkout, **variables)
    (start,) = (number for number, line in enumerate(lines) if line.startswith(NEEDS))
    return lines[start:]


def failed_bootstrap(python: Path, checkout: Path, **variables: str) -> list[str]:
    """Try what every make target does first, and return what it printed."""
    arguments = ('tools/bootstrap.py', '--rq', '3.0.0', '--redis', '8.1.0')
    result = run(python, *arguments, cwd=checkout, **variables)
    assert result.returncode == 1, result.stdout
    assert not (checkout / '.venv').exists()
    first, *others = (line.strip() for line in result.stdout.splitlines())
    assert first.startswith('bootstrap: ')
    return [first.removeprefix('bootstrap: '), *others]


@pytest.mark.parametrize(
    ('compiler', 'problem'),
    [
        ('false', 'fails with exit status 1 and no message'),
        ('/nonexistent/cc', 'cannot be run: No such file or directory'),
    ],
)
def test_compiler_that_does_not_work_is_named(
    fresh_venv: FreshVenv, checkout: Path, compiler: str, problem: str
) -> None:
    for lines in (
        failed_install(fresh_venv, checkout, CC=compiler),
        failed_bootstrap(Path(sys.executable), checkout, CC=compiler),
    ):
        assert lines == [
            f'{NEEDS}a C compiler.',
            f'{compiler} {problem}',
            f'It compiles without CC={compiler}: unset that, or correct it.',
        ]


def test_flag_that_the_compiler_refuses_is_named(fresh_venv: FreshVenv, checkout: Path) -> None:
    _, problem, remedy = failed_install(fresh_venv, checkout, CFLAGS='-fno-such-flag')
    assert '-fno-such-flag' in problem
    assert remedy == 'It compiles without CFLAGS=-fno-such-flag: unset that, or correct it.'


def test_missing_compiler_is_named_with_its_packages(fresh_venv: FreshVenv, checkout: Path, tmp_path: Path) -> None:
    bare = tmp_path / 'bare'
    bare.mkdir()
    for lines in (
        failed_install(fresh_venv, checkout, PATH=str(bare), CC=''),
        failed_bootstrap(Path(sys.executable), checkout, PATH=str(bare), CC=''),
    ):
        needs, problem, *remedies = lines
        assert needs == f'{NEEDS}a C compiler.'
        assert problem.endswith('cannot be run: No such file or directory')
        assert remedies == [
            'Install what is missing:',
            'Debian, Ubuntu: apt-get install gcc libc6-dev',
            'Fedora, RHEL:   dnf install gcc',
            'Alpine:         apk add gcc musl-dev',
            'macOS:          xcode-select --install',
        ]


@pytest.mark.skipif(sys.platform != 'linux', reason='a Python of macOS cannot be moved')
def test_missing_headers_are_named_with_their_package(tmp_path: Path, lent: Path, checkout: Path) -> None:
    folder = tmp_path / 'without_headers'
    python = python_without_headers.make(folder)
    for lines in (
        failed_install(FreshVenv(tmp_path / 'venv', python, lent), checkout),
        failed_bootstrap(python, checkout),
    ):
        needs, problem, where, *remedies = lines
        assert needs == f'{NEEDS}the headers of Python {VERSION}.'
        assert problem.endswith('Python.h: No such file or directory') or "'Python.h' file not found" in problem
        assert str(folder) in where
        assert all(any(package in remedy for package in HEADER_PACKAGES) for remedy in remedies)
        assert len(remedies) in (1, 4)


def test_missing_network_and_hiredis_are_named_with_remedy(fresh_venv: FreshVenv, checkout: Path) -> None:
    # This also shows that the builds of the other tests, under the same environment, fetched nothing.
    shutil.rmtree(checkout / 'vendor')
    output = '\n'.join(output_of_failed_install(fresh_venv, checkout))
    assert 'Could not fetch the hiredis sources' in output
    assert 'RQREG_SYSTEM_HIREDIS=1' in output
