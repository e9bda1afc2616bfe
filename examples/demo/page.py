"""The web page that the jobs fetch, served on loopback. It can be held back to keep a job running."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TEXT = b'<html><body>The quick brown fox jumps over the lazy dog.</body></html>\n'


class Page:
    """A web server that answers for every host: the worker reaches it as its HTTP proxy.

    So the scripts keep the address of the documentation, http://nvie.com. Every path returns the page, except
    /missing (404), and /fetched, which answers as soon as the page was requested.
    """

    def __init__(self) -> None:
        self.fetched = threading.Event()
        self.released = threading.Event()
        self.released.set()
        self._server = ThreadingHTTPServer(('127.0.0.1', 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def address(self) -> str:
        """Host and port of the server."""
        return f'127.0.0.1:{self._server.server_address[1]}'

    def hold(self) -> None:
        """Answer requests for the page only after release()."""
        self.fetched.clear()
        self.released.clear()

    def release(self) -> None:
        """Answer the requests that are held back, and later ones at once."""
        self.released.set()

    def start(self) -> None:
        """Start serving in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Answer every waiting request, and end the server."""
        self.release()
        self.fetched.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(page: Page) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == '/fetched':
                page.fetched.wait()
            elif not self.path.endswith('/missing'):
                page.fetched.set()
                page.released.wait()
            self.send_response(404 if self.path.endswith('/missing') else 200)
            self.send_header('Content-Length', str(len(TEXT)))
            self.end_headers()
            self.wfile.write(TEXT)

        def log_message(self, *args: object) -> None:
            """Print no log lines into the demo's output."""

    return Handler
