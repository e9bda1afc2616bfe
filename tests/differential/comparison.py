"""The comparison: one world, one way to construct, some calls; both sides, and everything after every call equal."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rq.timeouts import TimerDeathPenalty, UnixSignalDeathPenalty

from .arguments import make
from .client_kinds import CLIENT_KINDS, PLAIN, SCRIPTS, ClientKind, Observed, Rights
from .database import COPY_SCRIPT, DOUBLE_SCRIPT, Dump, differences, dump
from .functions import JOB_CLASSES
from .observe import Outcome, observe
from .plain import REGISTRY_ATTRIBUTES, plain
from .sides import MODEL_DATABASE, OUR_DATABASE, RQ_DATABASE, Bench, Side, names_of_ours, names_of_rq
from .subclasses import SUBCLASSES, Patch, patched
from .world import World, Writer, readable

if TYPE_CHECKING:
    from private_redis import PrivateRedis

DEATH_PENALTIES = {None: None, 'unix': UnixSignalDeathPenalty, 'timer': TimerDeathPenalty}
OPERATORS: dict[str, Callable[..., Any]] = {
    'len': lambda registry: len(registry),
    'bool': lambda registry: bool(registry),
    'hash': lambda registry: hash(registry),
    'iter': lambda registry: list(registry),
    'in': lambda registry, item: item in registry,
    'not in': lambda registry, item: item not in registry,
    '==': lambda registry, other: registry == other,
    '!=': lambda registry, other: registry != other,
}
TRIES = 30


class Different(AssertionError):
    """RQ and ours did not do the same."""


@dataclass(frozen=True, repr=False)
class Setup:
    """How the object under test is constructed, on which connection, and by which kind of client."""

    how: str = 'name'
    connection: str = 'plain'
    client: str = PLAIN
    serializer: str | None = None
    job_class: str | None = None
    death_penalty: str | None = None
    subclass: str | None = None
    patch: Patch | None = None
    job_id: str = 'a'

    __repr__ = readable

    @property
    def the_job_class(self) -> Any:
        return JOB_CLASSES[self.job_class]

    @property
    def client_kind(self) -> ClientKind:
        return CLIENT_KINDS[self.client]


class Call:
    """A call as it is written: Call('get_job_ids', 0, -1, desc=True); operators by their sign: Call('in', 'a')."""

    def __init__(self, name: str, /, *args: Any, **kwargs: Any) -> None:
        self.name = name
        self.args = args
        self.kwargs = kwargs
        self.kind: str | None = None

    def on(self, kind: str) -> Call:
        """Return the same call on another kind of registry than the test's."""
        call = Call(self.name, *self.args, **self.kwargs)
        call.kind = kind
        return call

    def __repr__(self) -> str:
        arguments = [
            repr(self.name),
            *map(repr, self.args),
            *(f'{name}={value!r}' for name, value in self.kwargs.items()),
        ]
        return f'Call({", ".join(arguments)})' + (f'.on({self.kind!r})' if self.kind else '')


class Raw(Call):
    """A Redis command by another client, between two calls."""

    def __repr__(self) -> str:
        return f'Raw({", ".join(map(repr, (self.name, *self.args)))})'


