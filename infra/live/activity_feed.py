"""What tasks do, live: their lines and progress as they are stored, and their changes as they are heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from uuid import UUID

from prometheus_client import CollectorRegistry, Counter, Gauge

from domain.attempts.activity import LogPlace, Recent
from domain.attempts.ports import Activity
from domain.contracts.events import Event
from domain.contracts.tasks import TaskChangedV1
from domain.errors import Unavailable
from domain.live.ports import Signal, Signals, SignalWatch
from infra.background import Background, background, stop
from infra.live.activity_tail import Follower, Item, Tail
from infra.live.mailbox import Mailbox
from infra.settings import Settings

POLLS = 5
"""Poll intervals between two looks at a task that nobody signalled: many may be followed."""
READERS = 2
"""Readings at once, so that followers leave the process's connections to others."""
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0


class LiveActivityFeed:
    """See `domain.attempts.ports.ActivityFeed`."""

    def __init__(
        self, activity: Activity, settings: Settings, tasks: Background, registry: CollectorRegistry
    ) -> None:
        self._activity = activity
        self._settings = settings
        self._tasks = tasks
        self._reading = asyncio.Semaphore(READERS)
        self._tails: dict[UUID, tuple[Tail, asyncio.Task[None]]] = {}
        self._followers = Gauge(
            "carillon_activity_feed_followers",
            "Those who follow the activity of a task now.",
            registry=registry,
        )
        self._resyncs = Counter(
            "carillon_activity_feed_resyncs", "Followers ended because they fell behind.", registry=registry
        )
        self._retries = Counter(
            "carillon_activity_feed_retries",
            "Times a task had to be read again because storage was gone.",
            registry=registry,
        )

    def hear(self, event: Event) -> None:
        """Of all events, those of tasks that are followed."""
        if isinstance(event, TaskChangedV1) and event.task_id in self._tails:
            self._tails[event.task_id][0].hear(event)

    @asynccontextmanager
    async def follow(
        self, tenant: str, task_id: UUID, *, owner: str | None = None
    ) -> AsyncIterator[AsyncIterator[Item]]:
        follower = Follower(owner, Mailbox[Item](self._settings.live_backlog))
        tail, running = self._tail(tenant, task_id)
        tail.followers.add(follower)
        self._followers.inc()
        try:
            await tail.begun.wait()
            yield Following(follower.mailbox)
        finally:
            self._followers.dec()
            tail.followers.discard(follower)
            if not tail.followers:
                if self._tails.get(task_id) == (tail, running):
                    del self._tails[task_id]
                await stop(running)

    async def wake_forever(self, watch: SignalWatch) -> None:
        while True:
            for key in await watch.wait(self._settings.poll_interval):
                self.wake(key)

    def wake(self, key: str) -> None:
        try:
            tail, _ = self._tails[UUID(key)]
        except (KeyError, ValueError):
            return
        tail.wake()

    @property
    def tails(self) -> int:
        """How many tasks are being read."""
        return len(self._tails)

    def _tail(self, tenant: str, task_id: UUID) -> tuple[Tail, asyncio.Task[None]]:
        known = self._tails.get(task_id)
        if known is not None and not known[0].ended:
            return known
        tail = Tail(
            read=partial(self._read, tenant, task_id),
            poll_interval=self._settings.poll_interval * POLLS,
            resynced=self._resyncs.inc,
        )
        self._tails[task_id] = begun = (tail, self._tasks.start(tail.run(), f"activity-{task_id}"))
        return begun

    async def _read(self, tenant: str, task_id: UUID, after: LogPlace | None) -> Recent | None:
        pause = FIRST_PAUSE
        while True:
            try:
                async with self._reading:
                    return await self._activity.recent(tenant, task_id, after)
            except Unavailable:  # logged where it was noticed
                self._retries.inc()
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)


class Following:
    def __init__(self, mailbox: Mailbox[Item]) -> None:
        self._mailbox = mailbox

    def __aiter__(self) -> Following:
        return self

    async def __anext__(self) -> Item:
        return await self._mailbox.take()


@asynccontextmanager
async def open_activity_feed(
    activity: Activity, signals: Signals, settings: Settings, registry: CollectorRegistry
) -> AsyncIterator[LiveActivityFeed]:
    async with signals.watch(Signal.ACTIVITY) as watch, background() as tasks:
        feed = LiveActivityFeed(activity, settings, tasks, registry)
        tasks.start(feed.wake_forever(watch), "activity-signals")
        yield feed
