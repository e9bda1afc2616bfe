"""A checkout, our sdist and our wheel install on every supported CPython, offline, and work against a real Redis."""

from __future__ import annotations

import shutil
from pathlib import Path

import interpreters
import pytest
import working
from offline import FreshVenv
from private_redis import PrivateRedis


@pytest.fixture(params=interpreters.VERSIONS)
def venv(request: pytest.FixtureRequest, tmp_path: Path, lent: Path) -> FreshVenv:
    """A fresh environment of each CPython that this machine has."""
    interpreter = interpreters.find(request.param)
    if interpreter is None:
        pytest.skip(f'no CPython {request.param} here')
    return FreshVenv(tmp_path / 'venv', interpreter, lent)


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / 'empty'
    folder.mkdir()
    return folder


def test_some_interpreter_is_tried() -> None:
    assert any(interpreters.find(version) for version in interpreters.VERSIONS)


def test_checkout_installs_and_works(venv: FreshVenv, checkout: Path, empty: Path, redis_server: PrivateRedis) -> None:
    venv.install('.', cwd=checkout)
    working.check(venv, redis_server, cwd=empty)
    working.check_subinterpreters(venv, redis_server, cwd=empty)


def test_sdist_installs_by_building_and_works(
    venv: FreshVenv, sdist: Path, empty: Path, redis_server: PrivateRedis
) -> None:
    here = shutil.copy(sdist, empty)
    output = venv.install(here, cwd=empty)
    assert 'building' in output
    working.check(venv, redis_server, cwd=empty)
    assert [path.name for path in empty.iterdir()] == [sdist.name]


def test_wheel_installs_without_compiler_and_works(
    venv: FreshVenv, checkout: Path, empty: Path, redis_server: PrivateRedis
) -> None:
    wheel = venv.wheel(checkout, empty)
    # Nothing is left to build from.
    shutil.rmtree(checkout)
    venv.install(wheel, cwd=empty, CC='/nonexistent/cc')
    working.check(venv, redis_server, cwd=empty)
