"""A PostgreSQL server that only one test has, and may do anything to."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from infra.embedded_postgres import open_embedded_postgres


class OwnPostgres:
    def __init__(self, home: Path) -> None:
        self._home = home
        self._running = AsyncExitStack()

    async def start(self) -> str:
        return await self._running.enter_async_context(open_embedded_postgres(self._home))

    async def stop(self) -> None:
        await self._running.aclose()

    def kill(self) -> None:
        pid = int((self._home / "postgres" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)


@asynccontextmanager
async def own_postgres() -> AsyncIterator[tuple[OwnPostgres, str]]:
    """The server, running, and its URL."""
    with tempfile.TemporaryDirectory(prefix="carillon-test-") as home:
        server = OwnPostgres(Path(home))
        url = await server.start()
        try:
            yield server, url
        finally:
            await server.stop()
