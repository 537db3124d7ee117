"""A TCP proxy that can turn into a black hole: nothing passes any more, nobody is told."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

__all__ = ["TcpProxy", "tcp_proxy"]


class TcpProxy:
    """Passes bytes to a Unix socket and back, until told otherwise from another thread."""

    def __init__(self, target: Path) -> None:
        self.port = 0  # set when it serves
        self._target = target
        self._open = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def cut(self) -> None:
        """Pass nothing on: connections stay open, new ones are taken, bytes stay where they are."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._open.clear)

    def heal(self) -> None:
        """Pass on what waits, and all that comes."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._open.set)

    async def serve(self, ready: Callable[[], None], done: asyncio.Event) -> None:
        """Serve until ``done``."""
        self._loop = asyncio.get_running_loop()
        self._open.set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready()
        await done.wait()
        server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        with contextlib.closing(writer), contextlib.suppress(OSError):
            there, here = await asyncio.open_unix_connection(str(self._target))
            with contextlib.closing(here):
                pumps = {
                    asyncio.ensure_future(self._pump(reader, here)),
                    asyncio.ensure_future(self._pump(there, writer)),
                }
                _, rest = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                for pump in rest:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._open.wait()
            writer.write(data)
            await writer.drain()


@contextlib.contextmanager
def tcp_proxy(target: Path) -> Iterator[TcpProxy]:
    """Run a proxy to a Unix socket on a free port of the loopback, in a thread of its own."""
    proxy = TcpProxy(target)
    ready = threading.Event()
    stop: list[Callable[[], object]] = []

    async def serve() -> None:
        done = asyncio.Event()
        stop.append(partial(asyncio.get_running_loop().call_soon_threadsafe, done.set))
        await proxy.serve(ready.set, done)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="tcp-proxy")
    thread.start()
    try:
        assert ready.wait(10)
        yield proxy
    finally:
        stop[0]()
        thread.join(10)
