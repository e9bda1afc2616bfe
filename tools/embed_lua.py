"""Turn the Lua scripts of src/ into one C header: for each, its text, length and SHA1 (what EVALSHA names)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

REQUIRES = b'-- requires '


def _script(path: Path) -> bytes:
    """Return the script's text, after that of the files that its first line requires."""
    text = path.read_bytes()
    first_line = text.partition(b'\n')[0]
    if not first_line.startswith(REQUIRES):
        return text
    required = first_line.removeprefix(REQUIRES).decode('ascii').split()
    return b''.join(path.with_name(name).read_bytes() for name in required) + text


def _definition(path: Path) -> str:
    text = _script(path)
    sha1 = hashlib.sha1(text, usedforsecurity=False).hexdigest()
    octets = ','.join(str(octet) for octet in text)
    name = path.stem
    return (
        f'static const char lua_{name}_text[] = {{{octets},0}};\n'
        f'static const size_t lua_{name}_length = {len(text)};\n'
        f'static const char lua_{name}_sha1[] = "{sha1}";\n'
    )


def write_header(scripts: Iterable[Path], header: Path) -> None:
    """Write the header of the scripts, those that are only required by others (`.inc.lua`) apart.

    Only where its content changes, so that an unchanged tree is not compiled again.
    """
    whole = [path for path in scripts if not path.name.endswith('.inc.lua')]
    names = ' '.join(f'X({path.stem})' for path in whole)
    content = '#pragma once\n#include <stddef.h>\n' + '\n'.join(map(_definition, whole))
    content += f'\n#define LUA_SCRIPTS(X) {names}\n'
    header.parent.mkdir(parents=True, exist_ok=True)
    if not header.is_file() or header.read_text(encoding='ascii') != content:
        header.write_text(content, encoding='ascii')
