"""Imports that are left to the first call of a function: they fail where no file descriptor is left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from errno import EMFILE, ENFILE


@contextmanager
def imports_of(call: str) -> Iterator[None]:
    """Explain why the imports of a call failed, if no descriptor was left."""
    try:
        yield
    except OSError as error:
        if error.errno not in (EMFILE, ENFILE):
            raise
        raise OSError(
            error.errno,
            f'no file descriptor is left to load the modules of {call}: close files, raise the limit (ulimit -n), or '
            f'call {call} once while some are left',
        ) from error
