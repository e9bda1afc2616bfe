"""Build of the C core: our sources, the Lua scripts compiled in, and hiredis (pinned or the system's)."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import zipfile
from glob import glob
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_clib import build_clib
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / 'tools'))

import bill_of_materials  # noqa: E402
import build_tools  # noqa: E402
import embed_lua  # noqa: E402
import fetch_hiredis  # noqa: E402

# Read by every interpreter of the environment at its start; it belongs next to the package, not in it. From CPython
# 3.15 on, a .start file names what is called (PEP 829).
AT_START = 'rqreg_ext.start' if sys.version_info >= (3, 15) else 'rqreg_ext.pth'
SYSTEM_HIREDIS = os.environ.get('RQREG_SYSTEM_HIREDIS') == '1'
DEBUG = os.environ.get('RQREG_DEBUG') == '1'
# The reader is changed from outside (src/reply.c, which refuses others too): only versions that were tried with the
# corpus of fuzz/. Older ones read attributes and doubles in another way.
TRIED_HIREDIS = ('1.3', '1.4', '1.5')
STRICT = os.environ.get('RQREG_STRICT') == '1'

CFLAGS = ['-std=c11', '-fvisibility=hidden']
CFLAGS += ['-O0', '-g3', '-UNDEBUG'] if DEBUG else ['-O2']
WARNINGS = [
    '-Wall',
    '-Wextra',
    '-Werror',
    '-Wshadow',
    '-Wconversion',
    '-Wsign-compare',
    '-Wno-missing-field-initializers',
]
EXTRA_CFLAGS = shlex.split(os.environ.get('RQREG_CFLAGS', ''))
EXTRA_LDFLAGS = shlex.split(os.environ.get('RQREG_LDFLAGS', ''))


def system_hiredis() -> tuple[list[str], list[str]]:
    """Return the compile and link flags of the system's hiredis, or end with a clear error."""

    def pkg_config(*args: str) -> str | None:
        command = [os.environ.get('PKG_CONFIG', 'pkg-config'), *args, 'hiredis']
        try:
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return None

    version = pkg_config('--modversion')
    if version is None:
        sys.exit(
            'RQREG_SYSTEM_HIREDIS=1, but pkg-config finds no hiredis. Install its development package '
            '(libhiredis-dev, hiredis-devel) and pkg-config, or unset RQREG_SYSTEM_HIREDIS to build the pinned one.'
        )
    if '.'.join(version.split('.')[:2]) not in TRIED_HIREDIS:
        sys.exit(
            f'RQREG_SYSTEM_HIREDIS=1, but the system has hiredis {version}, which was not tried: '
            f'{", ".join(TRIED_HIREDIS)} are. Install one of those, or unset RQREG_SYSTEM_HIREDIS to build the '
            'pinned one.'
        )
    return shlex.split(pkg_config('--cflags') or ''), shlex.split(pkg_config('--libs') or '')


def require_build_tools(command: build_clib | build_ext) -> None:
    """End with a clear error where this command's compiler compiles nothing, or there are no headers of Python."""
    headers = command.get_finalized_command('build_ext').include_dirs
    lacking = build_tools.missing([*command.compiler.compiler_so, *EXTRA_CFLAGS], headers)
    if lacking:
        sys.exit(build_tools.explain(lacking))


class BuildClib(build_clib):
    """Build the static hiredis, the first thing that is compiled."""

    def build_libraries(self, libraries: list[tuple[str, dict[str, list[str]]]]) -> None:
        """Try the compiler, then compile as usual."""
        require_build_tools(self)
        super().build_libraries(libraries)


class BuildExt(build_ext):
    """Generate the headers for the Lua scripts before the C core is compiled."""

    def build_extensions(self) -> None:
        """Add the generated headers, then compile as usual."""
        require_build_tools(self)
        generated = Path(self.build_temp).resolve() / 'generated'
        embed_lua.write_headers(sorted(Path('src/lua').rglob('*.lua')), generated)
        for extension in self.extensions:
            extension.include_dirs.append(str(generated))
        super().build_extensions()


class BuildPy(build_py):
    """Put the file for the start at the root of what is built."""

    def run(self) -> None:
        """Build as usual, then add the file."""
        super().run()
        if not self.editable_mode:
            self.copy_file(AT_START, os.path.join(self.build_lib, AT_START), preserve_mode=False)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Return the files that are built, this one too."""
        return [*super().get_outputs(include_bytecode), os.path.join(self.build_lib, AT_START)]


class BdistWheel(bdist_wheel):
    """Add the bill of materials to a wheel."""

    def write_wheelfile(self, wheelfile_base: str, *args: str) -> None:
        """Write the file WHEEL as usual, and next to it what is compiled in."""
        super().write_wheelfile(wheelfile_base, *args)
        if not SYSTEM_HIREDIS:
            bill = Path(wheelfile_base, 'sboms', 'rqreg_ext.cdx.json')
            bill.parent.mkdir(exist_ok=True)
            bill.write_text(bill_of_materials.document(self.distribution.get_version()), encoding='utf-8')


class EditableWheel(editable_wheel):
    """Put the file for the start into the wheel of an editable installation."""

    def _select_strategy(self, *args: object) -> object:
        return WithFileForStart(super()._select_strategy(*args))


class WithFileForStart:
    """A way of setuptools to make a wheel editable, and our file added to the wheel."""

    def __init__(self, strategy: object) -> None:
        self.strategy = strategy

    def __enter__(self) -> WithFileForStart:
        self.strategy.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.strategy.__exit__(*error)

    def __call__(self, wheel: zipfile.ZipFile, files: list[str], mapping: dict[str, str]) -> None:
        """Write the wheel's other files, then ours."""
        self.strategy(wheel, files, mapping)
        wheel.write(AT_START, AT_START)


core = Extension(
    'rqreg_ext._core',
    sources=sorted(glob('src/*.c')),
    depends=[*glob('src/*.h'), *glob('src/lua/**/*.lua', recursive=True)],
    include_dirs=['src'],
    extra_compile_args=[*CFLAGS, *(WARNINGS if STRICT else []), *EXTRA_CFLAGS],
    extra_link_args=EXTRA_LDFLAGS,
)
libraries = []
if SYSTEM_HIREDIS:
    compile_flags, link_flags = system_hiredis()
    core.extra_compile_args += compile_flags
    core.extra_link_args += link_flags
else:
    try:
        fetch_hiredis.fetch()
    except RuntimeError as error:
        sys.exit(str(error))
    core.include_dirs.append('vendor')
    build_info = {
        'sources': [f'vendor/hiredis/{name}.c' for name in ('alloc', 'read', 'sds')],
        'include_dirs': ['vendor/hiredis'],
        # hiredis adds to lengths on the server's word, which may be as long as an integer can be.
        'cflags': [*CFLAGS, '-fPIC', '-fwrapv', *EXTRA_CFLAGS],
    }
    libraries.append(('hiredis', build_info))

setup(
    ext_modules=[core],
    libraries=libraries,
    cmdclass={
        'bdist_wheel': BdistWheel,
        'build_clib': BuildClib,
        'build_ext': BuildExt,
        'build_py': BuildPy,
        'editable_wheel': EditableWheel,
    },
)
