"""The two sides of a comparison: RQ's classes on one database, rqreg_ext's on another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import redis
import rq
import rq.executions
import rq.registry
from rq.utils import get_version

import rqreg_ext

from .client_kinds import CLIENT_KINDS, PLAIN, RECORDED, ClientKind, Observed, Rights

if TYPE_CHECKING:
    from private_redis import PrivateRedis

    from .world import World

REGISTRIES = tuple(
    name
    for name in (
        'BaseRegistry',
        'FailedJobRegistry',
        'FinishedJobRegistry',
        'StartedJobRegistry',
        'DeferredJobRegistry',
        'ScheduledJobRegistry',
        'CanceledJobRegistry',
        'ReadyJobRegistry',
    )
    if hasattr(rq.registry, name)
)
KINDS = (*REGISTRIES, 'ExecutionRegistry', 'Queue', 'clean_registries')

RQ_DATABASE, OUR_DATABASE, MODEL_DATABASE, ELSEWHERE = 1, 2, 3, 4


def names_of_rq() -> dict[str, Any]:
    """Return RQ's classes by name."""
    names = {name: getattr(rq.registry, name) for name in (*REGISTRIES, 'clean_registries')}
    return {**names, 'ExecutionRegistry': rq.executions.ExecutionRegistry, 'Queue': rq.Queue}


def names_of_ours() -> dict[str, Any]:
    """Return our classes by the same names."""
    return {name: getattr(rqreg_ext, name) for name in KINDS}


class Side:
    """One implementation: its names, its database, and its clients, which stay connected between examples."""

    def __init__(self, server: PrivateRedis, database: int, names: Mapping[str, Any], rights: Rights) -> None:
        self.server = server
        self.database = database
        self.names = names
        self.rights = rights
        self.is_ours = database == OUR_DATABASE
        self.clients: dict[tuple[str, str], Any] = {}
        self.inspector = server.client(db=database, protocol=2)
        self.elsewhere = server.client(db=ELSEWHERE)

    @property
    def url(self) -> str:
        return f'redis://127.0.0.1:{self.server.port}/{self.database}'

    def client(self, connection: str, kind: str = PLAIN) -> Any:
        """Return the client that connects in this way, of this kind."""
        if (connection, kind) not in self.clients:
            self.clients[connection, kind] = self._connect(connection, CLIENT_KINDS[kind])
        return self.clients[connection, kind]

    def _connect(self, connection: str, kind: ClientKind) -> Any:
        if connection == 'url':
            # Where ours takes the URL itself, the client is the one it makes of it.
            registry = self.names['BaseRegistry']
            return registry(connection=self.url).connection if self.is_ours else redis.Redis.from_url(self.url)
        options: dict[str, dict[str, Any]] = {
            'plain': {},
            'decode_responses': {'decode_responses': True},
            'resp2': {'protocol': 2},
            'resp3': {'protocol': 3},
            'unix': {'unix_socket_path': self.server.socket_path},
            'single': {'single_connection_client': True},
        }
        address: dict[str, Any] = {} if connection == 'unix' else {'host': '127.0.0.1', 'port': self.server.port}
        if kind.rights == RECORDED and not self.is_ours:
            address = self.rights.address_of_recorder()
        elif kind.rights is not None:
            address |= self.rights.user(kind.rights)
        client = kind.make(db=self.database, **address, **options[connection])
        if kind.is_observed:
            # RQ asks for it when it first needs it, on one side perhaps in an earlier example than on the other.
            get_version(client)
        return client

    def connection(self, connection: str, kind: str = PLAIN) -> Any:
        """Return what is given as `connection=`: a client, or on our side a URL where one is asked for."""
        return self.url if connection == 'url' and self.is_ours else self.client(connection, kind)

    def close(self) -> None:
        for client in (*self.clients.values(), self.inspector, self.elsewhere):
            client.close()


class Bench:
    """What one side needs during one example: its client, and the arguments made for it."""

    def __init__(self, side: Side, world: World, setup: Any, now: int) -> None:
        self.side = side
        self.world = world
        self.setup = setup
        self.now = now
        self.client = side.client(setup.connection, setup.client)
        if setup.client_kind.rights not in (None, RECORDED):
            # Clients are kept, and another test on this server may have deleted the user since.
            side.rights.user(setup.client_kind.rights)
        self.connection = side.connection(setup.connection, setup.client)
        # A client that reads any job: neither decoding responses, which cannot read a job's data, nor of few rights.
        self.reader = side.client('plain', 'prefixing: class' if setup.client_kind.prefix else PLAIN)
        self.made: dict[Any, Any] = {}
        self.pipelines: list[Any] = []

    def begin_call(self, besides: Iterable[str] = ()) -> None:
        """Set up the rights for what is called next; RQ's side goes first.

        besides: what a user may send in any case who has no more rights than RQ's call needs.
        """
        if self.setup.client_kind.rights == RECORDED:
            if self.side.is_ours:
                self.side.rights.begin_call_of_ours(besides)
            else:
                self.side.rights.begin_call_of_rq()
        Observed.seen.clear()

    @contextmanager
    def using_client(self) -> Iterator[None]:
        """Have around the client, for a while, what makes it the kind it is."""
        with self.setup.client_kind.using(self.client):
            yield

    def queue(self, name: str | None = None, *, rq: bool = False) -> Any:
        """Return a Queue of this side, or (rq) one of RQ's on both sides."""
        queue_class = names_of_rq()['Queue'] if rq else self.side.names['Queue']
        return queue_class(
            self.world.queue if name is None else name,
            connection=self.client,
            job_class=self.setup.the_job_class,
            serializer=self.setup.serializer,
        )
