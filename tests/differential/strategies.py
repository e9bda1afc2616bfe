"""Random worlds, set-ups and calls, sensible and wrong ones, for every class and method."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from . import functions
from .arguments import APipeline, At, TheExecution, TheJob, TheQueue, TheRegistry, When
from .client_kinds import LIMITED, OBSERVED, PATCHED, PLAIN, PREFIXING
from .comparison import DEATH_PENALTIES, Call, Raw, Setup
from .sides import KINDS, REGISTRIES
from .subclasses import PATCHES, SUBCLASSES
from .world import AROUND, ATTRIBUTES, REGISTRY_OF_STATUS, SCORES, STATUSES, TRAITS, AJob, Entry, World

Strategy = st.SearchStrategy[Any]

# A world's jobs have these ids in this order, so that most calls meet a job that exists.
JOB_IDS = ('a', 'b', 'Job_1', 'f81d4fae-7dec-11d0-a765-00a0c91e6bf6')
QUEUE_NAMES = ('q', 'default', '', 'räksmörgås-队列', '{q}', '{0}', 'low:priority', 'two words', '*')
JSON = 'rq.serializers.JSONSerializer'


def mostly(usual: Strategy, odd: Strategy, one_in: int = 5) -> Strategy:
    """Return the usual values, and once in a while an odd one."""
    return st.integers(0, one_in - 1).flatmap(lambda draw: odd if draw == one_in - 1 else usual)


# Arguments. The first of each list is what a failing example shrinks to.
JOB_ID = st.sampled_from([*['a'] * 10, *['b'] * 4, *JOB_IDS[2:], 'missing'])
JOB = st.builds(
    TheJob, JOB_ID, bare=st.sampled_from([*[False] * 7, True]), job_class=st.sampled_from(['Job', 'Job', 'AppJob'])
)
ODD_VALUE = st.sampled_from(
    [
        None,
        'missing',
        '',
        b'a',
        b'\xff',
        0,
        1,
        True,
        1.5,
        'a:live',
        'a:b:c',
        ':',
        'é',
        '\udc80',
        'a\x00b',
        'x' * 300,
        ('a',),
        ['a'],
        {},
        bytearray(b'a'),
        functions.AppJob,
        TheExecution('a', 'live'),
        APipeline(),
    ]
)
JOB_OR_ID = mostly(st.one_of(JOB_ID, JOB), ODD_VALUE, one_in=8)
INDEX = mostly(
    st.sampled_from([0, -1, 1, -2, 2, 3, 100, -100]),
    st.sampled_from(
        [None, '0', '-1', '1', 'x', '', 1.0, 1.5, True, b'1', 2**63, -(2**64), math.inf, math.nan, [], '(1']
    ),
)
FLAG = mostly(st.booleans(), st.sampled_from([None, 0, 1, '', 'no', [], [0]]))
TIMESTAMP = mostly(
    st.builds(At, st.sampled_from([0, -2000, 3000, 1000.25, -5000, 100000])),
    st.sampled_from([None, 0, -10, '+inf', '-inf', '5', 'soon', '', b'7', True, math.inf, math.nan, 1e400, [], '(5']),
)
TTL = mostly(st.sampled_from([0, 500, -1, 5000]), st.sampled_from([None, -2, 2.5, '5', 'x', True, b'5', []]))
PIPELINE = st.sampled_from([APipeline(), None, APipeline(client=True)])
EXECUTION = st.builds(TheExecution, st.sampled_from(['a', 'b']), st.sampled_from(['live', 'dead', 'run', 'lost', 'é']))
HANDLERS = st.lists(
    st.sampled_from([functions.handle, functions.handle_and_stop, functions.raise_in_handler]), max_size=2
)
CHUNK = mostly(st.sampled_from([1000, 1, 2]), st.sampled_from([0, -1, None, 'x', 1.5]))
MOMENT = mostly(
    st.builds(When, st.integers(0, 3), st.sampled_from([0, None, 5, -3])), st.sampled_from([None, 5, 'soon'])
)

Parameters = Mapping[str, Strategy]

CLEANUP: Parameters = {
    'timestamp': TIMESTAMP,
    'exception_handlers': mostly(HANDLERS, st.sampled_from([None, 5, [None]])),
}
LISTING: Parameters = {'start': INDEX, 'end': INDEX, 'desc': FLAG, 'cleanup': FLAG}
NOTHING: Parameters = {}

# What every registry has; the number is how many of the parameters have no default.
COMMON: dict[str, tuple[int, Parameters]] = {
    'count': (0, NOTHING),
    'len': (0, NOTHING),
    'get_job_count': (0, {'cleanup': FLAG}),
    'in': (1, {'item': JOB_OR_ID}),
    'get_job_ids': (0, LISTING),
    'remove': (1, {'job': JOB_OR_ID, 'pipeline': PIPELINE, 'delete_job': FLAG}),
    'requeue': (1, {'job_or_id': JOB_OR_ID, 'at_front': FLAG}),
    'cleanup': (0, CLEANUP),
    'get_expired_job_ids': (0, {'timestamp': TIMESTAMP}),
    'get_expiration_time': (1, {'job': mostly(JOB, ODD_VALUE)}),
    'get_queue': (0, NOTHING),
    'parse_job_id': (1, {'entry': JOB_OR_ID}),
    'add': (1, {'job': mostly(JOB, ODD_VALUE), 'ttl': TTL, 'pipeline': PIPELINE, 'xx': FLAG}),
    'bool': (0, NOTHING),
    '==': (
        1,
        {
            'other': mostly(
                st.builds(TheRegistry, st.sampled_from(REGISTRIES), st.sampled_from([None, 'r']), st.booleans()),
                ODD_VALUE,
            )
        },
    ),
    '!=': (
        1,
        {'other': st.builds(TheRegistry, st.sampled_from(REGISTRIES), st.sampled_from([None, 'r']), st.booleans())},
    ),
    'not in': (1, {'item': JOB_OR_ID}),
    'hash': (0, NOTHING),
    'iter': (0, NOTHING),
    'key': (0, NOTHING),
    'no_such_method': (0, NOTHING),
}
HEAD = list(COMMON)[: list(COMMON).index('get_queue')]
ALL_REGISTRIES = (*REGISTRIES, 'ExecutionRegistry')
EXTRA: dict[str, dict[str, tuple[int, Parameters]]] = {
    'FailedJobRegistry': {
        'add': (
            1,
            {'job': JOB, 'ttl': TTL, 'exc_string': st.sampled_from(['', 'Traceback', 'é']), 'pipeline': PIPELINE},
        )
    },
    'StartedJobRegistry': {
        'get_job_and_execution_ids': (0, LISTING),
        'add_execution': (2, {'execution': EXECUTION, 'pipeline': PIPELINE, 'ttl': TTL, 'xx': FLAG}),
        'remove_execution': (1, {'execution': EXECUTION, 'job': JOB, 'pipeline': PIPELINE, 'delete_job': FLAG}),
        'remove_executions': (1, {'job': JOB, 'pipeline': PIPELINE}),
    },
    'ScheduledJobRegistry': {
        'get_jobs_to_enqueue': (0, {'timestamp': TIMESTAMP}),
        'get_jobs_to_schedule': (0, {'timestamp': TIMESTAMP, 'chunk_size': CHUNK}),
        'get_scheduled_time': (1, {'job_or_id': JOB_OR_ID}),
        'schedule': (2, {'job': JOB, 'scheduled_datetime': MOMENT, 'pipeline': PIPELINE}),
        'remove_jobs': (0, {'timestamp': TIMESTAMP, 'pipeline': PIPELINE}),
    },
    'ReadyJobRegistry': {
        'enqueue_jobs': (1, {'job_ids': st.lists(JOB_ID, max_size=3)}),
        'register_jobs': (2, {'jobs': st.lists(JOB, max_size=2), 'pipeline': PIPELINE}),
    },
    'ExecutionRegistry': {
        'get_execution_ids': (0, {'start': INDEX, 'end': INDEX}),
        'get_executions': (0, {'start': INDEX, 'end': INDEX}),
        'add': (3, {'execution': EXECUTION, 'ttl': TTL, 'pipeline': PIPELINE, 'xx': FLAG}),
        'remove': (2, {'execution': EXECUTION, 'pipeline': PIPELINE}),
        'delete': (2, {'job': JOB, 'pipeline': PIPELINE}),
    },
}


def methods_of(kind: str) -> dict[str, tuple[int, Parameters]]:
    """Return what can be called on an object of this kind."""
    if kind == 'clean_registries':
        queue = mostly(st.builds(TheQueue, rq=st.booleans()), ODD_VALUE)
        return {'clean_registries': (1, {'queue': queue, 'exception_handlers': CLEANUP['exception_handlers']})}
    if kind == 'Queue':
        methods: dict[str, tuple[int, Parameters]] = {}
        for name in REGISTRIES[1:]:
            attribute = name.removesuffix('JobRegistry').lower() + '_job_registry'
            methods[attribute] = (0, NOTHING)
            methods[f'{attribute}.count'] = (0, NOTHING)
            methods[f'{attribute}.get_job_ids'] = (0, LISTING)
        methods['failed_job_registry.requeue'] = COMMON['requeue']
        methods['failed_job_registry.remove'] = COMMON['remove']
        return methods
    return {**COMMON, **EXTRA.get(kind, {})}


@st.composite
def arguments(draw: Any, required: int, parameters: Parameters) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return arguments by position and by name; now and then too few, too many, twice or misspelt."""
    names = list(parameters)
    by_position = draw(st.integers(0, len(names))) if names else 0
    args = [draw(parameters[name]) for name in names[:by_position]]
    kwargs = {
        name: draw(parameters[name])
        for index, name in enumerate(names)
        if index >= by_position and (index < required or draw(st.booleans()))
    }
    mistake = draw(st.integers(0, 59))
    if mistake == 59:
        kwargs['no_such_argument'] = 1
    elif mistake == 58:
        args += [None] * (len(names) + 1 - len(args))
        kwargs = {}
    elif mistake == 57 and args:
        kwargs[names[0]] = None
    elif mistake == 56:
        args, kwargs = [], {}
    return tuple(args), kwargs


