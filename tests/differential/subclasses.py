"""Registry classes as users subclass them, and methods as users patch them; the same code for both sides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from .functions import AppJob, logger


def as_is(base: Any) -> Any:
    class Registry(base):  # type: ignore[misc]
        pass

    return Registry


def silent_cleanup(base: Any) -> Any:
    class Registry(base):  # type: ignore[misc]
        def cleanup(self, timestamp: Any = None, exception_handlers: Any = None) -> None:
            logger.info('cleanup(%r, %r)', timestamp, exception_handlers)

    return Registry


def noted_cleanup(base: Any) -> Any:
    class Registry(base):  # type: ignore[misc]
        def cleanup(self, *args: Any, **kwargs: Any) -> Any:
            logger.info('cleanup(%r, %r)', args, kwargs)
            return super().cleanup(*args, **kwargs)

    return Registry


def raising_cleanup(base: Any) -> Any:
    class Registry(base):  # type: ignore[misc]
        def cleanup(self, timestamp: Any = None, exception_handlers: Any = None) -> None:
            raise LookupError('no cleanup today')

    return Registry


def reversed_job_ids(base: Any) -> Any:
    class Registry(base):  # type: ignore[misc]
        def get_job_ids(self, *args: Any, **kwargs: Any) -> Any:
            logger.info('get_job_ids(%r, %r)', args, kwargs)
            return list(reversed(super().get_job_ids(*args, **kwargs)))

    return Registry


def fixed_job_ids(base: Any) -> Any:
    class Registry(base):  # type: ignore[misc]
        def get_job_ids(self, start: int = 0, end: int = -1, desc: bool = False, cleanup: bool = True) -> list[str]:
            return ['a', 'fixed']

    return Registry


def counted_twice(base: Any) -> Any:
    class Registry(base):  # type: ignore[misc]
        def get_job_count(self, cleanup: bool = True) -> Any:
            logger.info('get_job_count(%r)', cleanup)
            return super().get_job_count(cleanup) * 2

    return Registry


def fixed_count(base: Any) -> Any:
    class Registry(base):  # type: ignore[misc]
        @property
        def count(self) -> int:
            return 7

    return Registry


def shouting_job_ids(base: Any) -> Any:
    class Registry(base):  # type: ignore[misc]
        @staticmethod
        def parse_job_id(entry: Any) -> str:
            return base.parse_job_id(entry).upper()  # type: ignore[no-any-return]

    return Registry


def own_job_ids(base: Any) -> Any:
    class Registry(base):  # type: ignore[misc]
        def parse_job_id(self, entry: Any) -> Any:
            return (self.name, entry)

    return Registry


def noted_remove(base: Any) -> Any:
    class Registry(base):  # type: ignore[misc]
        def remove(self, *args: Any, **kwargs: Any) -> Any:
            logger.info('remove with %r', kwargs.get('delete_job'))
            return super().remove(*args, **kwargs)

    return Registry


def noted_requeue(base: Any) -> Any:
    class Registry(base):  # type: ignore[misc]
        def requeue(self, *args: Any, **kwargs: Any) -> Any:
            logger.info('requeue with %r', kwargs)
            return super().requeue(*args, **kwargs)

    return Registry


def noted_expiry(base: Any) -> Any:
    class Registry(base):  # type: ignore[misc]
        def get_expired_job_ids(self, timestamp: Any = None) -> Any:
            logger.info('get_expired_job_ids')
            return super().get_expired_job_ids(timestamp)

    return Registry


def nothing_expires(base: Any) -> Any:
    class Registry(base):  # type: ignore[misc]
        def get_expired_job_ids(self, timestamp: Any = None) -> list[str]:
            return []

    return Registry


def contains_everything(base: Any) -> Any:
    class Registry(base):  # type: ignore[misc]
        def __contains__(self, item: Any) -> bool:
            return True

    return Registry


def own_keys(base: Any) -> Any:
    class Registry(base):  # type: ignore[misc]
        key_template = 'app:registry:{0}'

    return Registry


def own_init(base: Any) -> Any:
    class Registry(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.job_class = AppJob
            self.label = 'mine'

    return Registry


SUBCLASSES: dict[str, Callable[[Any], Any]] = {
    make.__name__: make
    for make in (
        as_is,
        silent_cleanup,
        noted_cleanup,
        raising_cleanup,
        reversed_job_ids,
        fixed_job_ids,
        counted_twice,
        fixed_count,
        shouting_job_ids,
        own_job_ids,
        noted_remove,
        noted_requeue,
        noted_expiry,
        nothing_expires,
        contains_everything,
        own_keys,
        own_init,
    )
}

PATCHED = ('cleanup', 'get_job_ids', 'get_job_count', 'parse_job_id', 'remove', 'requeue', 'get_expired_job_ids')
PATCHES = (
    *(
        (where, name, how)
        for name in PATCHED
        for where in ('class', 'instance')
        for how in ('wrapped', 'fixed', 'raises')
    ),
    ('class', 'count', 'fixed'),
    ('class', '__contains__', 'fixed'),
    ('class', '__len__', 'fixed'),
    ('class', 'key_template', 'plain'),
    ('instance', 'key', 'plain'),
    ('instance', 'name', 'plain'),
    ('instance', 'job_class', 'plain'),
    ('instance', 'connection', 'plain'),
)
Patch = tuple[str, str, str]
PLAIN_VALUES = {
    'key': 'other:key',
    'name': 'other',
    'key_template': 'other:{0}',
    'job_class': AppJob,
    'connection': None,
}


@contextmanager
def patched(patch: Patch | None, registry: Any) -> Iterator[None]:
    """Patch an attribute of the class or of the instance for one call, and log what was called of it."""
    if patch is None:
        yield
        return
    where, name, how = patch
    target = registry if where == 'instance' else type(registry)
    if not hasattr(target, name):
        yield
        return
    replacement = _replacement(target, name, how)
    with mock.patch.object(target, name, replacement):
        try:
            yield
        finally:
            for call in getattr(replacement, 'call_args_list', []):
                logger.info('%s of the %s called with %d and %s', name, where, len(call.args), sorted(call.kwargs))


def _replacement(target: Any, name: str, how: str) -> Any:
    if how == 'plain':
        return PLAIN_VALUES[name]
    if how == 'raises':
        return mock.MagicMock(side_effect=LookupError(f'{name} is patched'))
    if how == 'fixed':
        mock_class = mock.PropertyMock if name == 'count' else mock.MagicMock
        return mock_class(return_value=['a'] if name.endswith('ids') else 11)
    return _wrapped(target, name)


def _wrapped(target: Any, name: str) -> Any:
    original = getattr(target, name)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        logger.info('%s called with %d and %s', name, len(args), sorted(kwargs))
        return original(*args, **kwargs)

    return staticmethod(wrapper) if name == 'parse_job_id' and isinstance(target, type) else wrapper
