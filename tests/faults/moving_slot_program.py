"""Calls on one node of a cluster while the slot of all of RQ's keys moves to another node: prints the outcome of each.

python moving_slot_program.py SOURCE_PORT TARGET_PORT, under RQ_KEY_PREFIX={rq}.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import redis
from rq import Queue
from rq.job import JobStatus

from rqreg_ext.registry import FailedJobRegistry, StartedJobRegistry

IDS = [f'j{number}' for number in range(3)]
REGISTRY, JOB = '{rq}:failed:q', '{rq}:job:j0'
QUEUE = '{rq}:queue:q'

CALLS: dict[str, Callable[[Any], Any]] = {
    'remove': lambda failed: failed.remove('j0', delete_job=True),
    'requeue': lambda failed: failed.requeue('j0'),
    'purge': lambda failed: failed.purge(),
    'purge with a filter': lambda failed: failed.purge(description='*'),
    'remove_many': lambda failed: failed.remove_many(IDS, delete_job=True),
    'requeue_many': lambda failed: failed.requeue_many(IDS),
    'requeue_all': lambda failed: failed.requeue_all(),
    'cancel_many': lambda failed: failed.cancel_many(IDS),
}
# Which keys are at the target already.
MOVES: dict[str, list[str]] = {
    'no key': [],
    'a job': [JOB],
    'the registry': [REGISTRY],
    'the registry and the queue': [REGISTRY, QUEUE],
    'the queue': [QUEUE],
    'all jobs': [f'{{rq}}:job:{job_id}' for job_id in IDS],
}


class Nodes:
    """The node that has the slot, and the one that gets it."""

    def __init__(self, source_port: int, target_port: int) -> None:
        self.source = redis.Redis(port=source_port)
        # One connection: ASKING is for the next command on it.
        self.target = redis.Redis(port=target_port, single_connection_client=True)
        self.target_port = target_port
        self.slot = self.source.execute_command('CLUSTER', 'KEYSLOT', REGISTRY)
        self.ids = [node.execute_command('CLUSTER', 'MYID') for node in (self.source, self.target)]

    def begin(self, keys: list[str]) -> None:
        """Begin to move the slot, with these keys at the target."""
        self.target.execute_command('CLUSTER', 'SETSLOT', self.slot, 'IMPORTING', self.ids[0])
        self.source.execute_command('CLUSTER', 'SETSLOT', self.slot, 'MIGRATING', self.ids[1])
        for key in keys:
            self.source.execute_command('MIGRATE', '127.0.0.1', self.target_port, key, 0, 5000)

    def give_up(self) -> None:
        """Cancel the move."""
        for node in (self.source, self.target):
            node.execute_command('CLUSTER', 'SETSLOT', self.slot, 'STABLE')

    def end(self) -> None:
        """Complete the move."""
        for node in (self.target, self.source):
            node.execute_command('CLUSTER', 'SETSLOT', self.slot, 'NODE', self.ids[1])

    def picture(self) -> dict[str, Any]:
        """Return what is on both nodes together."""
        found = {}
        for node in (self.source, self.target):
            for key in node.execute_command('KEYS', '*'):
                if node is self.target:
                    node.execute_command('ASKING')
                found[key.decode()] = node.execute_command('DUMP', key).hex()
        return found

    def jobs(self) -> list[list[Any]]:
        """Return of each job whether the registry has it, its status, and how often its queue has it."""
        queued = self.source.lrange(QUEUE, 0, -1)
        return [
            [
                self.source.zscore(REGISTRY, job_id) is not None,
                self.source.hget(f'{{rq}}:job:{job_id}', 'status').decode(),
                queued.count(job_id.encode()),
            ]
            for job_id in IDS
        ]

    def fill(self) -> None:
        """Fill the registry, at the source."""
        for node in (self.target, self.source):
            node.execute_command('FLUSHALL')
        queue = Queue('q', connection=self.source)
        for number, job_id in enumerate(IDS):
            job = queue.create_job('len', job_id=job_id)
            job.set_status(JobStatus.FAILED)
            job.save()
            self.source.zadd(REGISTRY, {job_id: time.time() + 1000 + number})
        self.source.rpush(QUEUE, 'another')


def outcome(call: Callable[[Any], Any], client: redis.Redis) -> str:
    """Make the call, and return its error or its result."""
    try:
        return f'returned {call(FailedJobRegistry("q", connection=client))}'
    except redis.exceptions.RedisError as error:
        return type(error).__name__ if str(error).find('non local') < 0 else 'non local'


def main() -> None:
    """Make each call in each state of the move."""
    nodes = Nodes(*map(int, sys.argv[1:]))
    found: list[dict[str, Any]] = []
    for moved, keys in MOVES.items():
        for name, call in CALLS.items():
            nodes.fill()
            nodes.begin(keys)
            before = nodes.picture()
            said = outcome(call, nodes.source)
            found.append({'moved': moved, 'call': name, 'said': said, 'unchanged': nodes.picture() == before})
            nodes.give_up()
            if said.startswith('returned'):
                found[-1]['jobs'] = nodes.jobs()
    # A read by a script of two keys, one of which is not here.
    nodes.fill()
    nodes.source.zadd('{rq}:wip:q', {'running:1': time.time() + 1000})
    nodes.begin([])
    found.append(
        {'moved': 'no key', 'call': 'in', 'said': 'running' in StartedJobRegistry('q', connection=nodes.source)}
    )
    nodes.give_up()
    nodes.fill()
    nodes.begin([key.decode() for key in nodes.source.execute_command('KEYS', '*')])
    nodes.end()
    before = nodes.picture()
    for name, call in CALLS.items():
        said = outcome(call, nodes.source)
        found.append({'moved': 'the slot', 'call': name, 'said': said, 'unchanged': nodes.picture() == before})
    print(json.dumps(found))


if __name__ == '__main__':
    main()
