"""The two sides of a comparison, and the Redis server with a database for each."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import Any

from private_redis import PrivateRedis

from compat.environments import ROOT, Environment

POPULATION = ROOT / 'compat' / 'clients' / 'data' / 'population.py'
FAILED, BULK = 200_000, 10_000
SOURCE = 0
# What a server orders by itself (sets) comes in the same order in all copies of one database.
COPY_SCRIPT = """
local keys = redis.call('KEYS', ARGV[1])
for argument = 2, #ARGV do
  redis.call('SELECT', ARGV[argument])
  for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
    redis.call('DEL', key)
  end
end
redis.call('SELECT', 0)
for _, key in ipairs(keys) do
  for argument = 2, #ARGV do
    redis.call('COPY', key, key, 'DB', ARGV[argument])
  end
end
"""


@dataclass(frozen=True)
class Side:
    """Programs on RQ's own registries or on ours, and the number of their database."""

    name: str
    accelerated: bool
    database: int


PLAIN = Side('plain', accelerated=False, database=1)
OURS = Side('accelerated', accelerated=True, database=2)
SIDES = (PLAIN, OURS)


class Population:
    """A server with a populated database, of which each side gets a copy; a context manager."""

    def __init__(self, environment: Environment, failed: int = FAILED, bulk: int = BULK) -> None:
        self.environment = environment
        self.size = (failed, bulk)
        self.server = PrivateRedis()

    def __enter__(self) -> Population:
        self.server.start()
        command = [self.environment.python, POPULATION, self.server.url, *map(str, self.size)]
        subprocess.run(command, env=self.environment.variables(accelerated=False), check=True)
        return self

    def __exit__(self, *error: object) -> None:
        self.server.stop()

    def client(self, side: Side) -> Any:
        """Return a client of a side's database, for scripts that may take long."""
        return self.server.client(db=side.database, socket_timeout=None)

    def url(self, side: Side) -> str:
        """Return the URL of a side's database."""
        return f'redis://127.0.0.1:{self.server.port}/{side.database}'

    def copy(self, *sides: Side, pattern: str = '*') -> None:
        """Give sides (all, if none is named) the keys of a pattern as they were at the beginning."""
        source = self.server.client(db=SOURCE, socket_timeout=None)
        source.eval(COPY_SCRIPT, 0, pattern, *(side.database for side in sides or SIDES))