@st.composite
def calls(draw: Any, kind: str) -> Call:
    methods = methods_of(kind)
    # What people call all day comes up more often than the rest.
    names = [*([*HEAD, *EXTRA.get(kind, {})] * 4 if kind in ALL_REGISTRIES else []), *methods]
    name = draw(st.sampled_from(names))
    required, parameters = methods[name]
    if name in ('in', 'not in', '==', '!='):
        return Call(name, draw(next(iter(parameters.values()))))
    if name in ('count', 'len', 'bool', 'hash', 'iter', 'key') or name.endswith(('_registry', '.count')):
        return Call(name)
    args, kwargs = draw(arguments(required, parameters))
    return Call(name, *args, **kwargs)


@st.composite
def worlds(draw: Any, kind: str) -> World:
    """Return a world in which the registry under test has something in it."""
    own = [status for status, registry in REGISTRY_OF_STATUS.items() if registry == kind and status in STATUSES]
    statuses = st.sampled_from([*own * 20, *STATUSES])
    traits = st.lists(st.sampled_from([*TRAITS, *ATTRIBUTES, *AROUND, *AROUND]), max_size=3, unique=True).map(tuple)
    scores = st.sampled_from([*['future', 'expired', 'later'] * 4, None, *SCORES])
    jobs = [
        AJob(job_id, draw(statuses), draw(traits), draw(scores))
        for job_id in JOB_IDS[: draw(st.sampled_from([1, 2, 3, 2, 3, 1, 2, 3, 4, 0]))]
    ]
    own_registry = kind if kind in REGISTRIES or kind == 'ExecutionRegistry' else 'FailedJobRegistry'
    registries = st.sampled_from([own_registry] * 3 + list(REGISTRIES))
    members = st.sampled_from(
        ['a', 'stale', 'b', 'a:run', 'b:live', 'no-colon', 'a:b:c', 'é', 'a:é', '', ':', b'\xff\xfe', b'a:\xff', 'x y']
    )
    entries = draw(st.lists(st.builds(Entry, registries, members, st.sampled_from(list(SCORES))), max_size=4))
    spoiled = draw(
        mostly(
            st.just({}),
            st.dictionaries(registries, st.sampled_from(['string', 'list', 'set', 'hash']), min_size=1, max_size=1),
            one_in=12,
        )
    )
    return World(
        queue=draw(mostly(st.just('q'), st.sampled_from(QUEUE_NAMES))),
        jobs=tuple(jobs),
        entries=tuple(entries),
        spoiled=spoiled,
        serializer=draw(mostly(st.none(), st.just(JSON))),
    )


