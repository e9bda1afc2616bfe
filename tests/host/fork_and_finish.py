"""A program: use a registry, fork, finalize the interpreter in the child, and check that the parent still works."""

from __future__ import annotations

import os
import sys

import redis

from rqreg_ext.registry import FailedJobRegistry


def main() -> None:
    """Print the count on both sides, and whether the parent's connections are those it had before the fork."""
    client = redis.Redis.from_url(sys.argv[1])
    observer = redis.Redis.from_url(sys.argv[1])
    registry = FailedJobRegistry(sys.argv[2], connection=client)
    before = registry.count
    connections = {entry['id'] for entry in observer.client_list()}
    child = os.fork()
    if child == 0:
        print('child', registry.count, flush=True)
        return
    _, status = os.waitpid(child, 0)
    assert status == 0
    print('parent', registry.count)
    if registry.count == before and connections <= {entry['id'] for entry in observer.client_list()}:
        print('undisturbed')


if __name__ == '__main__':
    main()
