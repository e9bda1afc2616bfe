"""A CPython of Debian 12 for another processor, which qemu runs: see tools/platforms.py.

The packages of the processor are unpacked into a private folder, as tools/debian_python.py does it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from debian_python import Unpacked


class ForeignPython(Unpacked):
    """A CPython of a Debian architecture, in a folder of its own; `qemu` is the program that runs it."""

    release = 'bookworm'
    parts = ('dev',)

    def __init__(self, version: str, architecture: str, qemu: str) -> None:
        super().__init__(version, f'{version}-{architecture}')
        self.architecture = architecture
        self.qemu = qemu
        self.command = self.root / 'usr' / 'bin' / 'python'

    def _apt_options(self) -> Mapping[str, str]:
        return {'APT::Architecture': self.architecture, 'APT::Architectures': self.architecture}

    def _make_usable(self) -> None:
        """Write the command that runs it: a program that it starts by sys.executable runs by qemu too."""
        emulated = shlex.join([self.qemu, '-L', str(self.root)])
        self.command.write_text(
            f'#!/bin/sh\nexec {emulated} -0 "$0" {shlex.quote(str(self.python))} "$@"\n', encoding='utf-8'
        )
        self.command.chmod(0o755)
        # The system may have headers of the same Python there, for its own processor.
        self._move_in_configuration(f'/usr/include/python{self.version}')
