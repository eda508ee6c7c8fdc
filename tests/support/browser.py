"""Chromium without a window, by its DevTools protocol, for the tests of pages."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHROMIUM_OPTIONS = [
    "--headless",
    "--no-sandbox",  # it refuses to run as root with one
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
]
DEADLINE = 30  # seconds

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: install the package chromium")


class Browser:
    """One page of Chromium, by its DevTools protocol."""

    def __init__(self, devtools: ClientConnection) -> None:
        self._devtools = devtools
        self._calls = 0
        self.events: list[tuple[str, Mapping[str, Any]]] = []

    async def call(self, method: str, **params: Any) -> Mapping[str, Any]:
        self._calls += 1
        await self._devtools.send(json.dumps({"id": self._calls, "method": method, "params": params}))
        while True:
            async with asyncio.timeout(DEADLINE * 2):
                message = json.loads(await self._devtools.recv())
            if message.get("id") == self._calls:
                assert "error" not in message, message
                result: Mapping[str, Any] = message["result"]
                return result
            if "method" in message:
                self.events.append((message["method"], message["params"]))

    async def open(self, url: str, *, until: str) -> None:
        """The page at this address, once the expression is true in it."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")
        await self.call("Page.navigate", url=url)
        await self.until(until)

    async def evaluate(self, expression: str) -> Any:
        answer = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression: str) -> None:
        """Waits, in the page, for the expression to be true."""
        look = f"const look = () => ({expression}) ? done() : setTimeout(look, 20); look()"
        try:
            async with asyncio.timeout(DEADLINE):
                await self.evaluate(f"new Promise(done => {{ {look} }})")
        except TimeoutError as error:
            shown = await self.evaluate("document.body.innerText")
            raise AssertionError(f"never: {expression}\n{shown}\n{self.errors}") from error

    async def fill(self, label: str, text: str) -> None:
        """The field with this label, as if it had been typed, or chosen."""
        await self.evaluate(f"""{{
            const labels = Array.from(document.querySelectorAll('label'));
            const field = labels.find(label => label.textContent === {json.dumps(label)}).control;
            const given = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(field), 'value');
            given.set.call(field, {json.dumps(text)}); // React has put a setter of its own before it
            for (const event of ['input', 'change']) field.dispatchEvent(new Event(event, {{bubbles: true}}));
        }}""")

    async def press(self, name: str) -> None:
        """The button that is called so, as soon as there is one."""
        called = f"button => (button.ariaLabel ?? button.textContent) === {json.dumps(name)}"
        found = f"Array.from(document.querySelectorAll('button')).find({called})"
        await self.until(found)
        await self.evaluate(f"{found}.click()")

    async def until_shown(self, *texts: str) -> None:
        """In this order, whatever is between them."""
        pattern = "[^]*".join(map(re.escape, texts))
        await self.until(f"new RegExp({json.dumps(pattern)}).test(document.body.innerText)")

    async def picture(self) -> bytes:
        """A PNG of what is shown."""
        return base64.b64decode((await self.call("Page.captureScreenshot"))["data"])

    def of(self, method: str) -> list[Mapping[str, Any]]:
        return [params for name, params in self.events if name == method]

    @property
    def errors(self) -> list[Mapping[str, Any]]:
        bad = {"error", "warning", "assert"}
        return [
            *self.of("Runtime.exceptionThrown"),
            *(said for said in self.of("Runtime.consoleAPICalled") if said["type"] in bad),
            *(said for said in self.of("Log.entryAdded") if said["entry"]["level"] in bad),
        ]

    @property
    def asked(self) -> set[str]:
        loaded = [params["request"]["url"] for params in self.of("Network.requestWillBeSent")]
        sockets = [params["url"] for params in self.of("Network.webSocketCreated")]
        return {urlsplit(url).netloc for url in loaded + sockets if not url.startswith("data:")}


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    assert CHROMIUM
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        process = await asyncio.create_subprocess_exec(
            CHROMIUM,
            *CHROMIUM_OPTIONS,
            f"--user-data-dir={home}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(DEADLINE):
                port = await devtools_port(Path(home), process)
                async with httpx2.AsyncClient() as http:
                    new_page = (await http.put(f"http://127.0.0.1:{port}/json/new")).json()
            address = new_page["webSocketDebuggerUrl"]
            async with connect(address, max_size=None, proxy=None) as devtools:
                yield Browser(devtools)
        finally:
            process.terminate()
            await process.wait()


async def devtools_port(home: Path, process: Process) -> str:
    """Chromium writes it down once it listens. Its standard error is not read: a full pipe would stop it."""
    said = home / "DevToolsActivePort"
    while not (said.exists() and said.read_text()):
        assert process.returncode is None, "Chromium ended before it listened"
        await asyncio.sleep(0.02)
    return said.read_text().splitlines()[0]