OTHER_CLIENTS = [st.sampled_from(list(kinds)) for kinds in (PREFIXING, OBSERVED, PATCHED, LIMITED)]
CLIENT = mostly(st.just(PLAIN), st.one_of(OTHER_CLIENTS), one_in=2)


@st.composite
def setups(draw: Any, kind: str, world: World) -> Setup:
    variant = draw(st.integers(0, 9)) if kind in REGISTRIES else 0
    client = draw(CLIENT)
    connections = ['decode_responses', 'resp2', 'resp3', *(['unix', 'url', 'single'] if client == PLAIN else [])]
    return Setup(
        how=draw(st.sampled_from(['name', 'queue', 'positional', 'rq_queue'])),
        connection=draw(mostly(st.just('plain'), st.sampled_from(connections), one_in=2)),
        client=client,
        serializer=draw(mostly(st.just(world.serializer), st.sampled_from([None, JSON]), one_in=8)),
        job_class=draw(mostly(st.none(), st.sampled_from([name for name in functions.JOB_CLASSES if name]))),
        death_penalty=draw(mostly(st.none(), st.sampled_from([name for name in DEATH_PENALTIES if name]))),
        subclass=draw(st.sampled_from(list(SUBCLASSES))) if variant in (7, 8) else None,
        patch=draw(st.sampled_from(PATCHES)) if variant == 9 else None,
        job_id=draw(st.sampled_from(['a', 'a', 'b', 'missing'])) if kind == 'ExecutionRegistry' else 'a',
    )


