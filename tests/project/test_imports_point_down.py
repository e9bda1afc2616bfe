"""tools/check_imports.py finds each kind of import that should not be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).resolve().parents[2] / 'tools' / 'check_imports.py'


def checked(folder: Path, sources: dict[str, str]) -> list[str]:
    """Return what the check says of a package of these modules."""
    for name, source in sources.items():
        path = folder / 'rqreg_ext' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding='utf-8')
    run = subprocess.run([sys.executable, CHECK, folder], capture_output=True, text=True, check=False)
    assert run.stderr == ''
    lines = run.stdout.splitlines()
    assert run.returncode == (0 if lines == ['no import points up, and there are no circles'] else 1)
    return lines


def test_imports_of_package_point_down() -> None:
    assert subprocess.run([sys.executable, CHECK], check=False).returncode == 0


def test_import_of_lower_layer_passes(tmp_path: Path) -> None:
    sources = {'registry.py': 'from ._query import find\nfrom . import _core\n', '_query/find.py': 'import os\n'}
    assert checked(tmp_path, sources) == ['no import points up, and there are no circles']


@pytest.mark.parametrize(
    'source',
    [
        'from .. import registry\n',
        'from ..registry import BaseRegistry\n',
        'import rqreg_ext.registry\n',
        'from rqreg_ext.registry import BaseRegistry\n',
        'from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..registry import BaseRegistry\n',
        'def late():\n    # For start-up time.\n    from ..registry import BaseRegistry\n',
    ],
)
def test_import_of_higher_layer_is_named_with_its_line(tmp_path: Path, source: str) -> None:
    found = checked(tmp_path, {'_query/find.py': source, 'registry.py': ''})
    line = len(source.splitlines())
    shown = f'rqreg_ext._query.find, line {line}, imports rqreg_ext.registry'
    assert found == [f'{shown}: registry lies above _query']


def test_public_names_are_above_all_parts(tmp_path: Path) -> None:
    (line,) = checked(tmp_path, {'__init__.py': '', '_bulk/operation.py': 'from rqreg_ext import purge\n'})
    assert line.endswith('imports rqreg_ext.__init__: __init__ lies above _bulk')


def test_circle_within_a_layer_is_named(tmp_path: Path) -> None:
    sources = {'_bulk/a.py': 'from .b import x\n', '_bulk/b.py': 'from . import c\n', '_bulk/c.py': 'from . import a\n'}
    found = checked(tmp_path, sources)
    assert [line.partition(':')[0] for line in found] == [
        'rqreg_ext._bulk.a, line 1, imports rqreg_ext._bulk.b',
        'rqreg_ext._bulk.b, line 1, imports rqreg_ext._bulk.c',
        'rqreg_ext._bulk.c, line 1, imports rqreg_ext._bulk.a',
    ]


def test_module_of_no_layer_is_named(tmp_path: Path) -> None:
    (line,) = checked(tmp_path, {'_new.py': 'from . import _core\n'})
    assert line.endswith('_new is in no layer of tools/check_imports.py')


def test_import_inside_a_function_needs_a_reason(tmp_path: Path) -> None:
    sources = {'registry.py': 'def late():\n    # Why not.\n    from ._query import find\n', '_query/find.py': ''}
    (line,) = checked(tmp_path, sources)
    assert 'inside a function without a comment' in line
