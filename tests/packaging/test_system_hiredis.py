"""RQREG_SYSTEM_HIREDIS=1 links a system's hiredis that was tried; else it names what is wrong and the remedy."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import working
from offline import FreshVenv, run
from private_redis import PrivateRedis

PKG_CONFIG = shutil.which('pkg-config')
ROOT = Path(__file__).resolve().parent.parent.parent
HIREDIS = ROOT / 'vendor' / 'hiredis'
needs_pkg_config = pytest.mark.skipif(PKG_CONFIG is None, reason='no pkg-config here')

PC_FILE = """\
prefix={prefix}
Name: hiredis
Description: a hiredis for one test
Version: {version}
Libs: -L${{prefix}}/lib -lhiredis
Cflags: -I${{prefix}}/include
"""


def write_pc_file(prefix: Path, version: str) -> str:
    """Describe a hiredis under the prefix, and return the folder that pkg-config is to search, and no other one."""
    folder = prefix / 'lib' / 'pkgconfig'
    folder.mkdir(parents=True)
    (folder / 'hiredis.pc').write_text(PC_FILE.format(prefix=prefix, version=version), encoding='ascii')
    return str(folder)


def build_hiredis(prefix: Path, compiler: str) -> None:
    """Compile the reader of hiredis into a library of the system's form: headers, and libhiredis.a."""
    library = prefix / 'lib' / 'libhiredis.a'
    library.parent.mkdir(parents=True, exist_ok=True)
    objects = []
    for source in ('alloc.c', 'read.c', 'sds.c'):
        objects.append(str(prefix / source.replace('.c', '.o')))
        subprocess.run([compiler, '-O0', '-fPIC', '-c', str(HIREDIS / source), '-o', objects[-1]], check=True)
    subprocess.run(['ar', 'rcs', str(library), *objects], check=True)
    headers = prefix / 'include' / 'hiredis'
    headers.mkdir(parents=True)
    for header in HIREDIS.glob('*.h'):
        shutil.copy(header, headers)


@pytest.fixture
def copy(checkout: Path) -> Path:
    """A checkout without the pinned hiredis: only the system's can be built against."""
    shutil.rmtree(checkout / 'vendor')
    return checkout


def failed_install(venv: FreshVenv, copy: Path, **variables: str) -> str:
    result = venv.try_pip(
        'install', '--no-deps', '--no-build-isolation', '.', cwd=copy, RQREG_SYSTEM_HIREDIS='1', **variables
    )
    assert result.returncode != 0
    assert 'Traceback' not in result.stdout
    return ' '.join(result.stdout.split())


def test_missing_pkg_config_is_named_with_remedy(fresh_venv: FreshVenv, copy: Path) -> None:
    output = failed_install(fresh_venv, copy, PKG_CONFIG='/nonexistent/pkg-config')
    assert 'RQREG_SYSTEM_HIREDIS=1' in output
    assert 'libhiredis-dev' in output
    assert 'unset RQREG_SYSTEM_HIREDIS' in output


@needs_pkg_config
def test_missing_hiredis_is_named_with_remedy(fresh_venv: FreshVenv, copy: Path, tmp_path: Path) -> None:
    output = failed_install(fresh_venv, copy, PKG_CONFIG_LIBDIR=str(tmp_path))
    assert 'RQREG_SYSTEM_HIREDIS=1' in output
    assert 'libhiredis-dev' in output
    assert 'unset RQREG_SYSTEM_HIREDIS' in output


@needs_pkg_config
@pytest.mark.parametrize('version', ['0.14.1', '1.2.0', '1.6.0', '2.0.0'])
def test_untried_hiredis_is_refused(fresh_venv: FreshVenv, copy: Path, tmp_path: Path, version: str) -> None:
    folder = write_pc_file(tmp_path / 'other', version)
    output = failed_install(fresh_venv, copy, PKG_CONFIG_LIBDIR=folder)
    assert f'hiredis {version}' in output
    assert '1.3, 1.4, 1.5 are' in output
    assert 'unset RQREG_SYSTEM_HIREDIS' in output


