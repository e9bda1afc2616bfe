"""Failed jobs put back as they were, so that the next call that takes them out finds the same."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .by_hand import CANCELED, DEFERRED, FAILED, JOBS, QUEUES

CHUNK = 2_000
# KEYS: the registry. ARGV: the queue's name; the templates, each how many keys it has, and of each key what stands
# before and behind the id, when it expires (Unix time in ms, 0: never) and its content; then of each job the id, the
# score and the number of its template.
RESTORE_SCRIPT = """
local templates, used, next_argument = {}, {}, 3
for number = 1, tonumber(ARGV[2]) do
    templates[number] = {}
    local count = tonumber(ARGV[next_argument])
    next_argument = next_argument + 1
    for key = 1, count do
        local before, behind, expires, content = unpack(ARGV, next_argument, next_argument + 3)
        next_argument = next_argument + 4
        -- To copy a key is much faster than to restore it.
        local source = 'template:' .. number .. ':' .. key
        redis.call('RESTORE', source, expires, content, 'REPLACE', 'ABSTTL')
        if redis.call('TYPE', source).ok == 'hash' then
            redis.call('HSET', source, 'origin', ARGV[1])
        end
        templates[number][key] = {before, behind, source}
        used[#used + 1] = source
    end
end
for i = next_argument, #ARGV, 3 do
    local id, score, template = ARGV[i], ARGV[i + 1], templates[tonumber(ARGV[i + 2])]
    if not redis.call('ZSCORE', KEYS[1], id) then
        redis.call('ZADD', KEYS[1], score, id)
        for _, key in ipairs(template or {}) do
            redis.call('COPY', key[3], key[1] .. id .. key[2], 'REPLACE')
        end
    end
end
for _, source in ipairs(used) do
    redis.call('DEL', source)
end
return redis.call('ZCARD', KEYS[1])
"""


@dataclass(frozen=True)
class Template:
    """The keys of a job: of each what stands before and behind the id, when it expires (in ms), and its content."""

    keys: tuple[tuple[bytes, bytes, int, bytes], ...]

    @staticmethod
    def take(connection: Any, job_id: str) -> Template:
        """Take a job's keys out of Redis."""
        keys = []
        for name in sorted(connection.scan_iter(match=f'*{job_id}*', count=1000)):
            before, behind = name.split(job_id.encode())
            content, ttl = connection.dump(name), connection.pttl(name)
            if content is not None:
                keys.append((before, behind, int(time.time() * 1000) + ttl if ttl > 0 else 0, content))
                connection.delete(name)
        return Template(tuple(keys))


class Restorer:
    """The failed jobs of one queue: ids, each scored a second after the one before, that are copies of templates."""

    def __init__(
        self,
        connection: Any,
        queue: str,
        ids: list[str],
        first_score: int,
        templates: Sequence[Template],
        kinds: Sequence[int | None],
        backlog: int = 0,
    ) -> None:
        self.connection = connection
        self.queue = queue
        self.ids = ids
        self._first_score = first_score
        self._kinds = kinds
        self._backlog = backlog
        self._arguments: list[Any] = [queue, len(templates)]
        for template in templates:
            self._arguments += [len(template.keys), *(part for key in template.keys for part in key)]

    def restore(self) -> None:
        """Put back what is missing, and delete what calls have left elsewhere. They take from the front."""
        self.connection.delete(CANCELED.format(self.queue))
        if self._backlog:
            self.connection.ltrim(QUEUES + self.queue, 0, self._backlog - 1)
        else:
            self.connection.delete(QUEUES + self.queue)
        key = FAILED.format(self.queue)
        there, first = self.connection.zcard(key), 0
        while there < len(self.ids):
            there = self.connection.eval(RESTORE_SCRIPT, 1, key, *self._arguments, *self._jobs(first))
            first += CHUNK

    def _jobs(self, first: int) -> list[Any]:
        jobs: list[Any] = []
        for number in range(first, min(first + CHUNK, len(self.ids))):
            kind = self._kinds[number % len(self._kinds)]
            # Lua counts from one.
            jobs += [self.ids[number], self._first_score + number, 0 if kind is None else kind + 1]
        return jobs


class Dependents:
    """Jobs that wait for another one: copies of a job that RQ has made wait for it."""

    def __init__(self, connection: Any, queue: str, parent: str, ids: list[str]) -> None:
        from rq import Queue

        self.connection = connection
        self.queue = queue
        self.parent = parent
        first = Queue(queue, connection=connection).enqueue('operator.add', 1, 2, depends_on=parent).id
        self._content = connection.dump(JOBS + first)
        self.ids = [first, *ids[1:]]

    def restore(self) -> None:
        """Let all of them wait again."""
        for start in range(0, len(self.ids), CHUNK):
            with self.connection.pipeline(transaction=False) as pipeline:
                for job_id in self.ids[start : start + CHUNK]:
                    pipeline.restore(JOBS + job_id, 0, self._content, replace=True)
                    pipeline.sadd(f'{JOBS}:{job_id}:dependencies', self.parent)
                    pipeline.zadd(DEFERRED.format(self.queue), {job_id: time.time()}, nx=True)
                    pipeline.sadd(f'{JOBS}{self.parent}:dependents', job_id)
                pipeline.execute()
