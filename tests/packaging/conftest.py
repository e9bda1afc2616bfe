"""What is packaged, made once per pytest process."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import offline
from instrumented import copy_checkout
from offline import FreshVenv

SDIST = 'from setuptools import build_meta; print(build_meta.build_sdist("dist"))'


@pytest.fixture(scope='session')
def lent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages that every fresh environment sees."""
    return offline.lend(tmp_path_factory.mktemp('lent') / 'site-packages')


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checkout, never built in."""
    return copy_checkout(tmp_path / 'checkout')


@pytest.fixture(scope='session')
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our source distribution."""
    folder = copy_checkout(tmp_path_factory.mktemp('sdist') / 'rqreg_ext')
    result = offline.run(sys.executable, '-c', SDIST, cwd=folder)
    assert result.returncode == 0, result.stdout
    return folder / 'dist' / result.stdout.splitlines()[-1]


@pytest.fixture
def fresh_venv(tmp_path: Path, lent: Path) -> FreshVenv:
    """A fresh environment of the Python that runs the tests."""
    return FreshVenv(tmp_path / 'venv', Path(sys.executable), lent)


@pytest.fixture(scope='session')
def wheel(tmp_path_factory: pytest.TempPathFactory, lent: Path) -> Path:
    """Our wheel for the Python that runs the tests."""
    folder = tmp_path_factory.mktemp('wheel')
    checkout = copy_checkout(folder / 'checkout')
    return FreshVenv(folder / 'venv', Path(sys.executable), lent).wheel(checkout, folder)


@pytest.fixture(scope='session')
def compiler() -> str:
    """The C compiler that builds use."""
    return (sysconfig.get_config_var('CC') or 'cc').split()[0]
