"""The check of what includes what (tools/check_includes.py)."""

from __future__ import annotations

from pathlib import Path

import check_includes
import pytest

LAYERS = """
top
left right
bottom
"""


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    for name in ('top', 'left', 'right', 'bottom'):
        (tmp_path / f'{name}.c').write_text(f'#include "{name}.h"\n')
        (tmp_path / f'{name}.h').write_text('#pragma once\n#include <Python.h>\n')
    return tmp_path


def include(path: Path, *names: str) -> None:
    with path.open('a') as file:
        file.writelines(f'#include "{name}.h"\n' for name in names)


def test_sources_of_the_core_are_in_layers(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_includes.main([]) == 0
    assert capsys.readouterr().err == ''


def test_includes_that_point_down_are_fine(sources: Path) -> None:
    include(sources / 'top.c', 'left', 'right', 'bottom')
    include(sources / 'left.h', 'bottom')
    assert check_includes.check_c(sources, LAYERS) == []


@pytest.mark.parametrize(
    ('file', 'used', 'line'),
    [
        ('bottom.h', 'top', 'bottom.h:3: bottom uses top, which does not stand below it'),
        ('left.c', 'right', 'left.c:2: left uses right, which does not stand below it'),
        ('left.c', 'nowhere', 'left.c:2: left uses nowhere, which is in no layer'),
    ],
)
def test_wrong_include_is_named(sources: Path, file: str, used: str, line: str) -> None:
    include(sources / file, used)
    assert check_includes.check_c(sources, LAYERS) == [line]


def test_file_and_layer_without_each_other_are_named(sources: Path) -> None:
    (sources / 'right.c').unlink()
    (sources / 'right.h').rename(sources / 'wrong.h')
    assert check_includes.check_c(sources, LAYERS) == [
        'wrong is in no layer: give it one in check_includes.py',
        'right is in a layer, and there is no such file',
    ]
