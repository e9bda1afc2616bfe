"""`rqreg exporter`: metrics for Prometheus, over HTTP or as a file for the textfile collector of its node_exporter."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError
from redis.retry import Retry

from ..parameters import Count, Seconds
from ..server import Server, queue_names, server_options

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from .scrapes import Scrapes

# How long to wait for Redis.
_SECONDS = 5.0
_FILES = {'dashboard': 'grafana-dashboard.json', 'alerts': 'alerts.yml', 'keda': 'keda-scaled-object.yml'}


@click.command()
@click.argument('patterns', metavar='[QUEUES]...', nargs=-1, shell_complete=queue_names)
@click.option('--host', default='127.0.0.1', show_default=True, help='The address to serve at.')
@click.option(
    '--port', type=click.IntRange(0, 65535), default=9726, show_default=True, help='The port; 0 for one that is free.'
)
@click.option('--errors', type=Count(), metavar='N', help='Count failed jobs too: the N largest groups.')
@click.option('--no-worker-names', is_flag=True, help='Leave out the metrics of each worker.')
@click.option('--timeout', type=Seconds(), help='How long to wait for Redis; 5s if its settings do not say.')
@click.option('--once', is_flag=True, help='Write the metrics once, and end.')
@click.option('--file', type=click.Path(dir_okay=False), help='With --once: the file to write, by renaming.')
@click.option('--tls-cert', type=click.Path(exists=True, dir_okay=False), help='Serve HTTPS by this certificate.')
@click.option('--tls-key', type=click.Path(exists=True, dir_okay=False), help='The key of the certificate.')
@click.option(
    '--print', 'printed', type=click.Choice([*_FILES]), help='Print a Grafana dashboard, alert rules, or KEDA.'
)
@server_options
def exporter(
    server: Server,
    patterns: Sequence[str],
    host: str,
    port: int,
    errors: int | None,
    no_worker_names: bool,
    timeout: float | None,
    once: bool,
    file: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    printed: str | None,
) -> None:
    """Serve metrics of QUEUES (names or globs; all by default) and of the workers, for Prometheus.

    Nothing is changed. With --errors, failed jobs are counted by function and exception, at most once a minute: all of
    them are read. Names of queues may be given before the queues exist.
    """
    if printed is not None:
        sys.stdout.write((Path(__file__).parent / 'files' / _FILES[printed]).read_text(encoding='utf-8'))
        return
    _check_options(once, file, tls_cert, tls_key)
    _bound_waits(server.client, timeout)
    # Imported here for start-up time, and as prometheus_client may be missing.
    from .http_server import serve
    from .scrapes import FailureCounts, Scrapes

    failures = None if errors is None else FailureCounts(server, errors, in_background=not once)
    scrapes = Scrapes(server, patterns, not no_worker_names, failures)
    if once:
        _write(scrapes, file)
        raise click.exceptions.Exit(scrapes.status)
    serve(_registry_of(scrapes), host, port, None if tls_cert is None or tls_key is None else (tls_cert, tls_key))


def _check_options(once: bool, file: str | None, tls_cert: str | None, tls_key: str | None) -> None:
    if file is not None and not once:
        raise click.UsageError('--file needs --once')
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError('--tls-cert and --tls-key need each other')
    try:
        import prometheus_client  # noqa: F401
    except ImportError as error:
        raise click.UsageError(
            f"the exporter needs prometheus_client ({error}): pip install 'rqreg-ext[exporter]'"
        ) from error


def _bound_waits(client: Any, seconds: float | None) -> None:
    """Have redis-py's client wait only so long for the server, and try again only once."""
    if not isinstance(client, Redis):
        # A client of a cluster, or of another class: it keeps its own settings.
        return
    settings = client.connection_pool.connection_kwargs
    settings['socket_timeout'] = seconds or settings.get('socket_timeout') or _SECONDS
    # A server may close connections on which nothing was sent for long.
    client.set_retry(Retry(NoBackoff(), 1, (ConnectionError,)))


def _registry_of(scrapes: Scrapes) -> CollectorRegistry:
    from prometheus_client import CollectorRegistry, ProcessCollector

    registry = CollectorRegistry()
    registry.register(scrapes)
    ProcessCollector(registry=registry)
    return registry


def _write(scrapes: Scrapes, file: str | None) -> None:
    from prometheus_client import CollectorRegistry, generate_latest, write_to_textfile

    registry = CollectorRegistry()
    registry.register(scrapes)
    if file is None:
        sys.stdout.write(generate_latest(registry).decode())
        return
    try:
        write_to_textfile(file, registry)
    except OSError as error:
        raise click.UsageError(f'--file {file}: {error.strerror}') from error
