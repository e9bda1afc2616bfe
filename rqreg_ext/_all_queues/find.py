"""find() over many queues."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from .._fastpath.clients.by_url import client_from
from .._fastpath.server_errors import note_key
from .._query.arguments import chunk_size_of, is_by_end, most_found_of
from .._query.filters import Filters, JobFilters, fixed_in_time
from .._query.find import JobSearch
from .._query.job_fields import fields_of
from .._query.listing import cursor_of, parser_of
from .selection import registries_in, registry_class_of

if TYPE_CHECKING:
    from typing import overload

    from redis import Redis
    from typing_extensions import Unpack

    from .operations import Queues

if TYPE_CHECKING:

    @overload
    def find(
        connection: Redis | str,
        registry: str = 'failed',
        queues: Queues = None,
        *,
        fields: Sequence[str],
        chunk_size: int = 1000,
        desc: bool = False,
        limit: int | None = None,
        order_by: Literal['score', 'end'] = 'score',
        **filters: Unpack[JobFilters],
    ) -> Iterator[tuple[str, str, dict[str, Any]]]: ...

    @overload
    def find(
        connection: Redis | str,
        registry: str = 'failed',
        queues: Queues = None,
        *,
        chunk_size: int = 1000,
        desc: bool = False,
        limit: int | None = None,
        order_by: Literal['score', 'end'] = 'score',
        **filters: Unpack[JobFilters],
    ) -> Iterator[tuple[str, str]]: ...


def find(
    connection: Redis | str,
    registry: str = 'failed',
    queues: Queues = None,
    *,
    fields: Sequence[str] = (),
    chunk_size: int = 1000,
    desc: bool = False,
    limit: int | None = None,
    order_by: Literal['score', 'end'] = 'score',
    **filters: Unpack[JobFilters],
) -> Iterator[Any]:
    """Find the jobs of a registry of many queues that match all filters, ordered by score over all of the queues.

    Nothing is changed. Memory grows with the number of queues that have such jobs, but not with that of jobs.

    Args:
        connection: A redis-py client, or a URL.
        registry: 'failed', 'finished', 'started', 'deferred', 'scheduled', 'canceled', or with RQ 3 'ready'.
        queues: Names of queues, or Queue objects, whose job class and serializer are then used; None for all queues.
        fields: The attributes of Job to return, as in a registry's find().
        chunk_size: How many entries of a queue to read at a time.
        desc: Whether to start with the highest score, or with the latest end: the newest jobs first.
        limit: The greatest number of jobs to find; None for all.
        order_by: 'score', in most registries the time when the entry expires; or 'end', when the job ended, which needs
            `limit`: all is read first, and memory grows with `limit` times the number of queues.
        **filters: See JobFilters. Without filters, all jobs match.

    Returns:
        An iterator of (name of the queue, job id). With `fields`, of (name of the queue, job id, dict of the fields).

    Raises:
        TypeError, ValueError: An argument is wrong, or names a queue that does not exist.
        redis.exceptions.RedisError: While iterating, the server or the connection failed, or a key of one queue cannot
            be read: that is the attribute `key` of the error.
        UnicodeDecodeError: While iterating, an entry is not UTF-8.

    Round trips:
        One to find the queues, one for each queue, and those of the registry's find() for further chunks.

    Source:
        rq.Queue.all, rq.job.Job.restore; Redis ZRANGE, HMGET.
    """
    Filters.of(**filters)
    fixed = fixed_in_time(filters)
    selection = Filters.of(**fixed)
    names = fields_of(fields)
    most = most_found_of(limit)
    size = chunk_size_of(chunk_size)
    registry_class = registry_class_of(registry)
    is_desc = bool(desc)
    if is_by_end(order_by, most):
        found_in = registries_in(client_from(connection), registry_class, queues)
        by_end = (_by_end(name, one, names, is_desc, most or 0, fixed) for name, one in found_in.items())
        return _ordered(by_end, is_desc, most)
    if most is not None and selection.is_empty:
        size = min(size, max(most, 1))
    found_in = registries_in(client_from(connection), registry_class, queues)
    by_score = (_by_score(name, one, selection, names, size, is_desc) for name, one in found_in.items())
    return _ordered(by_score, is_desc, most)


# A key to order by, and what find() yields.
_Found = tuple[Any, tuple[Any, ...]]


def _ordered(of_queues: Iterable[Iterator[_Found]], desc: bool, limit: int | None) -> Iterator[tuple[Any, ...]]:
    ordered = merge(*of_queues, key=lambda found: found[0], reverse=desc)
    return (result for _, result in islice(ordered, limit))


def _by_score(
    name: str, registry: Any, selection: Filters, fields: Sequence[str], size: int, desc: bool
) -> Iterator[_Found]:
    parse = parser_of(registry) or str
    search = JobSearch(registry, selection, fields)
    try:
        for chunk in cursor_of(registry, size, desc, selection.min_score, selection.max_score).chunks():
            entries = iter(chunk)
            for found in search.found_in([member for member, _ in chunk]):
                job_id, *values = found if fields else (found,)
                # The results are in the order of the entries.
                score = next(score for member, score in entries if parse(member) == job_id)
                yield score, (name, job_id, *values)
    except Exception as error:
        raise note_key(error, registry.key) from None


def _by_end(
    name: str, registry: Any, fields: Sequence[str], desc: bool, limit: int, filters: JobFilters
) -> Iterator[_Found]:
    options: Any = {'order_by': 'end', 'desc': desc, 'limit': limit, **filters}
    try:
        for job_id, values in registry.find(fields=[*fields, 'end'], **options):
            end = values['end']
            # Jobs whose end is unknown come last in both orders.
            key = (end is not None) is desc, end.timestamp() if end is not None else 0.0
            yield key, (name, job_id, {field: values[field] for field in fields}) if fields else (name, job_id)
    except Exception as error:
        raise note_key(error, registry.key) from None
