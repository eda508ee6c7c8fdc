"""What is opened is opened and closed whole, whoever leaves meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from domain.errors import Unavailable
from infra.background import Background, background
from infra.rabbit.uninterrupted import uninterrupted
from tests.support.waiting import until


class Opening:
    """Takes as long to open as it is let."""

    def __init__(self) -> None:
        self.may_open = asyncio.Event()
        self.said: list[str] = []

    @asynccontextmanager
    async def entered(self) -> AsyncIterator[None]:
        self.said.append("opening")
        await self.may_open.wait()
        self.said.append("open")
        try:
            yield
        finally:
            await asyncio.sleep(0.01)
            self.said.append("closed")


async def hold(tasks: Background, opening: Opening) -> None:
    async with uninterrupted(tasks, opening.entered()):
        await asyncio.Event().wait()


async def test_whoever_leaves_while_it_is_open_leaves_it_closed() -> None:
    opening = Opening()
    opening.may_open.set()
    async with background() as tasks:
        holding = asyncio.create_task(hold(tasks, opening))
        await until(lambda: "open" in opening.said)
        await asyncio.sleep(0)
        holding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holding
        assert opening.said == ["opening", "open", "closed"]


async def test_whoever_leaves_while_it_opens_does_not_wait_and_it_is_opened_and_closed_all_the_same() -> None:
    opening = Opening()
    async with background() as tasks:
        holding = asyncio.create_task(hold(tasks, opening))
        await until(lambda: opening.said)
        holding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holding
        assert opening.said == ["opening"]
        opening.may_open.set()
        await until(lambda: opening.said == ["opening", "open", "closed"])


@pytest.mark.parametrize("closing", [False, True], ids=["opening", "closing"])
async def test_what_is_lost_meanwhile_is_told_as_unavailable(closing: bool) -> None:
    @asynccontextmanager
    async def lost() -> AsyncIterator[None]:
        if closing:
            yield
        raise ConnectionResetError

    async with background() as tasks:
        with pytest.raises(Unavailable, match="RabbitMQ"):
            async with uninterrupted(tasks, lost()):
                pass
