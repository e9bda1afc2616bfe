"""The server that the tests run on ends with the process that started it, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from host.patience import eventually

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
OWNER = """\
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from private_redis import PrivateRedis
server = PrivateRedis().start()
print(server.pid, server.folder, flush=True)
if sys.argv[2] == 'stopped server':
    os.kill(server.pid, signal.SIGSTOP)
if sys.argv[2] == 'after a restart':
    server.kill()
    print(server.start().pid, flush=True)
sys.stdin.readline()
"""


def is_running(pid: int) -> bool:
    """Tell whether there is a process of that id: what its parent left is reaped by the system."""
    state = subprocess.run(['ps', '-o', 'stat=', '-p', str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith('Z')


@pytest.mark.parametrize('case', ['running server', 'stopped server', 'after a restart'])
def test_server_ends_with_its_owner(case: str) -> None:
    command = [sys.executable, '-c', OWNER, str(TOOLS), case]
    owner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid, folder = owner.stdout.readline().split()
    if case == 'after a restart':
        pid = owner.stdout.readline()
    assert is_running(int(pid))
    assert os.path.isdir(folder)
    os.kill(owner.pid, signal.SIGKILL)
    owner.communicate()
    assert eventually(lambda: not is_running(int(pid)))
    assert eventually(lambda: not os.path.exists(folder))
