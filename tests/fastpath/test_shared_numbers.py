"""The numbers that stand in two languages: in Python, and in the core or in a script."""

from __future__ import annotations

import re
from enum import IntEnum
from pathlib import Path

import pytest

from rqreg_ext._bulk.script_runs import JobCode
from rqreg_ext._fastpath.releases import CleanupKind, EntryKind, Method

SOURCES = Path(__file__).resolve().parents[2] / 'src'

pytestmark = pytest.mark.skipif(not SOURCES.is_dir(), reason='only in a checkout')


def members_of(enum: str, prefix: str) -> dict[str, int]:
    """Return the members of an enum of state.h, without their prefix."""
    text = (SOURCES / 'state.h').read_text(encoding='utf-8')
    # One that has no name of its own is found by its members.
    body = re.search(rf'enum {{(\s+{prefix}[^}}]*)}} ?{enum};', text)
    assert body is not None
    found: dict[str, int] = {}
    for name, value in re.findall(r'^ +(\w+)(?: = ([^,]*))?,', body[1], re.MULTILINE):
        assert name.startswith(prefix)
        one, _, shift = value.partition(' << ')
        found[name.removeprefix(prefix)] = int(one) << int(shift or 0) if value else len(found)
    return found


@pytest.mark.parametrize(
    ('ours', 'enum', 'prefix'),
    [
        (Method, '', 'METHOD_'),
        (CleanupKind, 'cleanup_kind', 'CLEANUP_'),
        (EntryKind, 'entry_kind', 'ENTRIES_'),
    ],
)
def test_numbers_are_those_of_the_core(ours: type[IntEnum], enum: str, prefix: str) -> None:
    names = {'ARE_JOB_IDS': 'JOBS', 'ARE_COMPOSITE': 'COMPOSITE'}
    core = {names.get(name, name): number for name, number in members_of(enum, prefix).items()}
    # Of an unknown cleanup there is nothing to say.
    assert {each.name: each.value for each in ours} == {
        name: number for name, number in core.items() if ours is not CleanupKind or number
    }


def test_job_codes_are_those_of_scripts() -> None:
    text = (SOURCES / 'lua' / 'many_jobs.inc.lua').read_text(encoding='utf-8')
    line = re.search(r'^local (NOT_IN_REGISTRY[A-Z_, ]*) = ([0-9, ]*)$', text, re.MULTILINE)
    assert line is not None
    names, numbers = (part.split(', ') for part in line.groups())
    assert {each.name: each.value for each in JobCode} == dict(zip(names, map(int, numbers), strict=True))
