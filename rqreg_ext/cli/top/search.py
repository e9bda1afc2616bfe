"""What is typed after `/`: which rows are shown, and which jobs a key changes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from ..filters import exactly

# What may stand before `=`, and the filter of find() that it is.
FILTERS = {'id': 'job_id', 'func': 'func_name', 'exc': 'exc_type', 'worker': 'worker_name'}
NAMES = (*FILTERS, 'queue', 'state')

# The texts of a row by these names. A worker has several queues.
Fields = Mapping[str, tuple[str, ...]]


class Search:
    """Words that a row has somewhere, in whatever case, and `name=glob` for one of its values.

    Attributes:
        text: What was typed.
        words: The words, in lower case.
        globs: The globs, by name.
    """

    def __init__(self, text: str = '') -> None:
        self.text = text.strip()
        self.words: list[str] = []
        self.globs: dict[str, str] = {}
        for word in _words(self.text):
            name, equals, glob = word.partition('=')
            if equals and name in NAMES:
                self.globs[name] = glob
            else:
                self.words.append(word.lower())

    def __bool__(self) -> bool:
        return bool(self.text)

    def matches(self, fields: Fields) -> bool:
        """Tell whether a row has all words, and matches all globs."""
        for name, glob in self.globs.items():
            if not any(fnmatchcase(value, glob) for value in fields.get(name, ())):
                return False
        texts = [value.lower() for values in fields.values() for value in values]
        return all(any(word in text for text in texts) for word in self.words)

    def has_queue(self, name: str) -> bool:
        """Tell whether jobs of this queue can match."""
        return fnmatchcase(name, self.globs.get('queue', '*'))

    def filters(self) -> dict[str, Any]:
        """Return the globs as filters of find(), but for that of the queue."""
        return {FILTERS[name]: glob for name, glob in self.globs.items() if name in FILTERS}


def search_for(**values: str) -> Search:
    """Return the search for rows that have exactly these values."""
    return Search(' '.join(shlex.quote(f'{name}={exactly(value)}') for name, value in values.items()))


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        # A quotation mark that is not closed yet.
        return text.replace('"', '').replace("'", '').split()
