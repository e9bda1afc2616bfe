"""Shells complete the command, and man(1) has pages of it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from private_redis import free_port
from redis import Redis

from rqreg_ext.cli.completion import SHELLS
from rqreg_ext.cli.root import COMMANDS

from .running import Command, Terminal

BIN = Path(sys.executable).parent


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f'there is no {program}')


class Bash:
    """A bash at a terminal, which has read the script."""

    def __init__(self, command: Command, script: Path) -> None:
        environment = command.environment(PATH=f'{BIN}:{os.environ["PATH"]}', PS1='> ', TERM='dumb')
        self._terminal = Terminal(['bash', '--norc', '--noprofile', '-i'], environment)
        show = r"""bind -x '"\C-g": echo "<$READLINE_LINE>"' """
        self._terminal.type(f'stty columns 500; source {script}; {show}; echo rea""dy\n')
        # Before it shows a prompt, bash leaves Ctrl-U to the terminal, which drops what was typed.
        self._terminal.wait_for('ready\n> ')

    def completed(self, line: str) -> str:
        """Return what Tab makes of a line."""
        before = len(self._terminal.text)
        # Then Ctrl-G shows the line.
        self._terminal.type(f'{line}\t\x07')
        self._terminal.wait_for('>\n> ', before)
        completed = self._terminal.text[before:].rpartition('<')[2].partition('>\n')[0]
        # Ctrl-U removes it.
        self._terminal.type('\x15')
        return completed

    def end(self) -> None:
        self._terminal.type('exit\n')
        self._terminal.end()


def completions(command: Command, line: str, **variables: str) -> list[str]:
    """Return what bash would be given for a line."""
    environment = command.environment(_RQREG_COMPLETE='bash_complete', COMP_LINE=line, **variables)
    ended = subprocess.run([BIN / 'rqreg'], env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert ended.stderr == ''
    return [text.removeprefix('plain,') for text in ended.stdout.split('\n') if text]


def test_commands_options_and_queues_are_completed(rqreg: Command) -> None:
    assert completions(rqreg, 'rqreg re') == ['requeue', 'restore']
    assert set(completions(rqreg, 'rqreg ')) >= set(COMMANDS)
    assert completions(rqreg, 'rqreg requeue --exc-te') == ['--exc-text']
    assert completions(rqreg, 'rqreg ls --registry f') == ['finished', 'failed']
    assert completions(rqreg, 'rqreg requeue --queue ') == ['labels', 'mail', 'supply']
    assert completions(rqreg, 'rqreg stats mail s') == ['supply']
    # bash has the part before the sign already.
    assert completions(rqreg, 'rqreg requeue --queue=su') == ['supply']
    assert completions(rqreg, 'rqreg nothing ') == []
    assert completions(rqreg, 'rqreg completion ') == list(SHELLS)


def test_completion_asks_server_given_on_line(rqreg: Command) -> None:
    nowhere = Command('redis://127.0.0.1:1')
    assert completions(nowhere, f'rqreg ls -u {rqreg.url} --queue m') == ['mail']
    assert completions(nowhere, f'rqreg ls --url={rqreg.url} --queue m') == ['mail']


def test_names_with_signs_are_completed_with_quoting(connection: Redis, changing: Command) -> None:
    for name in ('shop:mail', 'shop:two words', "it's"):
        connection.sadd('rq:queues', f'rq:queue:{name}')
    assert completions(changing, 'rqreg stats shop:') == ['mail', 'two\\ words']
    assert completions(changing, 'rqreg stats shop:two\\ w') == ['two\\ words']
    assert completions(changing, 'rqreg stats it') == ["it\\'s"]


def test_completion_does_not_wait_for_silent_server(rqreg: Command) -> None:
    assert completions(Command(f'redis://127.0.0.1:{free_port()}'), 'rqreg ls --queue ') == []
    assert completions(Command('nonsense'), 'rqreg ls --queue ') == []
    with socket.create_server(('127.0.0.1', 0)) as silent:
        started = time.monotonic()
        assert completions(Command(f'redis://127.0.0.1:{silent.getsockname()[1]}'), 'rqreg ls --queue ') == []
        assert time.monotonic() - started < 30


@needs('bash')
def test_bash_completes_by_script(rqreg: Command, tmp_path: Path) -> None:
    script = tmp_path / 'rqreg.bash'
    script.write_text(rqreg('completion', 'bash').out)
    bash = Bash(rqreg, script)
    try:
        assert bash.completed('rqreg requ') == 'rqreg requeue '
        assert bash.completed('rqreg requeue --queue=su') == 'rqreg requeue --queue=supply '
        assert bash.completed(f'rqreg ls -u {rqreg.url} --queue lab') == f'rqreg ls -u {rqreg.url} --queue labels '
        assert bash.completed(f'rqreg ls --ids-from {script.parent}/rqr') == f'rqreg ls --ids-from {script.parent}/rqr'
        assert bash.completed(f'rqreg delete --ids-from {script.parent}/rqr') == f'rqreg delete --ids-from {script} '
    finally:
        bash.end()


@pytest.mark.parametrize('shell', [pytest.param(shell, marks=needs(shell)) for shell in SHELLS])
def test_completion_script_passes_its_shell(shell: str, rqreg: Command, tmp_path: Path) -> None:
    ended = rqreg('completion', shell)
    assert (ended.status, ended.err) == (0, '')
    script = tmp_path / 'script'
    script.write_text(ended.out)
    subprocess.run([shell, '-n', script], check=True)


@needs('zsh')
def test_zsh_completes_queue_by_script(rqreg: Command, tmp_path: Path) -> None:
    (tmp_path / '_rqreg').write_text(rqreg('completion', 'zsh').out)
    environment = rqreg.environment(PATH=f'{BIN}:{os.environ["PATH"]}', PS1='> ', TERM='dumb', HOME=str(tmp_path))
    zsh = Terminal(['zsh', '-f', '-i'], environment)
    zsh.type(f'fpath=({tmp_path} $fpath); autoload -Uz compinit; compinit -u -D; echo rea""dy\n')
    zsh.wait_for('ready\n')
    zsh.type('rqreg ls --queue sup\t')
    zsh.wait_for('supply')
    zsh.type('\x03exit\n')
    zsh.end()


@needs('fish')
def test_fish_completes_queue_by_script(rqreg: Command, tmp_path: Path) -> None:
    (tmp_path / 'rqreg.fish').write_text(rqreg('completion', 'fish').out)
    asked = f'source {tmp_path}/rqreg.fish; complete --do-complete "rqreg ls --queue sup"'
    environment = rqreg.environment(PATH=f'{BIN}:{os.environ["PATH"]}', HOME=str(tmp_path))
    found = subprocess.run(['fish', '-c', asked], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ['supply']


# ---- Manual pages


def test_man_writes_page_of_each_command(rqreg: Command, tmp_path: Path) -> None:
    assert rqreg('man', '--folder', str(tmp_path / 'man1')).status == 0
    pages = {path.stem: path.read_text() for path in (tmp_path / 'man1').iterdir()}
    assert set(pages) == {'rqreg', *(f'rqreg-{name}' for name in COMMANDS)}
    for name, page in pages.items():
        assert page.startswith(f'.TH {name.upper()} 1 ')
        assert f'.SH NAME\n{name} \\- ' in page
    assert '.B \\-\\-exc\\-type GLOB\n' in pages['rqreg-requeue']
    assert rqreg('man', 'requeue').out == pages['rqreg-requeue']
    assert rqreg('man').out == pages['rqreg']
    ended = rqreg('man', 'requeu')
    assert (ended.status, "there is no command 'requeu'" in ended.err) == (2, True)


@needs('man')
def test_man_shows_page_of_each_command(rqreg: Command, tmp_path: Path) -> None:
    for name in COMMANDS:
        path = tmp_path / f'rqreg-{name}.1'
        path.write_text(rqreg('man', name).out)
        environment = {**os.environ, 'MANWIDTH': '80', 'LC_ALL': 'C.UTF-8', 'MAN_KEEP_FORMATTING': ''}
        shown = subprocess.run(
            ['man', '--warnings', '-l', path], env=environment, capture_output=True, text=True, check=True
        )
        assert shown.stderr == ''
        if shown.stdout:
            assert f'rqreg-{name} - ' in ' '.join(shown.stdout.replace('\u2010', '-').split())


@needs('mandoc')
def test_mandoc_finds_nothing_wrong(rqreg: Command) -> None:
    for name in ('', *COMMANDS):
        page = rqreg('man', *filter(None, [name])).out
        found = subprocess.run(
            ['mandoc', '-Tlint', '-Wwarning'], input=page, capture_output=True, text=True, check=False
        )
        # No date: the pages do not change from day to day.
        assert [line for line in found.stdout.splitlines() if 'missing date' not in line] == []
