"""Reads the end of one tenant's stream as it grows, once for all who follow it in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from prometheus_client import Counter

from domain.errors import CursorExpired, Unavailable
from domain.notifications.model import Notification
from domain.notifications.ports import Notifications
from infra.live.mailbox import Mailbox

T = TypeVar("T")

PAGE = 200
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One tenant's stream in storage; reading it waits while storage is gone."""

    tenant: str
    notifications: Notifications
    retries: Counter

    async def after(self, seq: int) -> list[Notification]:
        """A page of what follows that place. Raises CursorExpired."""
        return await self._read(lambda: self.notifications.after(self.tenant, seq, PAGE))

    async def last(self) -> int:
        return await self._read(lambda: self.notifications.last_seq(self.tenant))

    async def _read(self, read: Callable[[], Awaitable[T]]) -> T:
        pause = FIRST_PAUSE
        while True:
            try:
                return await read()
            except Unavailable:  # logged where it was noticed
                self.retries.inc()
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)


@dataclass(frozen=True, slots=True, eq=False)
class Follower:
    owner: str | None
    mailbox: Mailbox[Notification]

    def sees(self, notification: Notification) -> bool:
        return self.owner is None or self.owner == notification.owner


@dataclass(slots=True, kw_only=True)
class Tail:
    stream: Stream
    position: int
    """Every notification up to here was given to the followers that were there then."""
    poll_interval: float
    resynced: Callable[[], None]
    followers: set[Follower] = field(default_factory=set)
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        while True:
            self.wake.clear()
            if await self.read_once() < PAGE:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.poll_interval):
                        await self.wake.wait()

    async def read_once(self) -> int:
        """Give the followers a page of what is new; its size."""
        try:
            page = await self.stream.after(self.position)
        except CursorExpired:
            await self._skip()
            return 0
        for notification in page:
            self.position = notification.seq
            for follower in self.followers:
                if follower.sees(notification) and not follower.mailbox.offer(notification):
                    self.resynced()
        return len(page)

    async def _skip(self) -> None:
        """What was to be given next is removed already: the followers have missed it."""
        self.position = await self.stream.last()
        for follower in self.followers:  # those included who joined meanwhile
            follower.mailbox.overflow()
            self.resynced()
