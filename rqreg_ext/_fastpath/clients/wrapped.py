"""Clients with wrapped methods, by tracers say: commands go through the wrappers, and must arrive unchanged.

An observed client's outermost methods are called for an object that stands in for the client: its class is derived from
the client's, and it has the same attributes. In that class redis-py's innermost method compares what arrives with what
was given, before it is sent, and what the outermost returns is compared with the reply. The same with pipelines, and
with connections that do not write as redis-py's own.

Where the connections are redis-py's own, the innermost method sends on a connection of the core's. So do single calls
(src/stand_in.c, core_stand_in.py).

Unless only a known tracer is in the way (tracers.py), before a script, or a command that RQ does not send, the client
is tried: with the commands of trial_commands.py, which the innermost method does not send, but answers. A client that
changes one, or its reply, or raises, or whose class cannot be subclassed, is used by its methods from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from ... import _core
from .by_methods import READS, SENT_BY_RQ, Words, by_methods
from .configuration import decodes
from .errors import is_broken_connection, is_job_timeout
from .kinds import ClientKind, Observations
from .pools import makes_only_original_connections
from .stand_ins import (
    PIPELINE,
    SINGLE,
    TRANSACTION,
    CommandChangedError,
    client_on_core,
    client_stand_in,
    pipeline_on_core,
    pipeline_stand_in,
    stand_in_for,
)
from .trial_commands import TrialCommand, commands_of_registry, commands_of_rq
from .watching import Trial, Watch


def by_pipeline(pipeline: Any, commands: Sequence[Words]) -> list[Any]:
    """Return the replies of a pipeline that was just made, as they came."""
    try:
        # Replies unconverted, as our own connections give them.
        pipeline.response_callbacks = {}
        for words in commands:
            pipeline.execute_command(*words)
        replies: list[Any] = pipeline.execute(raise_on_error=False)
    finally:
        pipeline.reset()
    return replies


def send(client: Any, kind: Any, commands: Sequence[Words], on_resent: Callable[[], object] | None = None) -> list[Any]:
    """Send commands through an observed client, or by its methods as soon as it turns out to be none."""
    notes = _notes_on(client, kind)
    are_sent_by_rq = all(words[0] in SENT_BY_RQ for words in commands)
    if notes.is_opaque or (not are_sent_by_rq and not is_transparent(client, kind)):
        return by_methods(client, commands)
    # A trusted client need not be seen to pass on one command of each name before a pipeline is used.
    sent_singly = int(len(commands) == 1) if is_trusted(client, kind) else _count_sent_singly(commands, notes.arrived)
    replies: list[Any] = []
    try:
        for words in commands[:sent_singly]:
            reply, has_arrived = _by_execute_command(client, notes, words, on_resent)
            replies.append(reply)
            if not has_arrived:
                raise CommandChangedError
        if len(replies) < len(commands):
            replies += _by_watched_pipeline(client, notes, commands[len(replies) :], on_resent)
    except CommandChangedError:
        _note_opaque(kind, notes)
        replies += by_methods(client, commands[len(replies) :])
    return replies


def _count_sent_singly(commands: Sequence[Words], seen: set[str]) -> int:
    """Return how many of the commands go by themselves, not in a pipeline, which may be wrapped in another way.

    The first one, and as many as it takes to see one of each name: it may be that only some are changed.
    """
    first = {words[0]: place for place, words in reversed(list(enumerate(commands)))}
    return 1 + max((place for name, place in first.items() if name not in seen), default=0)


def is_transparent(client: Any, kind: Any, registry_key: Any = None) -> bool:
    """Tell whether RQ's commands arrive as they are given, by themselves and in pipelines, and their replies as well.

    registry_key: of the registry that is to be changed; its first entries are read, in a round trip.
    """
    # No wrapper is in the way: the client package measures commands itself, or the client's Retry is asked.
    if not getattr(kind, 'is_wrapped', False) and _has_original_connections(client):
        return True
    notes = _notes_on(client, kind)
    if is_trusted(client, kind):
        return not notes.is_opaque
    if not _passes_trial(client, kind, notes, registry_key):
        return False
    # A wrapper may hide some of them. That is to be seen before any is changed.
    return registry_key is None or answers_unchanged(client, kind, ('ZRANGE', registry_key, 0, _MOST_READ - 1))


_MOST_READ = 1000


def is_trusted(client: Any, kind: Any) -> bool:
    """Tell whether only tracers wrap the client that are known to pass on commands and replies."""
    return getattr(kind, 'is_trusted', False) and _has_original_connections(client)


def passes_for_script(client: Any, observations: Observations, registry_key: str) -> bool:
    """Tell whether a script may take the place of RQ's commands on a registry, in a single call, and take note of it.

    The core asks, once for each registry (src/job_script.c). No round trip.
    """
    kind = _core.check_client(client)
    try:
        has_passed = _passes_trial(client, kind, _notes_on(client, kind), registry_key)
    except Exception as error:
        if is_job_timeout(error) or isinstance(error, MemoryError):
            raise
        if is_broken_connection(error):
            return False
        # A wrapper refuses a command that RQ's method may not send.
        has_passed = False
    keys = observations.passed_keys
    if not has_passed or keys is None:
        observations.passed_keys = None
        return False
    if len(keys) >= _MOST_KEYS:
        keys.clear()
    keys.add(registry_key)
    return True


def _passes_trial(client: Any, kind: Any, notes: _Notes, registry_key: Any) -> bool:
    """Tell whether the client passes on the commands of RQ, on this registry if a key is given. It is tried once."""
    if not notes.is_opaque and not notes.has_passed(registry_key):
        if not _passes_all(client, notes, registry_key):
            _note_opaque(kind, notes)
        notes.add_passed(registry_key)
    return not notes.is_opaque


def _passes_all(client: Any, notes: _Notes, registry_key: Any) -> bool:
    """Tell whether the commands of RQ arrive, on keys of all kinds and on those of this registry."""
    is_decoded = _decodes(client)
    if not notes.has_passed(None):
        commands = commands_of_rq(is_decoded)
        if not _passes(client, commands, commands):
            return False
    if registry_key is None:
        return True
    own, others = commands_of_registry(registry_key, is_decoded)
    return _passes(client, own, [*own, *others])


def answers_unchanged(client: Any, kind: Any, words: Words) -> bool:
    """Tell whether the client returns the reply to a read command unchanged. One round trip."""
    if not getattr(kind, 'is_wrapped', False) or is_trusted(client, kind):
        return True
    notes = _notes_on(client, kind)
    if notes.is_opaque:
        return False
    try:
        _, has_arrived = _by_execute_command(client, notes, words)
    except CommandChangedError:
        has_arrived = False
    except UnicodeDecodeError:
        # With decode_responses=True an entry that is not text cannot be read: RQ may clean it up before it reads.
        return True
    if not has_arrived:
        _note_opaque(kind, notes)
    return has_arrived


# ---- What is known of clients


class _Notes:
    """What was seen of the clients of one kind: names of commands that arrived, and keys they were tried with."""

    def __init__(self) -> None:
        self.arrived: set[str] = set()
        self.is_opaque = False
        self._passed: set[Any] = set()

    def has_passed(self, registry_key: Any) -> bool:
        return registry_key in self._passed

    def add_passed(self, registry_key: Any) -> None:
        if len(self._passed) >= _MOST_KEYS:
            self._passed.clear()
        self._passed |= {None, registry_key}


_MOST_KEYS = 4096


def _note_opaque(kind: Any, notes: _Notes) -> None:
    """Use these clients by their methods from now on, and by no script in single calls."""
    notes.is_opaque = True
    if isinstance(kind, ClientKind) and kind.observations is not None:
        kind.observations.passed_keys = None


def _notes_on(client: Any, kind: Any) -> _Notes:
    has_kind = isinstance(kind, ClientKind)
    notes = kind.notes if has_kind else _notes_of_plain
    if has_kind and _has_original_connections(client):
        found: _Notes = notes.setdefault('client', _Notes())
        return found
    # What other connections do may depend on their pool, like what a Retry does.
    by_pool: WeakKeyDictionary[Any, _Notes] = notes.setdefault('by pool', WeakKeyDictionary())
    try:
        return by_pool.setdefault(client.connection_pool, _Notes())
    except (AttributeError, TypeError):
        return _Notes()


def _has_original_connections(client: Any) -> bool:
    try:
        pool = client.connection_pool
        return _core.check_pool(pool) is not None and makes_only_original_connections(pool)
    except AttributeError:
        return False


# Of clients that are plain, and whose connections are not.
_notes_of_plain: dict[str, Any] = {}


def _decodes(client: Any) -> bool:
    try:
        return decodes(client)
    except Exception as error:
        if is_job_timeout(error):
            raise
        return False


# ---- Sending, and trying


def _passes(client: Any, by_themselves: Sequence[TrialCommand], together: Sequence[TrialCommand]) -> bool:
    """Tell whether commands arrive unchanged, and their replies as well. None is sent."""
    try:
        return (
            all(_passes_alone(client, command) for command in by_themselves)
            and _passes_in_pipeline(client, together, is_transaction=False)
            and _passes_in_pipeline(client, together, is_transaction=True)
            and _passes_while_watching(client, by_themselves)
        )
    except CommandChangedError:
        return False


def _is_at_core(client: Any) -> bool:
    """Tell whether what arrives below the wrappers is sent on a connection of the core's."""
    return isinstance(_core.check_client(client), ClientKind) and _has_original_connections(client)


