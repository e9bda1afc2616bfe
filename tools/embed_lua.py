"""Turn the Lua scripts of src/lua/ into two C headers: their texts, and the indexes of their arguments.

Comments at the beginning of a script are read here:

    -- requires other.inc.lua          the text of other.inc.lua is put before the script's, once
    -- arguments: one two              what the caller passes, by name

A script has the arguments of the files that it requires, and then its own; a name that several files have is one
argument. In Lua they are local variables of these names, and REST is the index in ARGV of what follows them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_REQUIRES = '-- requires '
_ARGUMENTS = re.compile(r'^-- arguments: (.+)$', re.MULTILINE)


class Script(NamedTuple):
    """A script with all that it requires."""

    name: str
    text: bytes
    arguments: tuple[str, ...]


def read_script(path: Path) -> Script:
    """Read a script and the files that it requires."""
    texts = list(_read_with_required(path).values())
    names = (name for text in texts for line in _ARGUMENTS.findall(text) for name in line.split())
    arguments = tuple(dict.fromkeys(names))
    return Script(path.stem, ''.join([_locals(arguments), *texts]).encode(), arguments)


def _read_with_required(path: Path) -> dict[Path, str]:
    """Return the text of a file, after those of the files that its first line requires, and of what these require."""
    text = path.read_text(encoding='utf-8')
    first_line = text.partition('\n')[0]
    required = first_line.removeprefix(_REQUIRES).split() if first_line.startswith(_REQUIRES) else []
    texts: dict[Path, str] = {}
    for name in required:
        texts |= _read_with_required(path.with_name(name))
    return {**texts, path: text}


def _locals(arguments: tuple[str, ...]) -> str:
    if not arguments:
        return ''
    return f'local {", ".join(arguments)} = unpack(ARGV, 1, {len(arguments)})\nlocal REST = {len(arguments) + 1}\n'


def _source(script: Script) -> str:
    octets = ','.join(str(octet) for octet in script.text)
    sha1 = hashlib.sha1(script.text, usedforsecurity=False).hexdigest()
    return (
        f'static const char lua_{script.name}_text[] = {{{octets},0}};\n'
        f'static const size_t lua_{script.name}_length = {len(script.text)};\n'
        f'static const char lua_{script.name}_sha1[] = "{sha1}";\n'
        f'static const char lua_{script.name}_arguments[] = "{" ".join(script.arguments)}";\n'
    )


def _indexes(script: Script) -> str:
    names = ', '.join(f'lua_{script.name}_{name}' for name in (*script.arguments, 'argument_count'))
    return f'enum {{ {names} }};\n'


def write_headers(scripts: Iterable[Path], folder: Path) -> None:
    """Write lua_sources.h and lua_arguments.h for the scripts; not for files that are only required (`.inc.lua`).

    A header is written only if its content changes, so that an unchanged tree is not compiled again.
    """
    read = [read_script(path) for path in scripts if not path.name.endswith('.inc.lua')]
    names = ' '.join(f'X({script.name})' for script in read)
    sources = '#include <stddef.h>\n' + '\n'.join(map(_source, read)) + f'\n#define LUA_SCRIPTS(X) {names}\n'
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / 'lua_sources.h', sources)
    _write(folder / 'lua_arguments.h', ''.join(map(_indexes, read)))


def _write(header: Path, content: str) -> None:
    content = '#pragma once\n' + content
    if not header.is_file() or header.read_text(encoding='ascii') != content:
        header.write_text(content, encoding='ascii')
