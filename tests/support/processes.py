"""Carillon's processes, as an operator would start, stop and kill them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

ROOT = Path(__file__).parents[2]
READY_SECONDS = 60.0
STOP_SECONDS = 30.0


@dataclass(slots=True)
class Process:
    """One command line of Carillon, running."""

    words: tuple[str, ...]
    running: asyncio.subprocess.Process
    log: Path

    def kill(self) -> None:
        """At once, with nothing left to say: as a crash does."""
        self.running.send_signal(signal.SIGKILL)

    async def stop(self) -> int:
        """Its exit code after SIGTERM."""
        if self.running.returncode is None:
            self.running.send_signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> int:
        async with asyncio.timeout(STOP_SECONDS):
            return await self.running.wait()

    def said(self) -> str:
        return self.log.read_text()


@asynccontextmanager
async def process(
    *words: str,
    log: Path,
    environment: Mapping[str, str],
    arguments: tuple[str, ...] = (),
    module: str = "api.cli",
    root: Path | str = ROOT,
) -> AsyncIterator[Process]:
    """`carillon <words>` as at `root`, ended when left. Only what is given of CARILLON_* reaches it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CARILLON_")}
    with log.open("ab") as output:
        running = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            *words,
            *arguments,
            cwd=root,
            env=kept | dict(environment),
            stdout=output,
            stderr=output,
        )
    try:
        yield Process(words, running, log)
    finally:
        await end(running)


async def end(running: asyncio.subprocess.Process, seconds: float = STOP_SECONDS) -> None:
    """By SIGTERM, and by SIGKILL when that takes longer."""
    if running.returncode is None:
        running.terminate()
        try:
            async with asyncio.timeout(seconds):
                await running.wait()
        except TimeoutError:
            running.kill()
            await running.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


async def until_ready(address: str, process: Process | None = None) -> None:
    """Until its readiness says so; an error with what the process said when it ends or takes too long."""
    async with httpx2.AsyncClient(trust_env=False) as client, asyncio.timeout(READY_SECONDS):
        while True:
            if process is not None and process.running.returncode is not None:
                raise AssertionError(f"{process.words} ended: {process.said()}")
            try:
                answer = await client.get(f"{address}/health/readiness")
                if answer.status_code == httpx2.codes.OK:
                    return
            except httpx2.TransportError:
                pass
            await asyncio.sleep(0.02)


@asynccontextmanager
async def embedded(home: Path, log: Path, **settings: str) -> AsyncIterator[tuple[str, Process]]:
    """`carillon dev` on this home, ready, and its address."""
    port = free_port()
    environment = {"CARILLON_HOME": str(home)} | settings
    async with process("dev", "--port", str(port), log=log, environment=environment) as running:
        address = f"http://127.0.0.1:{port}"
        await until_ready(address, running)
        yield address, running