def _stand_in_for(client: Any, watch: Watch) -> Any:
    return stand_in_for(client_on_core if _is_at_core(client) else client_stand_in, client, watch)


def _stand_in_for_pipeline(client: Any, pipeline: Any, watch: Watch) -> Any:
    return stand_in_for(pipeline_on_core if _is_at_core(client) else pipeline_stand_in, pipeline, watch)


def _passes_alone(client: Any, command: TrialCommand) -> bool:
    trial = Trial([command], SINGLE, client.connection_pool)
    stand_in = _stand_in_for(client, trial)
    return trial.holds(lambda: stand_in.execute_command(*command.words))


def _passes_in_pipeline(client: Any, commands: Sequence[TrialCommand], is_transaction: bool) -> bool:
    pipeline = _pipeline_of(client, is_transaction)
    trial = Trial(commands, TRANSACTION if is_transaction else PIPELINE, client.connection_pool)
    with _resetting(pipeline):
        stand_in = _stand_in_for_pipeline(client, pipeline, trial)
        return trial.holds(lambda: by_pipeline(stand_in, [command.words for command in commands]))


def _passes_while_watching(client: Any, commands: Sequence[TrialCommand]) -> bool:
    """As _passes_alone(), for WATCH and the reads that follow it."""
    key = commands[0].words[1]
    reads = [command for command in commands if command.words[0] in READS and command.words[1] == key]
    pipeline = _pipeline_of(client, is_transaction=True)
    with _resetting(pipeline):
        for command in (TrialCommand(('WATCH', key), 1), *reads):
            trial = Trial([command], SINGLE, client.connection_pool)
            stand_in = _stand_in_for_pipeline(client, pipeline, trial)
            stand_in.response_callbacks = {}
            if not trial.holds(partial(stand_in.execute_command, *command.words)):
                return False
            pipeline.watching = True
    return True


