"""What compiling the package needs of the machine: a C compiler, and the headers of this Python.

Both are tried, not looked up: the command that will compile the package compiles a probe.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

import interruptible
import system_packages

VERSION = f'{sys.version_info.major}.{sys.version_info.minor}'
COMPILER = 'a C compiler'
HEADERS = f'the headers of Python {VERSION}'
VENV = f'the module ensurepip of Python {VERSION}'

C_PROBE = '#include <stdlib.h>\nint main(void) { return 0; }\n'
HEADERS_PROBE = '#include <Python.h>\nint main(void) { return 0; }\n'
# What changes the command that compiles.
VARIABLES = ('CC', 'CFLAGS', 'CPPFLAGS', 'RQREG_CFLAGS')

DEBIAN = {COMPILER: 'gcc libc6-dev', HEADERS: f'python{VERSION}-dev', VENV: f'python{VERSION}-venv'}
IS_DEFAULT_PYTHON = os.path.realpath('/usr/bin/python3').endswith(VERSION)
FEDORA_PYTHON = 'python3' if IS_DEFAULT_PYTHON else f'python{VERSION}'
FEDORA = {COMPILER: 'gcc', HEADERS: f'{FEDORA_PYTHON}-devel', VENV: FEDORA_PYTHON}
ALPINE = {COMPILER: 'gcc musl-dev', HEADERS: 'python3-dev', VENV: 'python3'}
# By the program that installs: the system, the command, and the packages.
INSTALLERS: dict[str, tuple[str, str, Mapping[str, str]]] = {
    'apt-get': ('Debian, Ubuntu', 'apt-get install', DEBIAN),
    'dnf': ('Fedora, RHEL', 'dnf install', FEDORA),
    'apk': ('Alpine', 'apk add', ALPINE),
    'xcode-select': ('macOS', 'xcode-select --install', {}),
}


def usual_command(variables: Mapping[str, str] = os.environ) -> list[str]:
    """Return the command by which setuptools compiles C for this Python."""
    compiler = variables.get('CC') or sysconfig.get_config_var('CC') or 'cc'
    flags = (variables.get(name, '') for name in VARIABLES[1:])
    return shlex.split(' '.join((compiler, *flags)))


def usual_header_folders() -> list[str]:
    """Return where setuptools looks for Python.h."""
    found = [sysconfig.get_path('include'), sysconfig.get_path('platinclude'), sysconfig.get_config_var('INCLUDEPY')]
    return list(dict.fromkeys(filter(None, found)))


def missing(command: Sequence[str], header_folders: Sequence[str]) -> dict[str, str]:
    """Return what the machine lacks to compile by this command, each with how that shows."""
    problem = _problem(command, C_PROBE)
    if problem is None:
        problem = _problem([*command, *(f'-I{folder}' for folder in header_folders)], HEADERS_PROBE)
        return {} if problem is None else {HEADERS: problem}
    lacking = {COMPILER: problem}
    # Without a compiler the headers cannot be tried, only looked for.
    if not any(Path(folder, 'Python.h').is_file() for folder in header_folders):
        lacking[HEADERS] = f'there is no {header_folders[0]}/Python.h'
    return lacking


def _problem(command: Sequence[str], source: str) -> str | None:
    """Return in a line why the command does not compile the source; None if it does."""
    with tempfile.TemporaryDirectory(prefix='rqreg-probe-') as folder:
        path = Path(folder, 'probe.c')
        path.write_text(source, encoding='ascii')
        whole = [*command, '-c', str(path), '-o', f'{folder}/probe.o']
        try:
            result = subprocess.run(whole, stdin=subprocess.DEVNULL, capture_output=True, errors='replace', check=False)
        except OSError as error:
            return f'{command[0]} cannot be run: {error.strerror}'
    if result.returncode == 0:
        return None
    status = f'{command[0]} fails with exit status {result.returncode}'
    lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
    if not lines:
        return f'{status} and no message'
    said = next((line for line in lines if 'error: ' in line), lines[0])
    # Without the place in the probe, which is gone.
    return f'{status}: {said.rpartition("error: ")[2]}'


def explain(lacking: Mapping[str, str]) -> str:
    """Return what is missing, how that shows, and the remedy on this machine."""
    lines = [f'rqreg-ext is compiled from C, which needs {" and ".join(lacking)}.']
    lines += [f'    {problem}' for problem in lacking.values()]
    to_install = list(lacking)
    at_fault = _variables_at_fault() if COMPILER in lacking else ''
    if at_fault:
        lines.append(f'It compiles without {at_fault}: unset that, or correct it.')
        to_install.remove(COMPILER)
    if to_install:
        of_system = has_system_python() or set(to_install) == {COMPILER}
        other = f'Install the Python in {sys.base_prefix} again, with its headers, or use that of the system, with:'
        lines += ['Install what is missing:' if of_system else other, *_install_commands(to_install)]
    return '\n'.join(lines)


def _variables_at_fault() -> str:
    """Return the variable without which the compiler works, or all where it takes all; nothing if none helps."""
    chosen = {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}
    for without in (*({name} for name in chosen), set(chosen)):
        others = {name: value for name, value in chosen.items() if name not in without}
        if without and _problem(usual_command(others), C_PROBE) is None:
            return ' '.join(f'{name}={shlex.quote(chosen[name])}' for name in chosen if name in without)
    return ''


def has_system_python() -> bool:
    """Tell whether this Python came from the packages of the system, which also has its headers."""
    is_apple = sys.platform == 'darwin' and ('Xcode' in sys.base_prefix or 'CommandLineTools' in sys.base_prefix)
    return sys.base_prefix == '/usr' or is_apple


def _install_commands(names: Iterable[str]) -> list[str]:
    """Return the command that installs on this system, or those of all systems where it is none that is known."""
    commands = {}
    for installer, (system, install, packages) in INSTALLERS.items():
        command = ' '.join([install, *(packages[name] for name in names if packages)])
        if shutil.which(installer):
            return [f'    {command}']
        commands[system] = command
    return [f'    {system + ":":<16}{command}' for system, command in commands.items()]


def ensure(say: Callable[[str], None]) -> None:
    """Install what is missing as root on Debian or Ubuntu; elsewhere name the packages and end."""
    lacking = _missing_for_a_venv()
    packages = _installable(lacking)
    if packages and system_packages.may_install():
        say(f'this machine lacks {" and ".join(lacking)}: installing {" ".join(packages)}')
        system_packages.install(packages)
        lacking = _missing_for_a_venv()
    if lacking:
        sys.exit(f'bootstrap: {explain(lacking)}')


def _missing_for_a_venv() -> dict[str, str]:
    lacking = missing(usual_command(), usual_header_folders())
    if importlib.util.find_spec('ensurepip') is None:
        lacking[VENV] = f'{sys.executable} -m ensurepip: there is no such module'
    # A Ctrl-C also ends a probe, which then says nothing about the machine.
    interruptible.check()
    return lacking


def _installable(names: Collection[str]) -> list[str]:
    """Return the Debian packages of what is missing, but none for a compiler or a Python that was chosen."""
    chosen = [name for name in names if (not os.environ.get('CC') if name == COMPILER else has_system_python())]
    return ' '.join(DEBIAN[name] for name in chosen).split()
