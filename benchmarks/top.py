"""Measure the processor time of `rqreg top`: `python -m benchmarks.top`.

On a private Redis with queues whose counts change, workers that run jobs, and failed jobs. Prints the processor time of
the process, in percent of one processor, after its start.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / 'tools'))

from private_redis import PrivateRedis
from rq import Queue, SimpleWorker
from rq.job import Job

SIZES = ((80, 24), (200, 60))
WORKERS = 50
# How long the first reading may take.
START_SECONDS = 5.0


def fill(client: Any, queues: int, failed: int) -> None:
    """Make the queues, each with waiting and failed jobs, and workers that run jobs."""
    named = [Queue(f'queue-{number:03}', connection=client) for number in range(queues)]
    for number, queue in enumerate(named):
        for order in range(10):
            queue.enqueue('shop.send_mail', order)
        with client.pipeline() as pipeline:
            for order in range(failed):
                fail(queue, f'failed-{number}-{order}', pipeline)
            pipeline.execute()
    for number in range(WORKERS):
        queue = named[number % queues]
        worker = SimpleWorker([queue], connection=client, name=f'worker-{number}')
        worker.register_birth()
        worker.set_state('busy')
        job = queue.enqueue('shop.send_mail', number)
        if hasattr(worker, 'prepare_execution'):
            worker.prepare_execution(job)


def fail(queue: Queue, job_id: str, pipeline: Any) -> None:
    """Have a job fail."""
    job = Job.create('shop.print_label', (1,), id=job_id, connection=queue.connection, origin=queue.name)
    job.ended_at = job.created_at
    job.save(pipeline=pipeline)
    queue.failed_job_registry.add(job, ttl=86400, exc_string=f'Traceback:\nKeyError: {job_id}\n', pipeline=pipeline)


def change(client: Any, queues: int, ended: threading.Event) -> None:
    """Enqueue a job and have another one fail, twenty times a second."""
    number = 0
    while not ended.wait(0.05):
        queue = Queue(f'queue-{number % queues:03}', connection=client)
        queue.enqueue('shop.send_mail', number)
        with client.pipeline() as pipeline:
            fail(queue, f'later-{number}', pipeline)
            pipeline.execute()
        number += 1


def used(pid: int) -> float:
    """Return the seconds of processor time of a process, all of its threads together."""
    fields = Path(f'/proc/{pid}/stat').read_text(encoding='ascii').rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def measure(url: str, size: tuple[int, int], seconds: float) -> tuple[float, int]:
    """Return the processor time in seconds, and how many bytes were written to the terminal."""
    screen, tty = pty.openpty()
    columns, lines = size
    fcntl.ioctl(tty, termios.TIOCSWINSZ, struct.pack('HHHH', lines, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, '-m', 'rqreg_ext.cli', 'top', '--url', url],
        stdin=tty,
        stdout=tty,
        env={**os.environ, 'TERM': 'xterm-256color'},
    )
    os.close(tty)
    try:
        read_for(screen, START_SECONDS)
        before = used(process.pid)
        written = read_for(screen, seconds)
        return used(process.pid) - before, written
    finally:
        process.terminate()
        read_for(screen, 0.5)
        process.wait()
        os.close(screen)


def read_for(screen: int, seconds: float) -> int:
    """Read what is written to a terminal, for some time; return how many bytes that were."""
    written, until = 0, time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if select.select([screen], [], [], left)[0]:
            try:
                written += len(os.read(screen, 65536))
            except OSError:
                break
    return written


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--queues', type=int, default=100)
    parser.add_argument('--failed', type=int, default=50, help='failed jobs in each queue')
    parser.add_argument('--seconds', type=float, default=20.0)
    options = parser.parse_args()
    with PrivateRedis() as server:
        client = server.client()
        fill(client, options.queues, options.failed)
        ended = threading.Event()
        changing = threading.Thread(target=change, args=(server.client(), options.queues, ended))
        changing.start()
        try:
            for size in SIZES:
                seconds, written = measure(server.url, size, options.seconds)
                print(
                    f'{options.queues} queues, {options.queues * options.failed} failed jobs, {WORKERS} workers, '
                    f'{size[0]}x{size[1]}: {100 * seconds / options.seconds:.1f}% of a processor, '
                    f'{written / options.seconds / 1000:.1f} kB/s written'
                )
        finally:
            ended.set()
            changing.join()


if __name__ == '__main__':
    main()
