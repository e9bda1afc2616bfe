"""`rqreg completion`: shells complete commands, options, their values, and names of queues."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    ShellComplete,
    add_completion_class,
    shell_complete,
    split_arg_string,
)

# By this variable, the scripts of shells ask for completions.
VARIABLE = '_RQREG_COMPLETE'
SHELLS = ('bash', 'zsh', 'fish')
# click gives the words that bash has made of the line, and bash also ends words at `:` and `=`, as in URLs.
_BASH = """\
%(complete_func)s() {
    local type value
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(env COMP_LINE="${COMP_LINE:0:COMP_POINT}" %(complete_var)s=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class _Bash(BashComplete):
    source_template = _BASH

    def source(self) -> str:
        # click's asks bash for its version.
        return ShellComplete.source(self)

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ['COMP_LINE']
        words = split_arg_string(line)
        self._incomplete = words.pop() if words and not line[-1:].isspace() else ''
        return words[1:], self._incomplete

    def format_completion(self, item: CompletionItem[Any]) -> str:
        # What bash takes for other words stands before the completion already.
        end_of_words = max(map(self._incomplete.rfind, ':=')) + 1
        value = item.value.removeprefix(self._incomplete[:end_of_words])
        quoted = re.sub(r'([^0-9A-Za-z_@%+=:,./-])', r'\\\1', value)
        return f'{item.type},{quoted}'


@click.command()
@click.argument('shell', type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script by which a shell completes commands, options, their values, and names of queues.

    For bash, put it into ~/.local/share/bash-completion/completions/rqreg; for zsh, as _rqreg into a folder of fpath;
    for fish, into ~/.config/fish/completions/rqreg.fish.
    """
    add_completion_class(_Bash)
    shell_complete(click.Group('rqreg'), {}, 'rqreg', VARIABLE, f'{shell}_source')


def complete(root: click.Command) -> int:
    """Print completions for the line that a shell has set in the environment; return the exit status."""
    # The user is typing: nothing else may be printed, even after an error.
    sys.stderr = open(os.devnull, 'w')  # noqa: SIM115 - until the end of the process
    add_completion_class(_Bash)
    try:
        return shell_complete(root, {}, 'rqreg', VARIABLE, os.environ[VARIABLE])
    except Exception:
        return 1


def items(texts: Sequence[tuple[str, str]], incomplete: str) -> list[CompletionItem[str]]:
    """Return completions with what they mean."""
    return [CompletionItem(value, help=text) for value, text in texts if value.startswith(incomplete)]
