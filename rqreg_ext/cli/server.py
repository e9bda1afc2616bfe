"""Which Redis, and which of its queues: the options that RQ's own command has."""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

import click
from redis import Redis
from rq.job import Job
from rq.serializers import resolve_serializer

from .._all_queues.selection import UnknownQueueError, existing_queues, requested_queues
from .._fastpath.clients.by_url import client_from
from .output import masked, printable

if TYPE_CHECKING:
    from ..queue import Queue

# How long a shell that completes the name of a queue may wait for the server, in seconds.
_PATIENCE = 1.0
_OPTIONS = (
    click.option('-u', '--url', envvar='RQ_REDIS_URL', help='URL of the Redis, like redis://host:6379/0.'),
    click.option('-c', '--config', envvar='RQ_CONFIG', help="Module with RQ's settings."),
    click.option('-j', '--job-class', envvar='RQ_JOB_CLASS', help="Class of the jobs, if it is not RQ's."),
    click.option(
        '--connection-class', envvar='RQ_CONNECTION_CLASS', help="Class of the client, if it is not redis-py's."
    ),
    click.option('-P', '--path', multiple=True, default=['.'], help='Where to import modules from.'),
    click.option('-S', '--serializer', help='Serializer of the jobs, by its import path; with RQ 3 also json.'),
)


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of RQ's command to a command, which gets a Server as `server`."""

    @functools.wraps(command)
    def wrapper(**given: Any) -> Any:
        options = {name: given.pop(name) for name in Server.__dataclass_fields__}
        return command(server=Server(**options), **given)

    for option in reversed(_OPTIONS):
        wrapper = option(wrapper)
    return wrapper


@dataclass(frozen=True)
class Server:
    """The Redis that the options name."""

    url: str | None
    config: str | None
    job_class: str | None
    connection_class: str | None
    path: Sequence[str]
    serializer: str | None

    @cached_property
    def _settings(self) -> Any:
        """What RQ's command makes of the options."""
        from rq.cli.helpers import CliConfig

        given = {'job_class': self.job_class, 'connection_class': self.connection_class}
        classes = {name: value for name, value in given.items() if value is not None}
        return CliConfig(url=self.url, config=self.config, path=self.path, **classes)

    @cached_property
    def client(self) -> Redis:
        """A client of the server, as RQ's command connects."""
        try:
            if self.url and not self.connection_class:
                if '+cluster://' in self.url:
                    # Which RQ does not take.
                    return cast('Redis', client_from(self.url))
                # What RQ does then, without the time that importing its command takes.
                client = Redis.from_url(self.url)
                if '?' in self.url:
                    # Only this sees options that no connection has. It does not connect.
                    client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)
                return client
            return cast('Redis', self._settings.connection)
        except (ImportError, ValueError, TypeError, AttributeError) as error:
            where = (
                f'--connection-class {self.connection_class}'
                if self.connection_class
                else f'--url {masked(self.url)}'
                if self.url
                else f'--config {self.config}'
                if self.config
                else 'REDIS_URL'
            )
            raise click.UsageError(f'{where}: {error}') from error

    @property
    def has_own_jobs(self) -> bool:
        """Whether the class or the serializer of the jobs was given."""
        return bool(self.job_class or self.serializer)

    @cached_property
    def job_options(self) -> dict[str, Any]:
        """The class and the serializer of the jobs, as arguments of a queue or a registry."""
        try:
            job_class = self._settings.job_class if self.job_class else Job
        except (ImportError, AttributeError, ValueError) as error:
            raise click.UsageError(f'--job-class {self.job_class}: {error}') from error
        try:
            return {'job_class': job_class, 'serializer': resolve_serializer(self.serializer)}
        except (ImportError, AttributeError, NotImplementedError, ValueError) as error:
            raise click.UsageError(f'--serializer {self.serializer}: {error}') from error

    # ---- Queues

    def named(self, patterns: Sequence[str]) -> list[str] | None:
        """Return the queues of these names and globs; None for all. Takes a round trip if there are globs.

        Whether a queue exists that is given by its name is for the library to say: see mistyped_queues().
        """
        if not patterns:
            return None
        if not any(map(_is_glob, patterns)):
            return list(dict.fromkeys(patterns))
        listed = list(requested_queues(self.client, None))
        found: dict[str, None] = {}
        for pattern in patterns:
            if pattern in listed or not _is_glob(pattern):
                found[pattern] = None
                continue
            matching = [name for name in listed if fnmatchcase(name, pattern)]
            if not matching:
                raise click.UsageError(
                    f'no queue matches {pattern!r}. RQ knows {", ".join(map(printable, listed)) or "none"}'
                )
            found.update(dict.fromkeys(matching))
        return list(found)

    def matching(self, patterns: Sequence[str]) -> list[Queue] | None:
        """Return the queues of these names, and those that match these globs now; None for all.

        None of them need exist. Takes a round trip if there are globs.
        """
        if not patterns:
            return None
        listed = list(requested_queues(self.client, None)) if any(map(_is_glob, patterns)) else []
        found: dict[str, None] = {}
        for pattern in patterns:
            found.update(
                dict.fromkeys(
                    [name for name in listed if fnmatchcase(name, pattern)] if _is_glob(pattern) else [pattern]
                )
            )
        return [self.queue(name) for name in found]

    def queues(self, patterns: Sequence[str]) -> list[str]:
        """Return the queues of these names and globs, or all. Raises click.UsageError for those that do not exist."""
        with mistyped_queues():
            return list(existing_queues(self.client, self.named(patterns)))

    def queue(self, name: str) -> Queue:
        """Return a queue, with the class and the serializer of its jobs."""
        # Imported here for start-up time: `rqreg stats` needs no Queue.
        from ..queue import Queue

        return Queue(name, connection=self.client, **self.job_options)


def _is_glob(name: str) -> bool:
    return any(character in name for character in '*?[')


@contextmanager
def mistyped_queues() -> Iterator[None]:
    """Have the library's error for a queue that does not exist say what this command takes."""
    try:
        yield
    except UnknownQueueError as error:
        raise click.UsageError(error.reason) from error


# ---- What shells complete


def queue_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the queues whose names begin so, for a shell: none if the server does not say in time."""
    signal.signal(signal.SIGALRM, _give_up)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
    try:
        options: Any = {name: context.params.get(name) for name in Server.__dataclass_fields__}
        server = Server(**options)
        return [name for name in requested_queues(server.client, None) if name.startswith(incomplete)]
    except (Exception, KeyboardInterrupt):
        return []
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _give_up(number: int, frame: FrameType | None) -> None:
    # redis-py would try again after a TimeoutError.
    raise KeyboardInterrupt