class _Player:
    """Plays the calls of an example on one side."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.subjects: dict[str, Any] = {}

    def play(self, kind: str, call: Call) -> Outcome:
        if isinstance(call, Raw):
            words = self.bench.setup.client_kind.command(call.name, *call.args)
            return observe(lambda: self.bench.side.inspector.execute_command(*words))
        self.bench.begin_call()
        construction: Outcome | None = None
        if kind not in self.subjects:
            construction = self._finish(self._observe(lambda: self._construct(kind)), ())
            if construction.error is not None:
                return construction
            self.subjects[kind] = construction.value
        args = make(call.args, self.bench)
        kwargs = {name: make(value, self.bench) for name, value in call.kwargs.items()}
        outcome = self._finish(
            self._observe(lambda: self._call(self.subjects[kind], call.name, args, kwargs)), (args, kwargs)
        )
        if construction is not None:
            outcome.compared |= {f'construction: {name}': value for name, value in construction.compared.items()}
        if self.bench.setup.client_kind.is_observed:
            outcome.compared['commands observed'] = list(Observed.seen)
        return outcome

    def _observe(self, call: Callable[[], Any]) -> Outcome:
        def by_client() -> Any:
            with self.bench.using_client():
                return call()

        return observe(by_client)

    def _finish(self, outcome: Outcome, arguments: Any) -> Outcome:
        waiting = [plain(pipeline, self.bench) for pipeline in self.bench.pipelines]
        executed = [self._observe(pipeline.execute) for pipeline in self.bench.pipelines]
        outcome.compared |= {
            'result': plain(outcome.value, self.bench),
            'exception': plain(outcome.error, self.bench),
            'warnings': outcome.warnings,
            'log records': outcome.logs,
            'arguments afterwards': plain(arguments, self.bench),
            'pipelines': waiting,
            'results of the pipelines': [plain((sorted_hashes(e.value), e.error), self.bench) for e in executed],
        }
        self.bench.pipelines.clear()
        return outcome

    def _call(self, subject: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        with patched(self.bench.setup.patch, subject):
            if name in OPERATORS:
                return OPERATORS[name](subject, *args, **kwargs)
            if name == 'clean_registries':
                return subject(*args, **kwargs)
            for step in name.split('.'):
                subject = getattr(subject, step)
            is_attribute = name == 'count' or name.endswith(('.count', '_registry')) or name in REGISTRY_ATTRIBUTES
            return subject if is_attribute else subject(*args, **kwargs)

    def _construct(self, kind: str) -> Any:
        bench, setup = self.bench, self.bench.setup
        made_class = bench.side.names[kind]
        if kind == 'clean_registries':
            return made_class
        if kind == 'Queue':
            return bench.queue()
        if setup.subclass is not None:
            made_class = SUBCLASSES[setup.subclass](made_class)
        if setup.patch is not None and bench.side.database == RQ_DATABASE:
            # RQ's own code uses RQ's class on both sides, so a patch of the class under test must not reach it.
            made_class = type(made_class.__name__, (made_class,), {})
        if kind == 'ExecutionRegistry':
            return made_class(setup.job_id, bench.connection)
        penalty = DEATH_PENALTIES[setup.death_penalty]
        if setup.how == 'positional':
            return made_class(bench.world.queue, bench.connection, setup.the_job_class, None, setup.serializer, penalty)
        options = {'job_class': setup.the_job_class, 'serializer': setup.serializer, 'death_penalty_class': penalty}
        if setup.how in ('queue', 'rq_queue'):
            return made_class(queue=bench.queue(rq=setup.how == 'rq_queue'), **options)
        return made_class(name=bench.world.queue, connection=bench.connection, **options)


# A known difference: is it what happened in this call, on a database that was like this before?
Allowance = Callable[[str, Call, Outcome, Outcome, Dump], bool]


def nothing_is_allowed(kind: str, call: Call, rq: Outcome, ours: Outcome, before: Dump) -> bool:
    return False


def sorted_hashes(replies: Any) -> Any:
    """Return the replies of a pipeline with each hash sorted: the order of its fields means nothing."""
    if not isinstance(replies, list):
        return replies
    return [dict(sorted(each.items())) if isinstance(each, dict) else each for each in replies]


class Comparison:
    """Plays examples on both sides. `ours` can be replaced, to see that a difference is noticed."""

    def __init__(self, server: PrivateRedis, ours: Mapping[str, Any] | None = None) -> None:
        self.model = server.client(db=MODEL_DATABASE, protocol=2)
        # Otherwise the side that comes first would have to load them.
        for script in SCRIPTS:
            self.model.script_load(script)
        self.rights = Rights(server)
        self.rq = Side(server, RQ_DATABASE, names_of_rq(), self.rights)
        self.ours = Side(server, OUR_DATABASE, ours or names_of_ours(), self.rights)

    def close(self) -> None:
        self.model.close()
        self.rq.close()
        self.ours.close()
        self.rights.close()

    def prepare(self, world: World, setup: Setup, now: int) -> None:
        """Bring the world into both databases; twice, if the client of this set-up is one of two applications there."""
        prefix = setup.client_kind.prefix
        with self.model.pipeline(transaction=False) as pipe:
            pipe.flushall()
            Writer(world, pipe, now).write()
            if prefix:
                pipe.eval(DOUBLE_SCRIPT, 0, prefix)
            pipe.eval(COPY_SCRIPT, 0, RQ_DATABASE, OUR_DATABASE)
            pipe.execute()

    def run(
        self,
        kind: str,
        calls: Sequence[Call],
        world: World | None = None,
        setup: Setup | None = None,
        allowed: Allowance = nothing_is_allowed,
    ) -> list[Outcome]:
        """Play the calls on both sides and raise `Different` at the first difference; return RQ's outcomes."""
        __tracebackhide__ = True
        example = _Example(self, kind, world or World(), setup or Setup(), allowed)
        for _ in range(TRIES):
            outcomes = example.run(calls)
            if outcomes is not None:
                return outcomes
        raise RuntimeError(f'in {TRIES} tries, no example ran without a change of the second on the clock')


class _Example:
    def __init__(self, comparison: Comparison, kind: str, world: World, setup: Setup, allowed: Allowance) -> None:
        self.comparison = comparison
        self.kind = kind
        self.world = world
        self.setup = setup
        self.allowed = allowed

    def run(self, calls: Sequence[Call]) -> list[Outcome] | None:
        """Return RQ's outcomes, or None where a difference may come from a new second between the two sides."""
        __tracebackhide__ = True
        started = math.floor(time.time())
        self.comparison.prepare(self.world, self.setup, started)
        players = [
            _Player(Bench(side, self.world, self.setup, started)) for side in (self.comparison.rq, self.comparison.ours)
        ]
        outcomes: list[Outcome] = []
        before = dump(self.comparison.rq.inspector)
        new_second = False
        for number, call in enumerate(calls):
            begun = math.floor(time.time())
            rq, ours = (player.play(call.kind or self.kind, call) for player in players)
            new_second = new_second or math.floor(time.time()) != begun
            rq.database, ours.database = (dump(player.bench.side.inspector) for player in players)
            lines = self._compare(rq, ours)
            if lines and not self.allowed(call.kind or self.kind, call, rq, ours, before):
                if new_second:
                    return None
                raise Different(self._describe(number, calls, lines))
            outcomes.append(rq)
            if differences(rq.database, ours.database):
                # The calls that follow would be compared on two databases.
                break
            before = rq.database
        return outcomes

    def _compare(self, rq: Outcome, ours: Outcome) -> list[str]:
        names = sorted(rq.compared.keys() | ours.compared.keys())
        lines = [
            f'{name}:\n    RQ   {rq.compared.get(name)!r}\n    ours {ours.compared.get(name)!r}'
            for name in names
            if rq.compared.get(name) != ours.compared.get(name)
        ]
        lines += [f'database: {line}' for line in differences(rq.database, ours.database)]
        return lines

    def _describe(self, number: int, calls: Sequence[Call], lines: list[str]) -> str:
        played = ', '.join(map(repr, calls[: number + 1]))
        example = f'same_as_rq({self.kind!r}, {played}, world={self.world!r}, setup={self.setup!r})'
        return '\n  '.join([f'call {number + 1} differs in {example}', *lines])
