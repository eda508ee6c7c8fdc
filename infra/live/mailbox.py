"""What waits for one subscriber: bounded, and given up at once when it overflows."""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf
from typing import Generic, Protocol, TypeVar

from domain.live.ports import Resync

T = TypeVar("T")


class Room(Protocol):
    """What several mailboxes may hold together."""

    def queue(self, size: int) -> bool:
        """For an item; False when there is no room for it."""
        ...

    def take(self, size: int) -> None:
        """What items left free."""
        ...


class Mailbox(Generic[T]):
    def __init__(self, limit: int, most: float = inf, room: Room | None = None) -> None:
        """Takes up to `limit` items, together of a size up to `most`; a single one may be larger.

        `room` is what it shares with others, if any. Let it overflow when nobody takes from it any more.
        """
        self._room = room
        self._items: deque[tuple[T, int]] = deque()
        self._limit = limit
        self._most = most
        self._size = 0
        self._overflowed = False
        self._closed = False
        self._arrival = asyncio.Event()

    def offer(self, item: T, size: int = 0) -> bool:
        """False when this made it overflow. One that has overflowed, or is closed, takes no more."""
        if self._overflowed or self._closed:
            return True
        if (
            len(self._items) >= self._limit
            or (self._items and self._size + size > self._most)
            or not (self._room is None or self._room.queue(size))
        ):
            self.overflow()
            return False
        self._items.append((item, size))
        self._size += size
        self._arrival.set()
        return True

    def overflow(self) -> None:
        """Something was missed: drop what waits, and tell the subscriber."""
        self._items.clear()
        self._free(self._size)
        self._overflowed = True
        self._arrival.set()

    def close(self) -> None:
        """Nothing comes any more; what waits is still to be taken."""
        self._closed = True
        self._arrival.set()

    @property
    def is_untouched(self) -> bool:
        """Whether nothing waits to be taken, not even its end."""
        return not (self._items or self._overflowed or self._closed)

    async def take(self) -> T:
        """The next item, as soon as there is one.

        Raises Resync once it has overflowed, and StopAsyncIteration once it is closed and empty.
        """
        while not self._items:
            if self._overflowed:
                raise Resync
            if self._closed:
                raise StopAsyncIteration
            self._arrival.clear()
            await self._arrival.wait()
        item, size = self._items.popleft()
        self._free(size)
        return item

    def _free(self, size: int) -> None:
        self._size -= size
        if self._room is not None:
            self._room.take(size)
