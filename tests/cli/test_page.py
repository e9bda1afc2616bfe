"""The pages on the command show what it prints, and docs/command.md names all of its subcommands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import shop
from documents import DOCS, PAGES, code_blocks, source_of, table_rows
from redis import Redis

from rqreg_ext.cli.root import COMMANDS

from .running import Command

PAGE = source_of(DOCS / 'command.md')
WITH_COMMANDS = ['clean-up', 'command', 'hand-over']
# What differs from run to run.
CHANGING = (
    (re.compile(r'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'), '<id>'),
    (re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z'), '<time>'),
    (re.compile(r'\d+\.\d+ s\b'), '<seconds>'),
    (re.compile(r' {2,}'), '  '),
)


def masked(text: str) -> str:
    for pattern, name in CHANGING:
        text = pattern.sub(name, text)
    return text


def steps(page: str) -> list[tuple[str, str]]:
    """Return each command line of the page, and what it prints."""
    found: list[tuple[str, str]] = []
    for block in code_blocks(page, 'console'):
        for line in block.splitlines(keepends=True):
            if line.startswith('$ '):
                found.append((line[2:], ''))
            else:
                command, output = found.pop()
                found.append((command, output + line))
    return found


def test_no_page_with_commands_is_left_out() -> None:
    assert [page.stem for page in PAGES if code_blocks(source_of(page), 'console')] == WITH_COMMANDS


@pytest.mark.parametrize('page', WITH_COMMANDS)
def test_each_command_prints_what_the_page_shows(
    page: str, connection: Redis, changing: Command, tmp_path: Path
) -> None:
    shop.let_jobs_fail(connection)
    path = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    for command, expected in steps(source_of(DOCS / f'{page}.md')):
        ended = subprocess.run(
            command,
            shell=True,
            cwd=tmp_path,
            env=changing.environment(PATH=path, OTHER_REDIS=f'{changing.url[:-1]}1'),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert masked(ended.stdout) == masked(expected), command


def test_page_names_each_command() -> None:
    named = {found[1] for row in table_rows(PAGE) for found in re.finditer(r'`rqreg (\w+)', row[0])}
    assert named == set(COMMANDS)
