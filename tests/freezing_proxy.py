"""A TCP proxy in front of a database whose connections can be frozen: they stay open, and no byte passes any more."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

Upstream = Path | tuple[str, int]
"""A Unix socket, or host and port."""


class FreezingProxy:
    """Listens on a port of 127.0.0.1 and hands on what comes; made by ``freezing_proxy``."""

    def __init__(self, upstream: Upstream) -> None:
        self.port = 0
        self._upstream = upstream
        self._flows: set[asyncio.Event] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._loop = asyncio.new_event_loop()
        self._listens = threading.Event()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)

    def freeze(self) -> int:
        """Hold back what comes on the connections that are open now, in both directions; return how many there are."""
        return self._in_loop(self._freeze)

    def thaw(self) -> int:
        """Let everything flow that was held back; return on how many connections."""
        return self._in_loop(self._thaw)

    def _freeze(self) -> int:
        for flow in self._flows:
            flow.clear()
        return len(self._flows)

    def _thaw(self) -> int:
        frozen = [flow for flow in self._flows if not flow.is_set()]
        for flow in frozen:
            flow.set()
        return len(frozen)

    def _in_loop(self, act: Callable[[], int]) -> int:
        done: list[int] = []
        told = threading.Event()

        def do() -> None:
            done.append(act())
            told.set()

        self._loop.call_soon_threadsafe(do)
        assert told.wait(10)
        return done[0]

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._listens.set()
        await self._ended.wait()
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)  # the transports' own last words

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        flow = asyncio.Event()
        flow.set()
        self._flows.add(flow)
        try:
            if isinstance(self._upstream, Path):
                there, back = await asyncio.open_unix_connection(str(self._upstream))
            else:
                there, back = await asyncio.open_connection(*self._upstream)
            self._writers += [writer, back]
            ways = {
                asyncio.create_task(_pump(reader, back, flow)),
                asyncio.create_task(_pump(there, writer, flow)),
            }
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            for own in (writer, back):
                own.close()
                self._writers.remove(own)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._flows.discard(flow)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, flow: asyncio.Event) -> None:
    with suppress(OSError, asyncio.CancelledError):
        while data := await source.read(65_536):
            await flow.wait()
            sink.write(data)
            await sink.drain()


@contextmanager
def freezing_proxy(upstream: Upstream) -> Iterator[FreezingProxy]:
    """Yield a proxy that listens; every connection is closed at the block's end."""
    proxy = FreezingProxy(upstream)
    proxy._thread.start()
    assert proxy._listens.wait(10)
    try:
        yield proxy
    finally:
        proxy._loop.call_soon_threadsafe(proxy._ended.set)
        proxy._thread.join(10)
        proxy._loop.close()
