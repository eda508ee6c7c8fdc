"""Asks what lasts, sockets and event streams, to end before the server does."""

from __future__ import annotations

import asyncio

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send


class Draining:
    def __init__(self, patience: float) -> None:
        """`patience` is how many seconds an operation under way may take from then on."""
        self.patience = patience
        self._begun = asyncio.Event()

    def begin(self) -> None:
        self._begun.set()

    async def begun(self) -> None:
        """Returns once it has."""
        await self._begun.wait()

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