@st.composite
def raw_commands(draw: Any) -> Raw:
    """Return what another client does to the database between two calls."""
    world = World()
    key = world.key(draw(st.sampled_from(REGISTRIES)))
    job_id = draw(JOB_ID)
    return draw(
        st.sampled_from(
            [
                Raw('ZADD', key, 2000000000, job_id),
                Raw('ZREM', key, job_id),
                Raw('DEL', key),
                Raw('DEL', f'rq:job:{job_id}'),
            ]
        )
    )


@st.composite
def examples(draw: Any, kind: str) -> tuple[World, Setup, list[Call]]:
    """Return an example for one kind of object, or (mixed) for all of them in one database."""
    world = draw(worlds(draw(st.sampled_from(REGISTRIES)) if kind == 'mixed' else kind))
    if kind == 'mixed':
        setup = draw(setups('FailedJobRegistry', world))
        if setup.patch is not None and setup.patch[0] == 'class':
            # rq.Queue has a method of the same name, which RQ's own code calls on both sides.
            setup = replace(setup, patch=None)
        played = draw(
            st.lists(st.sampled_from(KINDS).flatmap(lambda k: calls(k).map(lambda c: c.on(k))), min_size=2, max_size=10)
        )
        return world, setup, played
    played = draw(st.lists(mostly(calls(kind), raw_commands(), one_in=12), min_size=1, max_size=6))
    return world, draw(setups(kind, world)), played
