"""Compiling the fuzz targets: with libFuzzer by clang, or with the main() of replay.c by any compiler."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent

sys.path.insert(0, str(ROOT / 'tools'))

import fetch_hiredis  # noqa: E402

# What each target is linked with.
TARGETS = {
    'reply': [
        'src/reply.c',
        'src/reply_objects.c',
        'src/entries.c',
        'vendor/hiredis/alloc.c',
        'vendor/hiredis/read.c',
        'vendor/hiredis/sds.c',
    ],
    'command': ['src/command.c'],
}

CFLAGS = ['-std=c11', '-D_DEFAULT_SOURCE', '-O1', '-g', '-UNDEBUG', '-fno-omit-frame-pointer']
WARNINGS = ['-Wall', '-Wextra', '-Werror', '-Wshadow', '-Wno-missing-field-initializers']
SANITIZERS = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all']
# hiredis adds 2 to a length of up to LLONG_MAX before it compares: it wraps around, and is then too long as before.
HIREDIS_FLAGS = ['-w', '-fno-sanitize=signed-integer-overflow']


class NotEmbeddable(Exception):
    """This Python cannot be linked into a program; the reason is the text."""


def embedding_flags() -> tuple[list[str], list[str]]:
    """Return the flags that compile and link a program with this Python in it."""

    def variable(name: str) -> str:
        return str(sysconfig.get_config_var(name) or '')

    library = f'python{variable("LDVERSION")}'
    folders = [folder for folder in (variable('LIBDIR'), variable('LIBPL')) if folder]
    names = (f'lib{library}.so', f'lib{library}.dylib', f'lib{library}.a')
    for folder in folders:
        if any(Path(folder, name).is_file() for name in names):
            link = [f'-L{folder}', f'-Wl,-rpath,{folder}', f'-l{library}']
            link += shlex.split(f'{variable("LINKFORSHARED")} {variable("LIBS")} {variable("SYSLIBS")}')
            return [f'-I{sysconfig.get_path("include")}'], link
    raise NotEmbeddable(
        f'Python {sys.version.split()[0]} ({sys.executable}) has no {" or ".join(names)} in {" or ".join(folders)}: '
        'it was built with neither a shared nor a static library. Use another: make PYTHON=/usr/bin/python3'
    )


def has_sanitizers(compiler: str) -> bool:
    """Tell whether the compiler can link programs with AddressSanitizer in them."""
    with tempfile.TemporaryDirectory(prefix='rqreg-probe-') as folder:
        source = Path(folder, 'probe.c')
        source.write_text('int main(void) { return 0; }\n', encoding='ascii')
        command = [*shlex.split(compiler), *SANITIZERS, str(source), '-o', str(source.with_suffix(''))]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def build_fuzzer(target: str, folder: Path) -> Path:
    """Compile a target with libFuzzer into `folder` and return the program."""
    return _build(target, folder, 'clang', ['-fsanitize=fuzzer', *SANITIZERS], [])


def build_replay(target: str, folder: Path) -> Path:
    """Compile a target that runs files, each once, into `folder` and return the program; any compiler will do."""
    compiler = os.environ.get('CC') or sysconfig.get_config_var('CC') or 'cc'
    return _build(target, folder, compiler, SANITIZERS if has_sanitizers(compiler) else [], ['replay.c'])


def _build(target: str, folder: Path, compiler: str, options: list[str], main: list[str]) -> Path:
    compile_flags, link_flags = embedding_flags()
    vendored = fetch_hiredis.fetch()
    folder.mkdir(parents=True, exist_ok=True)
    places = [f'-DFUZZ_PYTHON="{sys.executable}"', f'-DFUZZ_ROOT="{ROOT}"']
    includes = [f'-I{ROOT / "src"}', f'-I{vendored.parent}', *compile_flags]
    sources = [FOLDER / name for name in (f'{target}_target.c', 'host.c', *main)]
    objects = []
    for source in [*sources, *(ROOT / name for name in TARGETS[target])]:
        flags = HIREDIS_FLAGS if source.parent == vendored else WARNINGS
        objects.append(folder / f'{target}-{source.stem}.o')
        _run(compiler, *CFLAGS, *options, *flags, *places, *includes, '-c', str(source), '-o', str(objects[-1]))
    program = folder / f'{target}-fuzzer'
    _run(compiler, *options, *map(str, objects), *link_flags, '-o', str(program))
    return program


def _run(compiler: str, *arguments: str) -> None:
    command = [*shlex.split(compiler), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f'{shlex.join(command)}\n{result.stderr}')
