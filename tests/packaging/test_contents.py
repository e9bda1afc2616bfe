"""What the sdist and the wheel contain."""

from __future__ import annotations

import json
import sys
import tarfile
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
AT_START = 'rqreg_ext.start' if sys.version_info >= (3, 15) else 'rqreg_ext.pth'


@pytest.fixture
def wheel_files(wheel: Path) -> dict[str, str]:
    """The text files of the wheel, and its extension module with no text."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        return {name: '' if name.endswith('.so') else archive.read(name).decode() for name in names}


def metadata(files: dict[str, str]) -> Message:
    (name,) = (name for name in files if name.endswith('.dist-info/METADATA'))
    return message_from_string(files[name])


def test_wheel_has_the_package_and_nothing_else(wheel_files: dict[str, str]) -> None:
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / 'rqreg_ext').glob('**/*.py*') if path.suffix != '.pyc'}
    files = {str(path.relative_to(ROOT)) for path in (ROOT / 'rqreg_ext/cli/exporter/files').iterdir()}
    packaged = {name for name in wheel_files if '.dist-info/' not in name}
    assert {name for name in packaged if not name.endswith('.so')} == {
        *modules,
        *files,
        'rqreg_ext/py.typed',
        AT_START,
    }
    assert [name for name in packaged if name.endswith('.so')] == [
        name for name in packaged if name.startswith('rqreg_ext/_core.') and not name.endswith('.pyi')
    ]
    assert 'rqreg_ext/_core.pyi' in packaged


def test_wheel_says_what_is_compiled_in(wheel_files: dict[str, str]) -> None:
    (bill,) = (
        json.loads(text) for name, text in wheel_files.items() if name.endswith('.dist-info/sboms/rqreg_ext.cdx.json')
    )
    (hiredis,) = bill['components']
    (source,) = hiredis['externalReferences']
    pinned = (ROOT / 'tools/hiredis-requirements.txt').read_text()
    assert (bill['bomFormat'], hiredis['name'], hiredis['version']) == ('CycloneDX', 'hiredis', '1.5.0')
    assert f'--hash=sha256:{source["hashes"][0]["content"]}' in pinned


def test_wheel_has_our_licence_and_that_of_hiredis(wheel_files: dict[str, str]) -> None:
    licences = {name.partition('/licenses/')[2]: text for name, text in wheel_files.items() if '/licenses/' in name}
    assert licences == {
        'LICENSE': (ROOT / 'LICENSE').read_text(),
        'LICENSE.hiredis': (ROOT / 'LICENSE.hiredis').read_text(),
    }
    assert 'Salvatore Sanfilippo' in licences['LICENSE.hiredis']


def test_wheel_needs_rq_and_redis_only(wheel_files: dict[str, str]) -> None:
    needed = metadata(wheel_files).get_all('Requires-Dist')
    always = [requirement for requirement in needed if 'extra ==' not in requirement]
    assert sorted(requirement.partition('>=')[0] for requirement in always) == ['redis', 'rq']


def test_sdist_has_what_a_build_needs(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition('/')[2] for name in archive.getnames()}
    sources = [path.relative_to(ROOT) for folder in ('src', 'vendor/hiredis') for path in (ROOT / folder).rglob('*')]
    assert {str(path) for path in sources} <= names
    assert {
        'setup.py',
        'pyproject.toml',
        'rqreg_ext.pth',
        'rqreg_ext.start',
        'LICENSE',
        'Makefile',
        'tools/fetch_hiredis.py',
    } <= names
    assert not [name for name in names if name.endswith(('.so', '.pyc', '.o'))]
