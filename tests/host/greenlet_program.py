"""A program under gevent's or eventlet's monkey-patching that makes the calls named on standard input, one a line.

`KIND CALL`, answered by lines on standard output: see the functions of KINDS.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

LIBRARY: Any = importlib.import_module(sys.argv[1])
if sys.argv[1] == 'gevent':
    importlib.import_module('gevent.monkey').patch_all()
else:
    LIBRARY.monkey_patch()

if TYPE_CHECKING:
    from collections.abc import Callable

TICKS = 20
GREENLETS = 40


def say(*words: object) -> None:
    print(*words, flush=True)


class Program:
    """A registry of the class and on the port that the arguments name."""

    def __init__(self) -> None:
        import redis

        from host.calls import SHORT_CALLS

        self.calls: dict[str, Callable[[Any], Any]] = SHORT_CALLS
        pool = redis.BlockingConnectionPool(
            host='127.0.0.1', port=int(sys.argv[3]), socket_timeout=None, max_connections=8
        )
        self.client = redis.Redis(connection_pool=pool)
        registries: Any = importlib.import_module(sys.argv[2])
        self.registry = registries.FailedJobRegistry('medium', connection=self.client)

    def ask(self, name: str) -> str:
        """Make a call and return its answer as one short line."""
        answer = self.calls[name](self.registry)
        return f'{len(answer)} {answer[0]} {answer[-1]}' if isinstance(answer, list) and answer else repr(answer)

    def progress(self, name: str) -> None:
        """Count to TICKS while a call waits; say whether that was before its answer; then the answer."""
        answers: list[str] = []
        LIBRARY.spawn(lambda: answers.append(self.ask(name)))
        for _ in range(TICKS):
            LIBRARY.sleep(0.001)
        say('after the answer' if answers else 'before the answer')
        while not answers:
            LIBRARY.sleep(0.001)
        say(answers[0])

    def timeout(self, name: str) -> None:
        """Interrupt a waiting call by a Timeout."""
        try:
            with LIBRARY.Timeout(0.01):
                say('answered', self.ask(name))
        except LIBRARY.Timeout:
            say('timeout')

    def kill(self, name: str) -> None:
        """Kill a greenlet in the middle of its call."""
        answers: list[str] = []
        greenlet = LIBRARY.spawn(lambda: answers.append(self.ask(name)))
        LIBRARY.sleep(0.01)
        greenlet.kill()
        LIBRARY.sleep(0)
        say('answered' if answers else 'killed', *answers)

    def storm(self, name: str) -> None:
        """Make the call in many greenlets at once; say how many different answers there were, and them."""
        answers: list[str] = []
        for _ in range(GREENLETS):
            LIBRARY.spawn(lambda: answers.append(self.ask(name)))
        while len(answers) < GREENLETS:
            LIBRARY.sleep(0.001)
        say(*sorted(set(answers)))

    def plain(self, name: str) -> None:
        """Make the call."""
        say(self.ask(name))


def main() -> None:
    """Make the calls named on standard input until it ends."""
    program = Program()
    program.registry.get_job_ids(0, 1)
    say('ready', program.client.client_id())
    for line in sys.stdin:
        kind, name = line.rstrip('\n').split(' ', 1)
        getattr(program, kind)(name)


if __name__ == '__main__':
    main()
