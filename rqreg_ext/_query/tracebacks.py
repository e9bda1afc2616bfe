"""The exception that a job's `exc_info` ends with: its type, its message, and its line without what is unique in it."""

from __future__ import annotations

import re
from functools import lru_cache

from .. import _core

# More of a line does not tell groups apart, and lines can be a megabyte long.
_LONGEST_LINE = 300

_HEADER = 'Traceback (most recent call last):\n'
_NEXT_HEADER = f'\n\n{_HEADER}'
# What the traceback module writes between the exceptions of a chain.
_LINKS = (
    '\n\nThe above exception was the direct cause of the following exception:',
    '\n\nDuring handling of the above exception, another exception occurred:',
)
# The lines of the stack, which are indented, and the name of the exception, as in `type.__module__` and
# `type.__qualname__`; a message that is empty has no colon.
_stack_and_name = re.compile(r'(?:[ \t].*\n)*((?!\d)\w+(?:\.(?:\w+|<locals>))*)(?::|(?=\n)|\Z)').match
# The margin in the last part of a traceback of an exception group.
_group = re.compile(r'  \+ Exception Group Traceback \(most recent call last\):\n(?:  \| [ \t].*\n)*  \| ').match
# What StartedJobRegistry.cleanup() writes of a job whose worker was lost.
_moved = re.compile(r'Moved to \w+, due to (\w+), at ').match
_unique = re.compile(
    r"""
    [0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}    # a UUID
    | 0[xX][0-9a-fA-F]+                                     # an address
    | (?<![A-Za-z0-9])(?=[A-Za-z]*\d[A-Za-z]*\d)            # an id of letters and digits, two of them at least
      [A-Za-z0-9]{8,}(?![A-Za-z0-9])
    | \d+
    """,
    re.VERBOSE | re.ASCII,
).sub


# The exception of a traceback: the name of its class as in the traceback, with the module except for builtins, and its
# message, which can have several lines. If a text is not a traceback, None and the whole text.
ExceptionLine = tuple[str | None, str]


def exception_in(text: bytes) -> ExceptionLine:
    """Return the exception that a text ends with, as traceback.format_exception() writes it.

    Raises UnicodeDecodeError if the text is not UTF-8.
    """
    return _core.exception_in(text) or exception_in_any(text.decode())


def exception_in_any(text: str) -> ExceptionLine:
    """Do what exception_in() does, for any text, and more slowly."""
    start = _start_of_last(text)
    if start is not None and (found := _stack_and_name(text, start)):
        return found[1], text[found.end() :].strip()
    moved = _moved(text)
    return moved[1] if moved else None, text.strip()


# Jobs that failed for the same reason have the same line.
@lru_cache(maxsize=64)
def folded_line_of(exception: ExceptionLine) -> str:
    """Return the line of an exception, or of a text, with `#` for each number and each id in it."""
    name, message = exception
    if name is None or message.startswith('Moved to '):
        # A text of a worker has its reason in the last line.
        line = message.rpartition('\n')[2]
    else:
        first = message.partition('\n')[0]
        line = f'{name}: {first}' if first else name
    return _unique('#', line[:_LONGEST_LINE])


def _start_of_last(text: str) -> int | None:
    """Return where the stack of the last exception of a chain begins; None if the text is not a traceback."""
    start = text.rfind(_NEXT_HEADER)
    # A message may contain a traceback too.
    while start >= 0 and not text.endswith(_LINKS, 0, start):
        start = text.rfind(_NEXT_HEADER, 0, start)
    if start >= 0:
        return start + len(_NEXT_HEADER)
    if text.startswith(_HEADER):
        return len(_HEADER)
    group = _group(text)
    return group.end() if group else None
