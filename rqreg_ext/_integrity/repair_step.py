"""The script that repairs one problem, with its keys and arguments."""

from __future__ import annotations

from typing import NamedTuple

from .._fastpath.rq_keys import RegistryKind

Argument = str | bytes | int | float


class RepairStep(NamedTuple):
    """A script of src/lua/repair, with its keys and arguments for one problem.

    clean_up: the kind and the queue of the registry that RQ then cleans up.
    """

    script: str
    keys: tuple[str, ...]
    arguments: tuple[Argument, ...] = ()
    clean_up: tuple[RegistryKind, str] | None = None
