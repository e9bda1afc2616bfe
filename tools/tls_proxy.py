"""TLS in front of a Redis, by a process of its own: not every Redis is built with TLS, and Python always is."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import sys
from types import TracebackType

BLOCK = 1 << 16


class TlsProxy:
    """A TLS endpoint on `port` of the loopback interface, before a server's plain port; a context manager.

    With `clients_authority` only clients with a certificate of that authority are let in. The port is a free one, if
    none is given.
    """

    def __init__(
        self, server_port: int, certificate: str, key: str, clients_authority: str = '', port: int = 0
    ) -> None:
        command = [sys.executable, '-S', __file__, str(server_port), certificate, key, clients_authority, str(port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def __enter__(self) -> TlsProxy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.process.kill()
        self.process.communicate()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while octets := await reader.read(BLOCK):
            writer.write(octets)
            await writer.drain()
    writer.close()


async def _serve(port: int, server_port: int, context: ssl.SSLContext) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection('127.0.0.1', server_port)
        await asyncio.gather(_pump(reader, back_writer), _pump(back_reader, writer))

    server = await asyncio.start_server(connected, '127.0.0.1', port, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Handshakes that fail are what some tests are about: not worth a traceback each.
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    await server.serve_forever()


def main() -> None:
    """Serve until killed. Arguments: the server's port, certificate, key, authority of the clients or nothing, port."""
    server_port, certificate, key, clients_authority, port = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if clients_authority:
        context.load_verify_locations(clients_authority)
        context.verify_mode = ssl.CERT_REQUIRED
    asyncio.run(_serve(int(port), int(server_port), context))


if __name__ == '__main__':
    main()
