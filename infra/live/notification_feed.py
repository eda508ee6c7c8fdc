"""Notifications as they come: from storage until the reader has caught up, then live, without gap or repeat."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge

from domain.errors import CursorExpired
from domain.live.ports import Signal, Signals
from domain.notifications.model import Notification
from domain.notifications.ports import Notifications
from infra.background import Background, background, stop
from infra.live.mailbox import Mailbox
from infra.live.notification_tail import PAGE, Follower, Stream, Tail
from infra.settings import Settings


class LiveNotificationFeed:
    """See `domain.notifications.ports.NotificationFeed`."""

    def __init__(
        self, notifications: Notifications, settings: Settings, tasks: Background, registry: CollectorRegistry
    ) -> None:
        self._notifications = notifications
        self._settings = settings
        self._tasks = tasks
        self._tails: dict[str, tuple[Tail, asyncio.Task[None]]] = {}
        self._followed = asyncio.Event()
        self._deserted = asyncio.Event()
        self._followers = Gauge(
            "carillon_notification_feed_followers", "Those who follow notifications now.", registry=registry
        )
        self._resyncs = Counter(
            "carillon_notification_feed_resyncs", "Followers ended because they fell behind.", registry=registry
        )
        self._retries = Counter(
            "carillon_notification_feed_retries",
            "Times a stream had to be read again because storage was gone.",
            registry=registry,
        )

    @asynccontextmanager
    async def follow(
        self, tenant: str, *, after: int | None, owner: str | None = None
    ) -> AsyncIterator[AsyncIterator[Notification]]:
        """Raises CursorExpired, and Unavailable when storage cannot say where the stream is."""
        last = await self._notifications.last_seq(tenant)
        position = last if after is None else after
        if (
            position > last
        ):  # of a stream that is no more: to wait for its place would skip what comes before it
            raise CursorExpired
        stream = Stream(tenant=tenant, notifications=self._notifications, retries=self._retries)
        follower = Follower(owner, Mailbox[Notification](self._settings.live_backlog))
        self._followers.inc()
        try:
            yield Following(
                stream,
                position,
                follower,
                # A place that is not reached yet, as a reader may name one, is no place for the tail to start.
                lambda at: self._join(stream, min(at, last) if position > last else at, follower),
            )
        finally:
            self._followers.dec()
            await self._leave(tenant, follower)

    async def watch_forever(self, signals: Signals) -> None:
        """Signals come with every task that ends: they are heard only while someone follows."""
        while True:
            await self._followed.wait()
            hearing = self._tasks.start(self._hear(signals), "notification-signals")
            await self._deserted.wait()
            await stop(hearing)

    async def _hear(self, signals: Signals) -> None:
        async with signals.watch(Signal.NOTIFICATIONS) as watch:
            self.wake(frozenset(self._tails))  # to what came before they were heard
            while True:
                self.wake(await watch.wait(self._settings.poll_interval))

    def wake(self, tenants: frozenset[str]) -> None:
        for tenant in tenants & self._tails.keys():
            self._tails[tenant][0].wake.set()

    @property
    def tails(self) -> int:
        """How many streams are being read."""
        return len(self._tails)

    def _join(self, stream: Stream, position: int, follower: Follower) -> Tail:
        """From here on the follower is given what comes after the tail's position."""
        if stream.tenant not in self._tails:
            tail = Tail(
                stream=stream,
                position=position,
                poll_interval=self._settings.poll_interval,
                resynced=self._resyncs.inc,
            )
            running = self._tasks.start(tail.run(), f"notifications-{stream.tenant}")
            self._tails[stream.tenant] = (tail, running)
            self._followed.set()
            self._deserted.clear()
        tail, _ = self._tails[stream.tenant]
        tail.followers.add(follower)
        return tail

    async def _leave(self, tenant: str, follower: Follower) -> None:
        if tenant not in self._tails:
            return
        tail, running = self._tails[tenant]
        tail.followers.discard(follower)
        if not tail.followers:
            del self._tails[tenant]
            if not self._tails:
                self._followed.clear()
                self._deserted.set()
            await stop(running)


class Following:
    """Reads storage until it has caught up, then joins the tail."""

    def __init__(self, stream: Stream, position: int, follower: Follower, join: Callable[[int], Tail]) -> None:
        self._stream = stream
        self._position = position
        self._follower = follower
        self._join = join
        self._read: deque[Notification] = deque()
        self._live_from: int | None = None
        """Once joined: what comes after this place comes by mail."""

    def __aiter__(self) -> Following:
        return self

    async def __anext__(self) -> Notification:
        while not self._read:
            if self._live_from is not None and self._position >= self._live_from:
                return await self._live()
            await self._read_page()
        return self._read.popleft()

    async def _read_page(self) -> None:
        live_from = self._live_from
        page = await self._stream.after(self._position)
        if page:
            self._position = page[-1].seq
        self._read.extend(one for one in page if self._follower.sees(one))
        if len(page) == PAGE:
            return
        if live_from is None:
            self._live_from = self._join(self._position).position
        else:
            self._position = max(self._position, live_from)  # nothing is left before it

    async def _live(self) -> Notification:
        while True:
            notification = await self._follower.mailbox.take()
            if notification.seq > self._position:  # else it was read from storage already
                self._position = notification.seq
                return notification


@asynccontextmanager
async def open_notification_feed(
    notifications: Notifications, signals: Signals, settings: Settings, registry: CollectorRegistry
) -> AsyncIterator[LiveNotificationFeed]:
    async with background() as tasks:
        feed = LiveNotificationFeed(notifications, settings, tasks, registry)
        tasks.start(feed.watch_forever(signals), "notification-watch")
        yield feed
