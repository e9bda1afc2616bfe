"""The HTTP server of `rqreg exporter`: /metrics, and a page that links there. Needs prometheus_client."""

from __future__ import annotations

import gzip
import signal
import socket
import socketserver
import ssl
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import click
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from .. import signals
from ..terminal import say
from .encoding import encode

_PAGE = b"""<!DOCTYPE html>
<html lang="en"><head><title>rqreg exporter</title></head>
<body><h1>rqreg exporter</h1><p><a href="/metrics">Metrics</a></p></body></html>
"""


def serve(registry: CollectorRegistry, host: str, port: int, certificate: tuple[str, str] | None) -> None:
    """Serve the metrics until SIGTERM. Raises click.UsageError if that is not possible there.

    certificate: the files of a certificate and of its key, to serve HTTPS.
    """
    signals.end_by_signals()
    try:
        server = _server(_application(registry), host, port, certificate)
        with server:
            shown = f'[{host}]' if ':' in host else host
            scheme = 'http' if certificate is None else 'https'
            say(f'serving {scheme}://{shown}:{server.server_port}/metrics')
            server.serve_forever()
    except signals.Ended as ended:
        # SIGTERM is the usual end of a server.
        if ended.number != signal.SIGTERM:
            raise


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each request."""

    # What runs when the process is to end is not waited for.
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        # WSGIServer's also asks the name service for the name of the host, which may take long.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a scraper has closed its connection, or speaks no TLS."""


class _Handler(WSGIRequestHandler):
    """Logs no requests, and does not wait for ever for one."""

    timeout = 30

    def log_message(self, format: str, *_: Any) -> None:
        pass


def _server(application: Any, host: str, port: int, certificate: tuple[str, str] | None) -> _Server:
    try:
        context = None if certificate is None else _context(*certificate)
        ((family, _, _, _, address), *_others) = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        server_class = type('_Server', (_Server,), {'address_family': family})
        server: _Server = server_class(address[:2], _Handler)
    except ssl.SSLError as error:
        raise click.UsageError(f'--tls-cert {certificate and certificate[0]}: {error}') from error
    except OSError as error:
        raise click.UsageError(f'--host {host} --port {port}: {error.strerror}. Give another one') from error
    if context is not None:
        # The handshake is for the thread of the request: one that hangs must not hold up others.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.set_app(application)
    return server


def _context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


def _application(registry: CollectorRegistry) -> Callable[..., Iterable[bytes]]:
    def application(environ: Any, start_response: Any) -> Iterable[bytes]:
        path = environ['PATH_INFO']
        status, headers = '200 OK', {}
        if environ['REQUEST_METHOD'] not in ('GET', 'HEAD'):
            status, headers, body = '405 Method Not Allowed', {'Allow': 'GET, HEAD'}, b'only GET and HEAD\n'
        elif path == '/metrics':
            body, headers = _metrics(registry, environ)
        elif path == '/':
            body, headers = _PAGE, {'Content-Type': 'text/html; charset=utf-8'}
        elif path == '/-/healthy':
            # Whether this process runs. Whether Redis does is rq_up.
            body = b'OK\n'
        else:
            status, body = '404 Not Found', b'not found: see /metrics\n'
        headers = {'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': str(len(body)), **headers}
        start_response(status, [*headers.items()])
        return [b'' if environ['REQUEST_METHOD'] == 'HEAD' else body]

    return application


def _metrics(registry: CollectorRegistry, environ: Any) -> tuple[bytes, dict[str, str]]:
    """Return the metrics in the format and the encoding that a request accepts, and headers."""
    try:
        _, content_type = choose_encoder(environ.get('HTTP_ACCEPT', ''))
    except (TypeError, ValueError):
        # A version that is not a number.
        _, content_type = choose_encoder('')
    names = parse_qs(environ.get('QUERY_STRING', '')).get('name[]')
    chosen: Any = registry if names is None else registry.restricted_registry(names)
    body = encode(chosen.collect(), content_type.startswith('application/openmetrics-text'))
    headers = {'Content-Type': content_type}
    accepted = [word.partition(';')[0].strip() for word in environ.get('HTTP_ACCEPT_ENCODING', '').split(',')]
    if 'gzip' in accepted:
        # Higher levels take many times as long, for little.
        body = gzip.compress(body, 1)
        headers['Content-Encoding'] = 'gzip'
    return body, headers
