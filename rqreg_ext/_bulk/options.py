"""The options that all calls share that change many jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypedDict

from .pace import Pace

# progress(processed, total), called after each chunk; returning False ends the call.
Progress = Callable[[int, int], Any]
# The same for calls that take ids: `total` is None for an iterable without a length. Declared as Any so that a function
# with two int parameters is accepted too: it is safe for lists, and most ids come in lists.
IdsProgress = Callable[[int, Any], Any]


class BulkOptions(TypedDict, total=False):
    """The options of purge(), requeue_many() and the other calls that change many jobs. Some calls lack some of them.

    They are keyword arguments. To give the same to several calls, keep them in a dict, and pass it as `**options`.

    Attributes:
        progress: Called after each chunk as progress(processed, total), both int; returning False ends the call.
            `total` is None if the call was given ids without a length (a generator, say). In a call over many queues,
            both are the sums of all queues.
        dry_run: Whether to change nothing and report what would be done.
        chunk_size: The most jobs per script and between two calls of progress(). By default, as many as a script can do
            in about 2 milliseconds, during which Redis serves no other client.
        wait_replicas: How many replicas to wait for after each chunk, a second at most (Redis WAIT).
        rate: The most jobs to change per second, in all queues together, spread evenly: the call works in smaller
            chunks, and sleeps between them. A dry run does not.
        limit: The most jobs to change, in all queues together. They are the first of the ids given, or those with the
            lowest scores that match, or those at the front of a queue. Jobs that are not changed do not count.
    """

    progress: IdsProgress | None
    dry_run: bool
    chunk_size: int | None
    wait_replicas: int
    rate: float | None
    limit: int | None


class Options(NamedTuple):
    """The arguments that all operations have, as BulkOptions describes them."""

    progress: IdsProgress | None
    dry_run: bool
    chunk_size: int | None
    wait_replicas: int = 0
    # A Pace is what several calls share.
    rate: float | Pace | None = None
    limit: int | None = None
