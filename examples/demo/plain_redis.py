"""Runs a documented script from standard input, with a plain `Redis()` connected to the private server.

It runs in its own process; the arguments are the port of the server and the address of the page. Two things differ from
running the script as a file, for both RQ and rqreg_ext: the script's sleep lasts until its job is running, and an
expression statement prints the type of its value, as in the documentation.
"""

from __future__ import annotations

import ast
import functools
import http.client
import sys
import time

import redis


def redirect_plain_clients(port: int) -> None:
    """Make `Redis()` without arguments connect to the port."""
    original = redis.Redis.__init__

    @functools.wraps(original)
    def init(self: redis.Redis, *args: object, **kwargs: object) -> None:
        original(self, *args, **(kwargs if args or kwargs else {'port': port}))

    redis.Redis.__init__ = init


def sleep_until_fetched(address: str) -> None:
    """Make `time.sleep` also wait until a job has requested the page, however slow this machine is."""
    sleep = time.sleep

    def sleep_longer(seconds: float) -> None:
        page = http.client.HTTPConnection(address, timeout=60)
        page.request('GET', '/fetched')
        page.getresponse().read()
        page.close()
        sleep(seconds)

    time.sleep = sleep_longer


def show(value: object) -> None:
    """Print the type of an expression's value, as `Returns FailedJobRegistry`."""
    if value is not None:
        print(f'Returns {type(value).__name__}')


def run(source: str) -> None:
    """Run the script statement by statement, as if typed at Python's prompt."""
    names = {'__name__': '__main__'}
    sys.displayhook = show
    for statement in ast.parse(source).body:
        exec(compile(ast.Interactive([statement]), '<documented script>', 'single'), names)


if __name__ == '__main__':
    redirect_plain_clients(int(sys.argv[1]))
    sleep_until_fetched(sys.argv[2])
    run(sys.stdin.read())
