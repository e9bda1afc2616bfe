"""Turn the Lua scripts of src/ into one C header: for each, its text, length and SHA1 (what EVALSHA names)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def _definition(path: Path) -> str:
    text = path.read_bytes()
    sha1 = hashlib.sha1(text, usedforsecurity=False).hexdigest()
    octets = ','.join(str(octet) for octet in text)
    name = path.stem
    return (
        f'static const char lua_{name}_text[] = {{{octets},0}};\n'
        f'static const size_t lua_{name}_length = {len(text)};\n'
        f'static const char lua_{name}_sha1[] = "{sha1}";\n'
    )


def write_header(scripts: Iterable[Path], header: Path) -> None:
    """Write the header, only where its content changes, so that an unchanged tree is not compiled again."""
    content = '#pragma once\n#include <stddef.h>\n' + '\n'.join(_definition(path) for path in scripts)
    header.parent.mkdir(parents=True, exist_ok=True)
    if not header.is_file() or header.read_text(encoding='ascii') != content:
        header.write_text(content, encoding='ascii')
