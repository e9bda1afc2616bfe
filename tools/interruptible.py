"""Run other programs so that Ctrl-C ends them in good order, and in one line.

A program runs in a session of its own: the Ctrl-C of a terminal reaches only this process, which passes it on,
keeps back what the program says of it, and waits. Thus apt can finish what it has begun to unpack, and pip
remove its temporary files. A second Ctrl-C kills.
"""

from __future__ import annotations

import contextlib
import io
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import BinaryIO

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# How often a wait looks for a signal, in seconds.
INTERVAL = 0.1
# How long the children of an interrupted program may take to end after it, in seconds.
PATIENCE = 5.0

_received: list[int] = []


class Interrupted(Exception):
    """One of SIGNALS has come, and what was running is gone."""


def _note(number: int, frame: FrameType | None) -> None:
    _received.append(number)


def check() -> None:
    """Raise Interrupted if a signal has come."""
    if _received:
        raise Interrupted


def pause() -> None:
    """Wait a moment, or raise Interrupted."""
    check()
    time.sleep(INTERVAL)


def run(command: Sequence[str], variables: Mapping[str, str] | None = None, output: BinaryIO | None = None) -> int:
    """Run a command with these environment variables added, and return its exit status.

    What it prints goes to `output`, by default to stdout.
    Raises OSError if it cannot be started, Interrupted once it is gone after a signal.
    """
    check()
    process = subprocess.Popen(
        command,
        env={**os.environ, **(variables or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    with process:
        _copy_output(process, output or sys.stdout.buffer)
    if _received:
        _end_group(process.pid)
    check()
    return process.returncode


def run_make(arguments: Sequence[str], ARGS: str = '', output: BinaryIO | None = None) -> int:
    """Do what run() does with a target of the Makefile, which is given these ARGS.

    What the make that runs this program hands on, its own ARGS among them, is meant for this program alone.
    """
    return run(['make', *arguments], {'MAKEFLAGS': '', 'MAKELEVEL': '0', 'ARGS': ARGS}, output)


def run_quietly(command: Sequence[str], variables: Mapping[str, str] | None = None) -> int:
    """Do what run() does, and print what the command prints only if it fails."""
    output = io.BytesIO()
    status = run(command, variables, output)
    if status != 0:
        sys.stdout.buffer.write(output.getvalue())
        sys.stdout.flush()
    return status


def _copy_output(process: subprocess.Popen[bytes], output: BinaryIO) -> None:
    """Copy what the process prints until it is gone, or until there is a signal, which it gets as SIGINT."""
    assert process.stdout is not None
    passed_on = 0
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if len(_received) > passed_on:
                _signal_group(process.pid, signal.SIGKILL if passed_on else signal.SIGINT)
                passed_on = len(_received)
            if selector.select(INTERVAL):
                block = os.read(process.stdout.fileno(), 65536)
                if not block:
                    return
                if not passed_on:
                    output.write(block)
                    output.flush()
            elif process.poll() is not None:
                # A service that the process has started may keep the pipe open.
                return


def _end_group(group: int) -> None:
    """Wait for what the process has left running, then kill it: it would be in the way of the next run."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(INTERVAL)
    _signal_group(group, signal.SIGKILL)


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def main(name: str, do: Callable[[], None]) -> None:
    """Call a program's `do`; after a signal end with one line, and with the exit status of a shell (130 for Ctrl-C)."""
    for number in SIGNALS:
        signal.signal(number, _note)
    try:
        do()
        check()
    except Interrupted:
        print(f'{name}: interrupted', file=sys.stderr, flush=True)
        sys.exit(128 + _received[0])
