"""`python -m rqreg_ext PROGRAM`: the program runs as under `python PROGRAM`, except for the registries."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from private_redis import PrivateRedis

import rqreg_ext

from .programs import PATIENCE, Programs

# Prints all that a program can see of the way it was started.
LOOK = """
    import json, os, sys
    spec = [getattr(__spec__, name, None) for name in ('name', 'origin', 'parent')]
    print(json.dumps({
        'argv': sys.argv, 'orig_argv': sys.orig_argv, 'path': sys.path, 'flags': list(sys.flags),
        'warnings': sys.warnoptions, 'xoptions': sys._xoptions, 'name': __name__, 'package': __package__,
        'spec': spec, 'file': globals().get('__file__'), 'doc': __doc__, 'main': sorted(vars(sys.modules['__main__'])),
        'modules': sorted(name for name in sys.modules if not name.startswith(('rqreg_ext', '__editable__'))),
        'finders': [repr(finder).partition(' at ')[0] for finder in sys.meta_path if 'rqreg_ext' not in repr(finder)],
        'stdin': sys.stdin.read(),
    }))
    sys.stderr.write('warned')
    sys.exit(int(os.environ.get('STATUS', '0')))
"""
ACCELERATED = 'import rq.registry; print([c.__module__ for c in rq.registry.FailedJobRegistry.__mro__][1])'


def same(programs: Programs, *arguments: str, options: tuple[str, ...] = (), stdin: str = '', **variables: str) -> str:
    """Run a program with and without rqreg_ext, check that both behave alike, and return the output."""
    plain = programs.run(*options, *arguments, stdin=stdin, **variables)
    ours = programs.run(*options, '-m', 'rqreg_ext', *arguments, stdin=stdin, **variables)
    assert (ours.returncode, ours.stdout, ours.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    return ours.stdout


@pytest.fixture
def look(programs: Programs) -> Programs:
    programs.write('look.py', LOOK)
    programs.write('package/__init__.py', '')
    programs.write('package/__main__.py', LOOK)
    programs.write('package/module.py', LOOK)
    return programs


@pytest.mark.parametrize(
    'arguments',
    [
        ('look.py', 'a', '-m', '--help'),
        ('./look.py',),
        ('-m', 'look', 'x'),
        ('-m', 'package', 'x'),
        ('-m', 'package.module'),
        ('package',),
        ('-c', "import runpy; runpy.run_path('look.py')", 'x'),
        ('-O', '-W', 'ignore', '-X', 'dev', 'look.py'),
    ],
    ids=' '.join,
)
def test_program_sees_same_environment(look: Programs, arguments: tuple[str, ...]) -> None:
    output = same(look, *arguments, stdin='line one\nline two\n')
    assert 'line two' in output


@pytest.mark.parametrize('options', [('-B',), ('-O', '-B'), ('-X', 'utf8', '-W', 'error')], ids=' '.join)
def test_interpreter_options_apply_to_program(look: Programs, options: tuple[str, ...]) -> None:
    assert '"argv": ["look.py", "x"]' in same(look, 'look.py', 'x', options=options)


def test_joined_options_of_python_work_with_runner(look: Programs) -> None:
    plain = look.run('-OB', 'look.py')
    assert look.run('-OBm', 'rqreg_ext', 'look.py').stdout == plain.stdout
    assert look.run('-O', '-B', '-mrqreg_ext', 'look.py').stdout == look.run('-O', '-B', 'look.py').stdout


def test_program_on_stdin_is_run(look: Programs) -> None:
    assert same(look, '-', 'x', stdin='import sys; print(sys.argv, __name__)') == "['-', 'x'] __main__\n"


def test_zip_file_runs_as_under_python(look: Programs) -> None:
    with zipfile.ZipFile(look.folder / 'app.zip', 'w') as archive:
        archive.write(look.write('__main__.py', LOOK), '__main__.py')
    assert 'app.zip' in same(look, 'app.zip')


def test_absolute_path_runs_as_under_python(look: Programs) -> None:
    assert 'look.py' in same(look, str(look.folder / 'look.py'))


@pytest.mark.parametrize('status', [0, 1, 7, 255])
def test_exit_status_of_program_is_kept(look: Programs, status: int) -> None:
    same(look, 'look.py', STATUS=str(status))


@pytest.mark.parametrize(
    'source',
    [
        'raise ValueError("text")',
        'def f():\n    1 / 0\nf()',
        'syntax error here',
        'import sys; sys.exit("a message")',
        'import no_such_module',
        'raise KeyboardInterrupt',
        'import os; os._exit(3)',
        'import atexit; atexit.register(print, "the end"); raise SystemExit(4)',
    ],
)
def test_errors_have_same_traceback(programs: Programs, source: str) -> None:
    programs.write('fails.py', source)
    same(programs, 'fails.py')


def test_missing_program_has_same_error(programs: Programs) -> None:
    same(programs, './missing.py')
    same(programs, '-m', 'no_such_module')
    ended = programs.run('-m', 'rqreg_ext', 'missing.py')
    assert ended.returncode == 2
    assert "no file 'missing.py' here, and no command of that name" in ended.stderr
    assert 'Traceback' not in ended.stderr


def test_help_and_missing_arguments_print_usage(programs: Programs) -> None:
    ended = programs.run('-m', 'rqreg_ext')
    assert (ended.returncode, ended.stdout) == (2, '')
    helped = programs.run('-m', 'rqreg_ext', '--help')
    assert (helped.returncode, helped.stdout) == (0, ended.stderr)
    assert 'python -m rqreg_ext rq worker' in helped.stdout


def test_program_runs_on_our_registries(programs: Programs) -> None:
    programs.write('asks.py', ACCELERATED)
    assert programs.run('asks.py').stdout == 'rq.registry\n'
    assert programs.run('-m', 'rqreg_ext', 'asks.py').stdout == 'rqreg_ext._core\n'
    assert programs.run('-m', 'rqreg_ext', 'asks.py', RQREG_EXT_DISABLE='1').stdout == 'rq.registry\n'


def test_report_lists_what_is_replaced(programs: Programs) -> None:
    ended = programs.run('-m', 'rqreg_ext', '--report')
    assert (ended.returncode, ended.stderr) == (0, '')
    assert 'replaced rq.registry.FailedJobRegistry' in ended.stdout


def test_report_without_rq_is_status_2(programs: Programs) -> None:
    programs.write('elsewhere/rq.py', 'raise ModuleNotFoundError("No module named \'rq\'")')
    ended = programs.run('-m', 'rqreg_ext', '--report', PYTHONPATH=str(programs.folder / 'elsewhere'))
    assert (ended.returncode, ended.stdout) == (2, '')
    assert ended.stderr == (
        "rqreg_ext: rq cannot be imported in this environment (No module named 'rq'): pip install rq\n"
    )


def broken_copy(folder: Path) -> str:
    """Make a copy of the package with a core that cannot be loaded; return the path to find it by."""
    copy = folder / 'elsewhere' / 'rqreg_ext'
    shutil.copytree(Path(rqreg_ext.__file__).parent, copy, ignore=shutil.ignore_patterns('*.so', '__pycache__'))
    (copy / '_core.so').write_bytes(b'for another machine')
    return str(copy.parent)


def test_program_runs_on_rqs_registries_if_core_cannot_be_loaded(programs: Programs) -> None:
    path = broken_copy(programs.folder)
    programs.write('asks.py', f"{ACCELERATED}; import sys; print('theirs', file=sys.stderr); sys.exit(3)")
    ended = programs.run('-m', 'rqreg_ext', 'asks.py', PYTHONPATH=path)
    assert (ended.returncode, ended.stdout) == (3, 'rq.registry\n')
    said, theirs = ended.stderr.splitlines()
    assert said.startswith("rqreg_ext: the program runs on RQ's own registries: ")
    assert '_core.so' in said
    assert theirs == 'theirs'
    asked_for = programs.run('-m', 'rqreg_ext', 'asks.py', PYTHONPATH=path, RQREG_EXT_DISABLE='1')
    assert asked_for.stderr == 'theirs\n'

    report = programs.run('-m', 'rqreg_ext', '--report', PYTHONPATH=path)
    assert (report.returncode, report.stderr) == (1, '')
    assert report.stdout.startswith('rqreg_ext is not installed: ')
    assert '_core.so' in report.stdout


def test_report_fails_where_nothing_is_installed(programs: Programs) -> None:
    ended = programs.run('-m', 'rqreg_ext', '--report', RQREG_EXT_DISABLE='1')
    assert (ended.returncode, ended.stderr) == (1, '')
    assert ended.stdout == 'rqreg_ext is not installed: the environment has RQREG_EXT_DISABLE set\n'


@pytest.mark.parametrize('method', ['fork', 'spawn', 'forkserver'])
def test_multiprocessing_children_are_installed(programs: Programs, method: str) -> None:
    source = """
        import multiprocessing, sys

        def ask(queue):
            import rq.registry
            queue.put((__name__, [c.__module__ for c in rq.registry.FailedJobRegistry.__mro__][1]))

        if __name__ == '__main__':
            multiprocessing.set_start_method(sys.argv[1])
            queue = multiprocessing.Queue()
            process = multiprocessing.Process(target=ask, args=(queue,))
            process.start()
            print(*queue.get(timeout=60))
            process.join()
            print(process.exitcode, sys.argv)
    """
    programs.write('parent.py', source)
    plain = programs.run('parent.py', method)
    ours = programs.run('-m', 'rqreg_ext', 'parent.py', method)
    assert ours.stderr == plain.stderr
    assert ours.stdout == plain.stdout.replace(' rq.registry', ' rqreg_ext._core')
    assert 'rqreg_ext._core' in ours.stdout


def test_subprocess_children_are_installed(programs: Programs) -> None:
    programs.write('asks.py', ACCELERATED)
    programs.write('parent.py', "import subprocess, sys; subprocess.run([sys.executable, 'asks.py'], check=True)")
    assert programs.run('-m', 'rqreg_ext', 'parent.py').stdout == 'rqreg_ext._core\n'


def wait_until_asleep(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'S':
        assert time.monotonic() < deadline, f'{pid} does not sleep'
        time.sleep(0.01)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGKILL])
@pytest.mark.parametrize('handled', [False, True])
def test_signals_reach_program(programs: Programs, number: signal.Signals, handled: bool) -> None:
    source = """
        import os, signal, sys, time
        def handler(number, frame):
            print('handled', number, flush=True)
            sys.exit(5)
        if sys.argv[2] == 'True' and int(sys.argv[1]) != signal.SIGKILL:
            signal.signal(int(sys.argv[1]), handler)
        print(os.getpid(), flush=True)
        time.sleep(60)
    """
    programs.write('sleeps.py', source)
    outcomes = []
    for runner in ((), ('-m', 'rqreg_ext')):
        command = [sys.executable, *runner, 'sleeps.py', str(int(number)), str(handled)]
        with subprocess.Popen(
            command,
            cwd=programs.folder,
            env=programs.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            # The process that was started is the program.
            assert int(process.stdout.readline()) == process.pid
            wait_until_asleep(process.pid)
            process.send_signal(number)
            output, errors = process.communicate(timeout=PATIENCE)
            outcomes.append((process.returncode, output, errors))
    assert outcomes[0] == outcomes[1]


def test_ignored_signals_stay_ignored(programs: Programs) -> None:
    programs.write(
        'asks.py', 'import signal; print(repr(signal.getsignal(signal.SIGHUP)), repr(signal.getsignal(signal.SIGPIPE)))'
    )
    shell = f'trap "" HUP; exec {sys.executable} "$@"'
    outputs = []
    for runner in ((), ('-m', 'rqreg_ext')):
        command = ['sh', '-c', shell, 'sh', *runner, 'asks.py']
        outputs.append(
            subprocess.run(command, cwd=programs.folder, env=programs.environment(), capture_output=True).stdout
        )
    assert outputs[0] == outputs[1]
    assert b'SIG_IGN' in outputs[0]


def commands() -> list[Path]:
    return [path for path in Path(sys.executable).parent.iterdir() if path.name in ('rq', 'rqworker', 'rqinfo', 'pip')]


@pytest.mark.parametrize('command', commands(), ids=lambda path: path.name)
def test_command_of_environment_is_run_by_name(programs: Programs, command: Path) -> None:
    plain = subprocess.run(
        [str(command), '--help'], env=programs.environment(), cwd=programs.folder, capture_output=True, text=True
    )
    ours = programs.run('-m', 'rqreg_ext', command.name, '--help')
    assert (ours.returncode, ours.stdout, ours.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    assert 'Usage' in plain.stdout


def test_command_is_run_in_folder_with_folder_of_its_name(programs: Programs, redis_server: PrivateRedis) -> None:
    """The current folder has a folder rq, as in a clone of RQ."""
    programs.write('rq_config.py', '')
    (programs.folder / 'pip').mkdir()
    assert 'pip' in programs.run('-m', 'rqreg_ext', 'pip', '--version').stdout


def test_file_goes_before_command_of_same_name(programs: Programs) -> None:
    programs.write('pip', 'print("mine")')
    assert same(programs, 'pip') == 'mine\n'


def test_command_that_is_not_python_is_run_with_variable(programs: Programs) -> None:
    name = 'rqreg-test-command'
    command = Path(sys.executable).parent / name
    command.write_text('#!/bin/sh\necho "$RQREG_EXT_INSTALL $*"\n')
    command.chmod(0o755)
    try:
        assert programs.run('-m', 'rqreg_ext', name, 'a', 'b').stdout == '1 a b\n'
    finally:
        command.unlink()


def test_command_that_cannot_be_executed_is_refused(programs: Programs) -> None:
    name = 'rqreg-test-command'
    command = Path(sys.executable).parent / name
    command.write_text('echo there is no first line that names a shell\n')
    command.chmod(0o755)
    try:
        ended = programs.run('-m', 'rqreg_ext', name)
    finally:
        command.unlink()
    assert (ended.returncode, ended.stdout) == (2, '')
    assert f'{command} cannot be run: Exec format error' in ended.stderr
    assert 'Traceback' not in ended.stderr


def test_current_folder_is_imported_from_as_by_python(programs: Programs) -> None:
    """A command of the environment does not import from the current folder; a script does."""
    for name in ('typing', 'site', 'sysconfig', 'runpy', 'rq'):
        programs.write(f'{name}.py', f'print("the program\'s {name}", __file__)')
    plain = subprocess.run(
        [str(Path(sys.executable).parent / 'rq'), '--version'],
        cwd=programs.folder,
        env=programs.environment(),
        capture_output=True,
        text=True,
    )
    ours = programs.run('-m', 'rqreg_ext', 'rq', '--version')
    assert (ours.returncode, ours.stdout, ours.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    assert 'version' in plain.stdout
    programs.write('imports.py', 'import sysconfig, rq')
    assert same(programs, 'imports.py').count("the program's") == 2
    same(programs, '-m', 'imports')


def test_interpreter_without_site_is_refused(programs: Programs) -> None:
    root = Path(__file__).resolve().parent.parent.parent
    ended = programs.run('-S', '-m', 'rqreg_ext', '-c', 'pass', PYTHONPATH=os.fspath(root), HOME='/nonexistent')
    assert (ended.returncode, ended.stdout) == (2, '')
    assert re.search(r'there is no rqreg_ext\.(pth|start) in', ended.stderr)
    assert 'rqreg_ext.install()' in ended.stderr