@contextmanager
def _resetting(pipeline: Any) -> Iterator[None]:
    try:
        yield
    finally:
        # No WATCH was sent.
        pipeline.watching = False
        pipeline.reset()


def _by_execute_command(
    client: Any, notes: _Notes, words: Words, on_resent: Callable[[], object] | None = None
) -> tuple[Any, bool]:
    """Return the reply to a command, and whether the command arrived. Raises CommandChangedError if another one did."""
    watch = Watch([words], SINGLE, client.connection_pool, on_resent)
    stand_in = _stand_in_for(client, watch)
    reply = watch.answer(
        lambda: stand_in.execute_command(*words),
        has_arrived_before=words[0] in notes.arrived,
        is_read=words[0] in READS,
    )
    if watch.has_arrived:
        notes.arrived.add(words[0])
    return reply, watch.has_arrived


def _by_watched_pipeline(
    client: Any, notes: _Notes, commands: Sequence[Words], on_resent: Callable[[], object] | None = None
) -> list[Any]:
    """Return the replies. Raises CommandChangedError where other commands would be sent."""
    pipeline = _pipeline_of(client, is_transaction=False)
    watch = Watch(commands, PIPELINE, client.connection_pool, on_resent)
    try:
        stand_in = _stand_in_for_pipeline(client, pipeline, watch)
        replies: list[Any] = watch.answer(
            lambda: by_pipeline(stand_in, commands),
            has_arrived_before=PIPELINE in notes.arrived,
            is_read=all(words[0] in READS for words in commands),
        )
        if not watch.has_arrived:
            raise CommandChangedError
    finally:
        pipeline.reset()
    notes.arrived.add(PIPELINE)
    return replies


def _pipeline_of(client: Any, is_transaction: bool) -> Any:
    """Return a pipeline of the client. Raises CommandChangedError where it makes something else, or nothing."""
    try:
        pipeline = client.pipeline(transaction=is_transaction)
        kind = _core.check_client(pipeline)
        is_of_client = pipeline.connection_pool is client.connection_pool
    except Exception as error:
        if is_job_timeout(error):
            raise
        # Nothing was sent.
        raise CommandChangedError from None
    if not isinstance(kind, ClientKind) or not kind.is_pipeline or not is_of_client:
        raise CommandChangedError
    return pipeline
