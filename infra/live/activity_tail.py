"""Reads what one task does as it goes on, once for all who follow it in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias

from domain.attempts.activity import LINES_READ, LogLine, LogPlace, Recent
from domain.attempts.model import Progress
from domain.contracts.tasks import TaskChangedV1, TaskEventKind
from domain.tasks.states import FINISHED
from infra.live.mailbox import Mailbox

MAX_HEARD = 1_000
"""Events of one task that wait for a reading; the oldest is dropped first."""

Item: TypeAlias = "LogLine | Progress | TaskChangedV1"
Told: TypeAlias = "tuple[int, LogLine | Progress]"
"""And the number of the attempt that told it."""


@dataclass(frozen=True, slots=True, eq=False)
class Follower:
    owner: str | None
    mailbox: Mailbox[Item]


@dataclass(slots=True, kw_only=True, eq=False)
class Tail:
    """Lines and progress come from storage, without a gap; so does the task's end, if its event gets lost."""

    read: Callable[[LogPlace | None], Awaitable[Recent | None]]
    poll_interval: float
    resynced: Callable[[], None]
    followers: set[Follower] = field(default_factory=set)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it is known what is old."""
    ended: bool = False
    """Nothing comes any more."""
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _heard: list[TaskChangedV1] = field(default_factory=list)
    _place: LogPlace | None = None
    _version: int = 0
    _progress: Progress | None = None

    def wake(self) -> None:
        self._wake.set()

    def hear(self, event: TaskChangedV1) -> None:
        self._heard.append(event)
        del self._heard[:-MAX_HEARD]
        self._wake.set()

    async def run(self) -> None:
        """Until the task ends."""
        while not self.ended:
            self._wake.clear()
            if await self.read_once() < LINES_READ and not self.ended:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.poll_interval):
                        await self._wake.wait()

    async def read_once(self) -> int:
        """Give the followers what is new; how many lines that were."""
        # Of what is heard by now, the lines that go before it are there to be read.
        heard, self._heard = self._heard, []
        recent = await self.read(self._place)
        news = [event for event in heard if event.version > self._version]
        if self._place is None:
            self._begin(recent)
        elif recent is None:
            self._give([*news])
            self._end()
        else:
            self._go_on(recent, news)
        return 0 if recent is None else len(recent.lines)

    def _begin(self, recent: Recent | None) -> None:
        if recent is None or recent.task.state in FINISHED:
            self._end()
        else:
            self._place, self._version, self._progress = recent.last, recent.task.version, recent.progress
        self.begun.set()

    def _go_on(self, recent: Recent, news: list[TaskChangedV1]) -> None:
        self._let_go(recent.task.owner)
        told: list[Told] = [(line.attempt, line) for line in recent.lines]
        self._place = recent.last
        if len(told) == LINES_READ:
            items, rest = merged(told, news)
            self._heard[:0] = rest
        else:
            if recent.progress is not None and recent.progress != self._progress:
                told.append((recent.task.attempt, recent.progress))
            self._progress = recent.progress
            if recent.task.state in FINISHED and all(event.version < recent.task.version for event in news):
                news.append(recent.task)
            items, rest = merged(told, news)
            items += rest
        self._give(items)

    def _give(self, items: Sequence[Item]) -> None:
        """Up to the end of the task: what comes after it is another run."""
        for item in items:
            for follower in self.followers:
                if not follower.mailbox.offer(item):
                    self.resynced()
            if isinstance(item, TaskChangedV1):
                self._version = item.version
                if item.state in FINISHED:
                    self._end()
                    return

    def _let_go(self, owner: str | None) -> None:
        for follower in self.followers:
            if follower.owner not in (None, owner):
                follower.mailbox.close()

    def _end(self) -> None:
        self.ended = True
        for follower in self.followers:
            follower.mailbox.close()


def merged(told: Sequence[Told], events: Sequence[TaskChangedV1]) -> tuple[list[Item], list[TaskChangedV1]]:
    """What was told with the events that go before it, and the events that are left."""
    items: list[Item] = []
    place = 0
    for attempt, item in told:
        while place < len(events) and _precedes(events[place], attempt):
            items.append(events[place])
            place += 1
        items.append(item)
    return items, list(events[place:])


def _precedes(event: TaskChangedV1, attempt: int) -> bool:
    return event.attempt < attempt or (event.attempt == attempt and event.kind is TaskEventKind.STARTED)