@needs_pkg_config
def test_headers_of_untried_hiredis_are_refused(
    fresh_venv: FreshVenv, copy: Path, tmp_path: Path, compiler: str
) -> None:
    """Whatever pkg-config says of them."""
    prefix = tmp_path / 'mislabelled'
    build_hiredis(prefix, compiler)
    header = prefix / 'include' / 'hiredis' / 'hiredis.h'
    text = header.read_text(encoding='utf-8')
    assert '#define HIREDIS_MINOR 5' in text
    header.write_text(text.replace('#define HIREDIS_MINOR 5', '#define HIREDIS_MINOR 2'), encoding='utf-8')
    output = failed_install(fresh_venv, copy, PKG_CONFIG_LIBDIR=write_pc_file(prefix, '1.5.0'))
    assert 'this hiredis was not tried: 1.3, 1.4 and 1.5 are' in output
    assert 'unset RQREG_SYSTEM_HIREDIS' in output


@needs_pkg_config
@pytest.mark.skipif(sys.platform != 'linux', reason='shared libraries are made in another way')
def test_library_of_another_hiredis_is_refused_when_it_is_loaded(
    fresh_venv: FreshVenv, copy: Path, tmp_path: Path, compiler: str
) -> None:
    """A shared library that was exchanged for one whose reader is laid out otherwise."""
    prefix = tmp_path / 'shared'
    build_hiredis(prefix, compiler)
    library = prefix / 'lib' / 'libhiredis.so'
    objects = [str(prefix / f'{name}.o') for name in ('alloc', 'read', 'sds')]
    subprocess.run([compiler, '-shared', *objects, '-o', str(library)], check=True)
    (prefix / 'lib' / 'libhiredis.a').unlink()
    folder = write_pc_file(prefix, '1.5.0')
    flags = f'-Wl,-rpath,{library.parent}'
    fresh_venv.install('.', cwd=copy, RQREG_SYSTEM_HIREDIS='1', PKG_CONFIG_LIBDIR=folder, RQREG_LDFLAGS=flags)
    assert run(fresh_venv.python, '-c', 'import rqreg_ext._core', cwd=tmp_path).returncode == 0
    other = tmp_path / 'other'
    shutil.copytree(HIREDIS, other)
    header = (other / 'read.h').read_text(encoding='utf-8')
    assert 'size_t pos;' in header
    (other / 'read.h').write_text(header.replace('size_t pos;', 'size_t another; size_t pos;'), encoding='utf-8')
    sources = [str(other / f'{name}.c') for name in ('alloc', 'read', 'sds')]
    subprocess.run([compiler, '-O0', '-fPIC', '-shared', *sources, '-o', str(library)], check=True)
    result = run(fresh_venv.python, '-c', 'import rqreg_ext._core', cwd=tmp_path)
    assert result.returncode == 1
    assert 'ImportError: rqreg_ext was built with hiredis 1.5.0' in result.stdout
    assert 'without RQREG_SYSTEM_HIREDIS' in result.stdout


@needs_pkg_config
def test_tried_hiredis_is_linked(
    fresh_venv: FreshVenv, copy: Path, tmp_path: Path, compiler: str, redis_server: PrivateRedis
) -> None:
    prefix = tmp_path / 'new'
    build_hiredis(prefix, compiler)
    folder = write_pc_file(prefix, '1.5.0')
    output = fresh_venv.install('.', cwd=copy, RQREG_SYSTEM_HIREDIS='1', PKG_CONFIG_LIBDIR=folder)
    assert f'-L{prefix}/lib' in output
    assert f'-I{prefix}/include' in output
    assert 'vendor/hiredis/read.c' not in output
    working.check(fresh_venv, redis_server, cwd=tmp_path)
