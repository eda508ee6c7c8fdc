"""A server seen through a TCP proxy of the test's own, so that it can be lost without being stopped."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qsl, urlsplit


class TcpProxy:
    """`url` reaches the server until told otherwise."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._port = 0
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._delay = (0.0, 0.0)
        self._unanswered = b""
        self._skip = 0
        self._last = b""
        self.accepted = 0

    @property
    def url(self) -> str:
        user, at, _ = self._url.netloc.rpartition("@")
        place = self._url._replace(netloc=f"{user}{at}127.0.0.1:{self._port}")
        return (place if self._url.hostname else place._replace(query="")).geturl()

    @property
    def open_connections(self) -> int:
        return len(self._writers) // 2

    async def accept(self) -> None:
        """Let connections through (again)."""
        self._flowing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """As a stopped server: connections are cut and new ones refused."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    def hang(self) -> None:
        """As a server under SIGSTOP: connections stay, new ones are taken, and nothing comes through."""
        self._flowing.clear()

    def hang_after(self, sent: bytes) -> None:
        """Once something with these bytes in it has reached the server; its answer does not come back."""
        self._last = sent

    @property
    def hangs(self) -> bool:
        return not self._flowing.is_set()

    def cut(self) -> None:
        """Cut the connections there are; new ones are let through."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def end(self) -> None:
        """For good: what still waits for the server to come back waits no longer."""
        await self.refuse()
        serving = tuple(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    def slow_down(self, seconds: float, jitter: float = 0) -> None:
        """Whatever is sent, either way, takes that long and up to `jitter` more."""
        self._delay = (seconds, jitter)

    def lose_the_answer_to(self, sent: bytes, *, skip: int = 0) -> None:
        """To the next thing that has these bytes in it: it reaches the server, then its connection is cut.

        `skip`: to so many such things before it the answers come.
        """
        self._unanswered, self._skip = sent, skip

    @property
    def has_lost_the_answer(self) -> bool:
        return not self._unanswered

    async def _serve(self, near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        with suppress(asyncio.CancelledError):  # that is `end`; asyncio's server takes it for a fault
            await self._join(near_reader, near_writer)

    async def _join(self, near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
        try:
            await self._flowing.wait()
            far_reader, far_writer = await self._connect()
        except (OSError, asyncio.CancelledError):
            near_writer.transport.abort()
            return
        pair = {near_writer, far_writer}
        self._writers |= pair
        try:
            async with asyncio.TaskGroup() as group:
                unanswered = asyncio.Event()
                group.create_task(self._pump(near_reader, far_writer, unanswered, asking=True))
                group.create_task(self._pump(far_reader, near_writer, unanswered, asking=False))
        finally:
            self._writers -= pair
            for writer in pair:
                writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._url.hostname:
            return await asyncio.open_connection(self._url.hostname, self._url.port)
        named = dict(parse_qsl(self._url.query))  # a PostgreSQL of our own, which has only a socket file
        return await asyncio.open_unix_connection(f"{named['host']}/.s.PGSQL.{named['port']}")

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        unanswered: asyncio.Event,
        *,
        asking: bool,
    ) -> None:
        with suppress(ConnectionError):
            while chunk := await reader.read(65_536):
                await self._flowing.wait()
                if any(self._delay):
                    await asyncio.sleep(self._delay[0] + random.random() * self._delay[1])
                if asking and self._is_to_stay_unanswered(chunk):
                    unanswered.set()
                elif unanswered.is_set():
                    break  # the server has done it, and nobody hears of it
                if writer.transport.is_closing():
                    return  # cut meanwhile
                writer.write(chunk)
                if asking and self._last and self._last in chunk:
                    self._last = b""
                    self.hang()
                await writer.drain()
        await self._flowing.wait()  # who is cut off does not hear that the other has gone, either
        writer.close()

    def _is_to_stay_unanswered(self, chunk: bytes) -> bool:
        if not self._unanswered or self._unanswered not in chunk:
            return False
        if self._skip:
            self._skip -= 1
            return False
        self._unanswered = b""
        return True


@asynccontextmanager
async def open_proxy(url: str) -> AsyncIterator[TcpProxy]:
    proxy = TcpProxy(url)
    await proxy.accept()
    try:
        yield proxy
    finally:
        await proxy.end()


async def lose(proxy: TcpProxy, how: str) -> None:
    """`refuse`: as when a server is stopped. `hang`: as when its machine is cut off."""
    if how == "hang":
        proxy.hang()
    else:
        await proxy.refuse()
