"""Reading a list while others push and pop."""

from __future__ import annotations

import random
import threading
from collections import Counter

import pytest
import redis
from private_redis import PrivateRedis

from rqreg_ext._integrity.lists import ListWalk, find_in_list
from rqreg_ext._integrity.reader import ChunkReader


def walk(client: redis.Redis, chunk_size: int) -> list[str]:
    return [job_id for _, chunk in ListWalk(ChunkReader(client, chunk_size), 'list').chunks() for job_id in chunk]


@pytest.mark.parametrize('chunk_size', [1, 7, 100, 1000, 5000])
def test_unchanging_list_is_read_completely(client: redis.Redis, chunk_size: int) -> None:
    ids = [f'j{number}' for number in range(1234)]
    client.rpush('list', *ids)
    assert walk(client, chunk_size) == ids
    found = find_in_list(ChunkReader(client, chunk_size), 'list', {'j7', 'j1000', 'no'})
    assert {job_id: (where.count, where.index) for job_id, where in found.items()} == {'j7': (1, 7), 'j1000': (1, 1000)}


def test_missing_list_is_empty(client: redis.Redis) -> None:
    assert walk(client, 10) == []
    assert find_in_list(ChunkReader(client), 'list', {'a'}) == {}


def test_repeated_id_is_counted(client: redis.Redis) -> None:
    client.rpush('list', *(f'j{number}' for number in range(2500)), 'j5', 'j5')
    assert find_in_list(ChunkReader(client), 'list', {'j5', 'j6'})['j5'].count == 3


def test_list_of_one_repeated_id(client: redis.Redis) -> None:
    client.rpush('list', *['same'] * 3000)
    assert find_in_list(ChunkReader(client), 'list', {'same'})['same'].count == 3000


def test_undecodable_id_is_left_out(client: redis.Redis) -> None:
    client.rpush('list', 'a', b'\xff', 'b')
    assert walk(client, 10) == ['a', 'b']


class ChangingReader(ChunkReader):
    """A reader that changes the list before each read."""

    def __init__(self, client: redis.Redis, chunk_size: int, change: object) -> None:
        super().__init__(client, chunk_size)
        self.change = change

    def values(self, commands: object) -> list[object]:
        self.change()  # type: ignore[operator]
        return super().values(commands)  # type: ignore[arg-type]


@pytest.mark.parametrize('popped', [1, 50, 150, 700])
@pytest.mark.parametrize('pushed', [0, 3])
def test_ids_that_stay_are_read_while_front_is_popped(client: redis.Redis, popped: int, pushed: int) -> None:
    """Even if more is popped than the chunks overlap."""
    client.rpush('list', *(f'j{number}' for number in range(10000)))

    def change() -> None:
        client.lpop('list', popped)
        if pushed:
            client.lpush('list', *(f'front-{random.random()}' for _ in range(pushed)))
        client.rpush('list', f'back-{random.random()}')

    reader = ChangingReader(client, 500, change)
    seen = [job_id for _, chunk in ListWalk(reader, 'list').chunks() for job_id in chunk]
    left = {job_id.decode() for job_id in client.lrange('list', 0, -1)}
    assert {job_id for job_id in left if job_id.startswith('j')} <= set(seen)


def test_single_id_is_not_counted_twice(client: redis.Redis) -> None:
    ids = [f'j{number}' for number in range(5000)]
    client.rpush('list', *ids)
    found = find_in_list(ChangingReader(client, 500, lambda: client.lpush('list', 'x')), 'list', set(ids))
    assert Counter(where.count for where in found.values()) == {1: 5000}


def test_ids_that_stay_are_read_during_pushes_and_pops(redis_server: PrivateRedis, client: redis.Redis) -> None:
    """Other clients pop and push as fast as they can."""
    client.rpush('list', *(f'j{number}' for number in range(20000)), *(f'stays-{number}' for number in range(5000)))
    over = threading.Event()

    def pop_and_push() -> None:
        with redis_server.client() as other:
            for number in range(15000):
                other.lpop('list')
                if number % 10 == 0:
                    other.lpush('list', f'front-{number}')
                if over.is_set():
                    return

    thread = threading.Thread(target=pop_and_push)
    thread.start()
    for _ in range(10):
        seen = Counter(walk(client, 1000))
        assert {f'stays-{number}' for number in range(5000)} <= seen.keys()
    over.set()
    thread.join()
