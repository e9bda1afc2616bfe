"""The file that an export is written into, and the one that it is read from."""

from __future__ import annotations

import errno
import gzip
import io
import os
import secrets
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

from .lines import DamagedFileError

# A file of this name is compressed; one that is read is looked into.
_GZ, _GZIP_MAGIC = '.gz', b'\x1f\x8b'
# The fastest that makes a file small: a higher level takes longer than all else.
_COMPRESSION = 1
# How much is read at a time. The last line is shorter, unless there are very many queues.
_BLOCK = 1 << 20
# A file of another kind may have no lines at all, and more octets than there is memory.
_LONGEST_FIRST_LINE = 1 << 16


class OutputFile:
    """A file that is under another name until it is complete; or one that is open, and stays so.

    Attributes:
        name: The name of the file, or a description of it.
    """

    def __init__(self, file: Any) -> None:
        """Open the file. Raises FileExistsError if there is one of this name, TypeError, and OSError."""
        self._path: str | None = None
        if hasattr(file, 'write'):
            if isinstance(file, io.TextIOBase):
                raise TypeError(f'{file!r} is a text file: open it in binary mode, or give its name')
            self.name = str(getattr(file, 'name', file))
            self._stream: Any = file
            return
        if not isinstance(file, (str, os.PathLike)):
            raise TypeError(f'{file!r} is not a file: give a path, or a file that is open for writing in binary mode')
        self._path = self.name = os.fspath(file)
        self._check_is_new()
        self._partial = f'{self._path}.{secrets.token_hex(4)}.part'
        self._raw = open(self._partial, 'xb')  # noqa: SIM115 - closed by commit() or discard()
        self._stream = self._raw
        if self._path.endswith(_GZ):
            self._stream = gzip.GzipFile('', 'wb', _COMPRESSION, self._raw)

    def _check_is_new(self) -> None:
        if not self.name:
            raise FileNotFoundError(errno.ENOENT, 'it has no name: give one', self.name)
        if os.path.lexists(self.name):
            raise FileExistsError(errno.EEXIST, 'the file exists already: give another name, or remove it', self.name)

    def write(self, data: bytes) -> None:
        """Write some lines."""
        with naming(self.name):
            self._stream.write(data)

    def commit(self) -> None:
        """Give the complete file its name. It is on the disk then, and not only in memory."""
        with naming(self.name):
            if self._path is None:
                self._stream.flush()
                return
            if self._stream is not self._raw:
                self._stream.close()
            self._raw.flush()
            os.fsync(self._raw.fileno())
            self._raw.close()
        self._rename()
        _sync_folder(os.path.dirname(self._path) or '.')

    def _rename(self) -> None:
        """Raise FileExistsError if the name was given to another file meanwhile: rename() would replace that."""
        assert self._path is not None
        try:
            os.link(self._partial, self._path)
        except OSError as error:
            self._check_is_new()
            # Some file systems have no links.
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
                raise
            os.rename(self._partial, self._path)
        else:
            os.unlink(self._partial)

    def discard(self) -> None:
        """Remove what was written, as far as that is under another name."""
        if self._path is None:
            return
        try:
            # What cannot be written is not wanted any more.
            with suppress(OSError):
                self._raw.close()
        finally:
            if os.path.exists(self._partial):
                os.unlink(self._partial)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Have OSErrors in the block name the file."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = name
        raise


def _sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems cannot.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


class InputFile:
    """A file that is read line by line, whether it is compressed or not.

    Attributes:
        name: The name of the file, or a description of it.
        number: The number of the line that was read last.
    """

    def __init__(self, file: Any) -> None:
        """Open the file. Raises TypeError, and OSError."""
        self.number = 0
        self._opened: BinaryIO | None = None
        if isinstance(file, (str, os.PathLike)):
            self.name = os.fspath(file)
            self._opened = file = open(file, 'rb')  # noqa: SIM115 - closed by close()
        elif not hasattr(file, 'read') or isinstance(file, io.TextIOBase):
            raise TypeError(f'{file!r} is not a file: give a path, or a file that is open for reading in binary mode')
        else:
            self.name = str(getattr(file, 'name', file))
        self._wrapper = None if hasattr(file, 'peek') else io.BufferedReader(file)
        self._stream: Any = self._wrapper or file
        if self._stream.peek(2)[:2] == _GZIP_MAGIC:
            self._stream = gzip.GzipFile(fileobj=self._stream, mode='rb')

    def first_line(self) -> bytes:
        """Return the first line, or its beginning if that is too long. Raises DamagedFileError, and OSError."""
        self.number = 1
        with self._reading():
            return bytes(self._stream.readline(_LONGEST_FIRST_LINE))

    def lines(self) -> Iterator[bytes]:
        """Yield the lines that follow, but for blank ones.

        Raises DamagedFileError if what is compressed cannot be read, and OSError.
        """
        with self._reading():
            self.number += 1
            while line := self._stream.readline():
                if not line.isspace():
                    yield line
                self.number += 1
        self.number -= 1

    def last_line(self) -> bytes:
        """Read all that follows, and return the last line. Raises DamagedFileError, and OSError."""
        tail = b''
        with self._reading():
            while octets := self._stream.read(_BLOCK):
                tail = (tail + octets)[-_BLOCK:]
        return tail.rstrip().rpartition(b'\n')[2]

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            with naming(self.name):
                yield
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DamagedFileError(f'it cannot be read ({error})') from error

    def damaged(self, why: object) -> DamagedFileError:
        """Return the error for the line that was read last."""
        return DamagedFileError(f'{self.name}, line {max(self.number, 1)}: {why}')

    def close(self) -> None:
        """Close the file, if it was opened here."""
        if self._wrapper is not None:
            # Which would close the file when it goes.
            self._wrapper.detach()
        if self._opened is not None:
            self._opened.close()
