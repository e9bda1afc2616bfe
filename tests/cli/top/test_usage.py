"""Where `rqreg top` does not begin."""

from __future__ import annotations

from pathlib import Path

import pytest
from private_redis import free_port

from ..running import Command


def test_top_without_terminal_names_stats(rqreg: Command) -> None:
    ended = rqreg('top')
    assert (ended.status, ended.out) == (2, '')
    assert 'rqreg stats --watch' in ended.err


def test_terminal_without_cursor_is_refused(rqreg: Command) -> None:
    terminal = rqreg.at_terminal('top', TERM='dumb')
    assert terminal.end() == 2
    assert 'rqreg stats --watch' in terminal.text
    assert '\x1b' not in terminal.text


def test_top_without_rich_names_the_extra(rqreg: Command, tmp_path: Path) -> None:
    (tmp_path / 'rich.py').write_text('raise ImportError("no rich here")\n')
    terminal = rqreg.at_terminal('top', PYTHONPATH=str(tmp_path))
    assert terminal.end() == 2
    assert "pip install 'rqreg-ext[cli]'" in terminal.text
    # The others do without.
    assert rqreg('stats', PYTHONPATH=str(tmp_path)).status == 0


def test_help_of_top_needs_no_rich(rqreg: Command, tmp_path: Path) -> None:
    (tmp_path / 'rich.py').write_text('raise ImportError("no rich here")\n')
    assert rqreg('top', '--help', PYTHONPATH=str(tmp_path)).status == 0


@pytest.mark.parametrize(
    ('arguments', 'status', 'text'),
    [
        (['mial'], 2, "there is no queue 'mial' (did you mean 'mail'?)"),
        (['x*'], 2, "no queue matches 'x*'"),
        (['--interval', '0'], 2, '--interval'),
        (['--url', f'redis://127.0.0.1:{free_port()}'], 4, 'no answer from the server'),
    ],
)
def test_error_at_start_leaves_terminal_alone(arguments: list[str], status: int, text: str, rqreg: Command) -> None:
    terminal = rqreg.at_terminal('top', *arguments)
    assert terminal.end() == status
    assert text in terminal.text
    assert '\x1b' not in terminal.text
