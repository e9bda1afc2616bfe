"""A lost connection, and Ctrl-C, in each phase of each command: from the first reply to one of the last."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from private_redis import PrivateRedis
from redis import Redis

from .cutting_relay import CuttingRelay
from .running import SECONDS, Command
from .test_conventions import LOCAL, MONITORING, WITHOUT_TERMINAL, arguments_of, options_of

# The share of the replies that are passed.
PHASES = (0.0, 0.4, 0.8)
WITH_SERVER = [name for name in WITHOUT_TERMINAL if name not in LOCAL]


def arguments(name: str) -> list[str]:
    """Return arguments with which a command does something, which takes several round trips."""
    found = [argument for argument in arguments_of(name) if argument != '--dry-run']
    options = options_of(name)
    if '--yes' in options and name != 'fsck':
        found.append('--yes')
    if '--func' in options:
        found += ['--func', 'shop.*']
    if name == 'log':
        found += ['--log', 'stream']
    return found


@contextmanager
def in_each_phase(name: str, port: int, silent: bool) -> Iterator[list[tuple[CuttingRelay, subprocess.Popen[str]]]]:
    """Run a command once for each phase, at the same time."""
    words = arguments(name)
    dry_run = ['--dry-run'] if '--dry-run' in options_of(name) and name != 'fsck' else []
    with CuttingRelay(port) as relay:
        process = Command(relay.url).start(*words, *dry_run)
        process.communicate(timeout=SECONDS)
        total = relay.passed
    assert total > 0
    with ExitStack() as stack:
        relays = [stack.enter_context(CuttingRelay(port, int(total * phase), silent)) for phase in PHASES]
        yield [(relay, Command(relay.url).start(*words)) for relay in relays]


@pytest.mark.parametrize('name', WITH_SERVER)
def test_connection_lost_in_any_phase_is_one_line(name: str, shop_jobs: Redis, redis_server: PrivateRedis) -> None:
    with in_each_phase(name, redis_server.port, silent=False) as runs:
        for relay, process in runs:
            out, err = process.communicate(timeout=SECONDS)
            assert relay.is_cut.is_set(), (out, err)
            assert process.returncode == (2 if name in MONITORING else 4), (out, err)
            said = out if name in MONITORING else err
            assert 'Error' in said
            assert len(said.splitlines()) == 1
            assert 'Traceback' not in out + err


@pytest.mark.parametrize('name', WITH_SERVER)
def test_ctrl_c_in_any_phase_is_status_130(name: str, shop_jobs: Redis, redis_server: PrivateRedis) -> None:
    with in_each_phase(name, redis_server.port, silent=True) as runs:
        for relay, process in runs:
            assert relay.is_cut.wait(SECONDS)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=SECONDS)
            assert process.returncode == 130, (out, err)
            assert err == 'rqreg: interrupted\n'
