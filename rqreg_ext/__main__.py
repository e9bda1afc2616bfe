"""`python -m rqreg_ext`: a program of the environment, run as without us, on our registries.

The program takes this process over: what it is, and what its children are, only the environment variable tells.
"""

from __future__ import annotations

import os
import sys

from ._install.import_hook import is_disabled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

USAGE = """\
usage: python -m rqreg_ext PROGRAM [arguments]

Runs a program, with rqreg_ext's job registries in the place of RQ's:

  python -m rqreg_ext script.py args...           a script
  python -m rqreg_ext -m package.module args...   a module
  python -m rqreg_ext rq worker high low          a command of this environment, by name

What stands before PROGRAM (as in -X dev script.py, or -c CODE) is for the interpreter. The program's children run on
them as well. RQREG_EXT_DISABLE=1 in the environment runs it on RQ's own registries.

  python -m rqreg_ext --report    say what is replaced in this environment; exit status 1 if nothing is
"""
AT_START = 'rqreg_ext.start' if sys.version_info >= (3, 15) else 'rqreg_ext.pth'


def main() -> None:
    """Become the program that the arguments name."""
    forget_current_folder()
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ('-h', '--help'):
        print(USAGE, end='', file=sys.stdout if arguments else sys.stderr)
        sys.exit(0 if arguments else 2)
    if arguments == ['--report']:
        sys.exit(report())
    require_file_for_start()
    os.environ['RQREG_EXT_INSTALL'] = '1'
    command = program(arguments)
    warn_if_not_compiled()
    try:
        os.execv(command[0], command)
    except OSError as error:
        fail(f'{command[0]} cannot be run: {error.strerror}. A command begins with a line like #!/bin/sh')


def forget_current_folder() -> None:
    """Look for modules where a command of the environment does, not in the folder that -m looked into first.

    What the program has there, a typing.py say, is for the program.
    """
    if sys.path[0] in ('', os.getcwd()):
        del sys.path[0]


def fail(message: str) -> NoReturn:
    """End as the interpreter does when it cannot run a program."""
    print(f'rqreg_ext: {message}', file=sys.stderr)
    sys.exit(2)


def report() -> int:
    """Print what is replaced when rq is imported; return the exit status, 1 where nothing is."""
    # For start-up time: a program may never import rq.
    from . import install

    try:
        import rq  # noqa: F401
    except ImportError as error:
        fail(f'rq cannot be imported in this environment ({error}): pip install rq')
    done = install()
    print(done)
    return 1 if done.reason else 0


def warn_if_not_compiled() -> None:
    """Say where a program is about to run on RQ's own registries although that is not what was asked for."""
    if is_disabled():
        return
    # For start-up time: the other options need no core.
    try:
        from . import _core  # noqa: F401
    except ImportError as error:
        print(f"rqreg_ext: the program runs on RQ's own registries: {error}", file=sys.stderr)


def require_file_for_start() -> None:
    """End with a clear message where the interpreter would not install us in the program."""
    import site

    folders = [*site.getsitepackages(), site.getusersitepackages()]
    if not any(os.path.isfile(os.path.join(folder, AT_START)) for folder in folders):
        fail(
            f'there is no {AT_START} in {" or ".join(folders)}, so no program of this Python can be started on '
            'rqreg_ext. Install it there with pip, or call rqreg_ext.install() in the program.'
        )


def program(arguments: list[str]) -> list[str]:
    """Return the command line of the program: of the interpreter, as a rule."""
    name = arguments[0]
    python = [sys.executable, *interpreter_options()]
    if name.startswith('-') or os.path.isfile(name) or os.path.basename(name) != name:
        return [*python, *arguments]
    command = command_of_the_environment(name)
    if command is not None:
        return [*(python if is_python(command) else []), command, *arguments[1:]]
    if os.path.exists(name):
        return [*python, *arguments]
    fail(
        f'there is no file {name!r} here, and no command of that name in {" or ".join(script_folders())}. '
        'Give a path, -m and a module, or the name of a command that is installed in this environment.'
    )


def interpreter_options() -> list[str]:
    """Return the options that this interpreter was started with, up to `-m rqreg_ext`."""
    options = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
    flags = options.pop().removesuffix('rqreg_ext') or options.pop()
    # -m may stand at the end of other flags: -Bm.
    flags = flags.removesuffix('m')
    return [*options, flags] if flags != '-' else options


def script_folders() -> list[str]:
    """Return where the environment keeps its commands, without repeats."""
    import sysconfig

    user = sysconfig.get_path('scripts', sysconfig.get_preferred_scheme('user'))
    return list(dict.fromkeys([sysconfig.get_path('scripts'), os.path.dirname(sys.executable), user]))


def command_of_the_environment(name: str) -> str | None:
    """Return the path of an installed command."""
    paths = [os.path.join(folder, name) for folder in script_folders()]
    return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), None)


def is_python(path: str) -> bool:
    """Tell whether a command is a Python script, by its first lines."""
    with open(path, 'rb') as file:
        head = file.read(1024)
    # pip begins with a shell's line where the interpreter's path is long.
    return head.startswith(b'#!') and (b'python' in head.splitlines()[0] or b"'''exec'" in head)


if __name__ == '__main__':
    main()
