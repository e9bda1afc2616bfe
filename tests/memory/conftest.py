"""What the memory checks share: the shim, and which of them run in the short form."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from .preload import compile_shim

# `make check-memory` sets it: everything, not only the short form that runs with the other tests.


@pytest.fixture(scope='session')
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled failing_malloc.c."""
    if not sys.platform.startswith('linux') or os.confstr('CS_GNU_LIBC_VERSION') is None:
        pytest.skip('allocations are made to fail through LD_PRELOAD and glibc')
    return compile_shim(tmp_path_factory.mktemp('shim'))
