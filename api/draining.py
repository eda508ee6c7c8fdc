"""Asks what lasts, sockets and event streams, to end before the server does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send


class Draining:
    def __init__(self, patience: float) -> None:
        """`patience` is how many seconds an operation under way may take from then on."""
        self.patience = patience
        self._begun = False
        self._lasting: set[asyncio.Timeout] = set()

    def begin(self) -> None:
        """Once."""
        self._begun = True
        for timeout in self._lasting:
            timeout.reschedule(0)

    @asynccontextmanager
    async def cutting_off(self) -> AsyncIterator[None]:
        """What is done inside is given up when draining begins, and what comes after it is gone on with."""
        timeout = asyncio.timeout(0 if self._begun else None)
        self._lasting.add(timeout)
        try:
            async with timeout:
                yield
        except TimeoutError:
            if not timeout.expired():
                raise
        finally:
            self._lasting.discard(timeout)

    def told_to(self, app: ASGIApp) -> ASGIApp:
        """The application, with this in the state of each of its connections."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("state", {})["draining"] = self
            await app(scope, receive, send)

        return serve


def draining_of(connection: HTTPConnection) -> Draining:
    """Of the server that serves it."""
    draining = connection.state.draining
    assert isinstance(draining, Draining), "it is served by another server than ours"
    return draining
