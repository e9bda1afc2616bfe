"""A build that cannot succeed says why."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from offline import FreshVenv


def try_install(venv: FreshVenv, checkout: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return venv.try_pip('install', '--no-deps', '--no-build-isolation', '.', cwd=checkout, **variables)


def test_no_compiler(fresh_venv: FreshVenv, checkout: Path) -> None:
    result = try_install(fresh_venv, checkout, CC='/nonexistent/cc')
    assert result.returncode != 0
    assert "there is no C compiler '/nonexistent/cc'" in result.stdout


def test_no_network_and_no_hiredis(fresh_venv: FreshVenv, checkout: Path) -> None:
    # This also shows that the builds of the other tests, under the same environment, fetched nothing.
    shutil.rmtree(checkout / 'vendor')
    result = try_install(fresh_venv, checkout)
    assert result.returncode != 0
    assert 'Could not fetch the hiredis sources' in result.stdout
    assert 'RQREG_SYSTEM_HIREDIS=1' in result.stdout
