"""Acknowledges messages several at a time: one by one, each would cost about what its way here did."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from aio_pika.abc import AbstractIncomingMessage

from domain.errors import Unavailable
from infra.rabbit.faults import told_as_unavailable

MOMENT = 0.05
"""Seconds within which what is done is acknowledged; when the channel is lost before, it is delivered again."""
TIMEOUT = 1.0
"""Seconds a connection that is held up may take to be given an answer."""


class Acknowledging:
    """Of the messages of one channel, which are done in the order they came in."""

    def __init__(self, most: int) -> None:
        """`most` may be owed: well below the prefetch, or deliveries would stop and start."""
        self._most = most
        self._owed = 0
        self._last: AbstractIncomingMessage | None = None
        self._some = asyncio.Event()
        self._telling = asyncio.Lock()
        """A later answer covers the earlier ones: none of them may come after it."""

    async def done(self, messages: Sequence[AbstractIncomingMessage]) -> None:
        self._last = messages[-1]
        self._owed += len(messages)
        if self._owed >= self._most:
            await self.tell()
        else:
            self._some.set()

    async def refuse(self, messages: Sequence[AbstractIncomingMessage]) -> None:
        """Have these, and no others, delivered again."""
        await self.tell()
        async with self._telling:
            with suppress(Unavailable), told_as_unavailable():
                async with asyncio.timeout(TIMEOUT):
                    await messages[-1].nack(multiple=True, requeue=True)

    async def tell(self) -> None:
        """Acknowledge what is done, unless the channel is lost: then it is delivered again."""
        async with self._telling:
            last, self._last, self._owed = self._last, None, 0
            self._some.clear()
            if last is not None:
                with suppress(Unavailable), told_as_unavailable():
                    async with asyncio.timeout(TIMEOUT):
                        await last.ack(multiple=True)

    async def tell_forever(self) -> None:
        while True:
            await self._some.wait()
            await asyncio.sleep(MOMENT)
            await self.tell()
