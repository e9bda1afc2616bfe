"""The repr() and dir() of registries."""

from __future__ import annotations

from typing import Any

# Attributes of the classes for internal use.
_INTERNALS = frozenset({'_abc_impl', '_own_module', '_rq_class'})


class DescriptionMixin:
    """A repr() with class, queue and server, and a dir() without internal attributes."""

    def __repr__(self) -> str:
        registry: Any = self
        name = getattr(registry, 'job_id', None) or getattr(registry, 'name', None)
        connection = getattr(registry, 'connection', None)
        if name is None or connection is None:
            # The constructor was not called, or has raised.
            return super().__repr__()
        return f'<{type(self).__name__} {name!r} {address_of(connection)}>'

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in _INTERNALS]


def address_of(client: Any) -> str:
    """Return the URL of the client's server, without user and password; the name of its class if there is none."""
    pool = getattr(client, 'connection_pool', None)
    arguments = getattr(pool, 'connection_kwargs', None)
    if not isinstance(arguments, dict):
        return type(client).__name__
    database = arguments.get('db') or 0
    service = getattr(pool, 'service_name', None)
    if service is not None:
        return f'sentinel://{service}/{database}'
    path = arguments.get('path')
    if path is not None:
        return f'unix://{path}?db={database}'
    classes = getattr(getattr(pool, 'connection_class', None), '__mro__', ())
    scheme = 'rediss' if any(owner.__name__ == 'SSLConnection' for owner in classes) else 'redis'
    return f'{scheme}://{arguments.get("host") or "localhost"}:{arguments.get("port") or 6379}/{database}'
