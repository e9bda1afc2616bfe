"""What every run needs: a private Redis, the web page and an RQ worker process, which all end with the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from redis import Redis
from rq import Queue, Worker
from rq.registry import StartedJobRegistry

from .interruption import wait_until
from .page import Page

EXAMPLES = Path(__file__).resolve().parent.parent
DOCUMENTED_SCRIPTS = EXAMPLES / 'documented_scripts'
sys.path.insert(0, str(EXAMPLES.parent / 'tools'))

from private_redis import PrivateRedis  # noqa: E402


class Stage:
    """A context manager with the attributes `connection`, `queue` and `page`."""

    def __init__(self) -> None:
        self._exits = ExitStack()

    def __enter__(self) -> Stage:
        with ExitStack() as undo:
            self.server = undo.enter_context(PrivateRedis())
            # With a timeout, so that a server that hangs ends the run.
            self.connection: Redis = self.server.client(socket_timeout=60)
            undo.callback(self.connection.close)
            self.queue = Queue(connection=self.connection)
            self.page = Page()
            self.page.start()
            undo.callback(self.page.stop)
            self.worker = start_worker(self.server, self.page)
            undo.callback(stop_worker, self.worker)
            # Before stop_worker(): the worker ends only after its job, which waits for the page.
            undo.callback(self.page.release)
            wait_until(self._has_worker, 'the RQ worker to start')
            self._exits = undo.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._exits.close()

    def _has_worker(self) -> bool:
        if self.worker.poll() is not None:
            log = Path(self.server.folder, 'worker.log').read_text(encoding='utf-8', errors='replace')
            raise RuntimeError(f'the RQ worker ended with exit status {self.worker.returncode}:\n{log}')
        return bool(Worker.all(connection=self.connection))

    def settle(self) -> None:
        """Wait until all jobs have ended, then stop the worker."""
        self.page.release()
        wait_until(self._is_idle, 'the RQ worker to finish its jobs')
        stop_worker(self.worker)

    def _is_idle(self) -> bool:
        running = StartedJobRegistry(queue=self.queue).get_job_count(cleanup=False)
        states = {worker.get_state() for worker in Worker.all(connection=self.connection)}
        return not running and not self.queue.count and states == {'idle'}


def child_environment() -> dict[str, str]:
    """Return the environment of a child process, with the demo and the documented scripts on its path."""
    paths = [str(EXAMPLES), str(DOCUMENTED_SCRIPTS), os.environ.get('PYTHONPATH', '')]
    variables = {'PYTHONPATH': os.pathsep.join(filter(None, paths)), 'PYTHONDONTWRITEBYTECODE': '1'}
    return {**os.environ, **variables}


def start_worker(server: PrivateRedis, page: Page) -> subprocess.Popen[bytes]:
    """Start `rq worker` in its own session, so that Ctrl-C does not reach it."""
    proxy = {'http_proxy': f'http://{page.address}', 'no_proxy': '', 'NO_PROXY': ''}
    command = [sys.executable, '-m', 'rq.cli', 'worker', '--name', 'demo-worker', '--url', server.url, 'default']
    with open(os.path.join(server.folder, 'worker.log'), 'wb') as log:
        return subprocess.Popen(
            command,
            env={**child_environment(), **proxy},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop_worker(worker: subprocess.Popen[bytes]) -> None:
    """Stop the worker: after its job, with a second signal at once, and then with SIGKILL."""
    for request in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        if worker.poll() is None:
            worker.send_signal(request)
            try:
                worker.wait(timeout=10)
            except subprocess.TimeoutExpired:
                continue
