"""Events are facts, delivered at least once; signals are hints, and losing one loses nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from domain.contracts.events import Event
from domain.contracts.tasks import TaskChangedV1
from domain.live.outbox import Pending


class Signal(StrEnum):
    DUE = "due"
    """A task became due, or will very soon, or a limit holds it back no longer: for schedulers."""
    SCHEDULES = "schedules"
    """The next fire time of a schedule changed: for schedulers."""
    ROOM = "room"
    """A worker has room again: for schedulers."""
    CANCEL = "cancel"
    """A running task was asked to stop: for workers."""
    ACTIVITY = "activity"
    """A running task, the signal's key, told how far it is or wrote a line: for API processes."""
    OUTBOX = "outbox"
    """There are events to publish: for relays."""
    NOTIFICATIONS = "notifications"
    """A tenant, the signal's key, has new notifications: for API processes."""


class SignalWatch(Protocol):
    async def wait(self, timeout: float) -> frozenset[str]:  # noqa: ASYNC109  a lapse is an answer here
        """The keys sent since the last call; waits up to `timeout` seconds for a first one.

        Empty when the time passed. A keyless signal has the key "".
        """
        ...


class Signals(Protocol):
    """Best effort and coalesced: many sends in a moment may arrive as one."""

    def send(self, signal: Signal, key: str = "") -> None:
        """Never waits, never raises."""
        ...

    def watch(self, *signals: Signal) -> AbstractAsyncContextManager[SignalWatch]:
        """Hear these signals, from whichever process, from now on."""
        ...


Handle = Callable[[Sequence[Event]], Awaitable[None]]


class Events(Protocol):
    async def publish(self, events: Sequence[Pending]) -> None:
        """In the order given, as they were written. Returns once every one is safe with the broker.

        Raises Unavailable when that is not known; then any of them may have been published.
        """
        ...

    def consume(self, name: str, handle: Handle, batch: int) -> AbstractAsyncContextManager[None]:
        """Hand every event to one of the consumers of this name, at least once, up to `batch` together.

        One that takes some kinds of changes alone need not be handed the others.

        Durable: events published while no consumer is there wait for one. A batch whose `handle` raises
        Unavailable is tried again until it succeeds; any other exception sends it round again, one by
        one, and after 5 deliveries an event is set aside in the dead letters of `name`.
        """
        ...

    def listen(
        self, hear: Callable[[Event], None], miss: Callable[[], None]
    ) -> AbstractAsyncContextManager[None]:
        """Hear every event published by any process from now on. Live only: best effort.

        `miss` is called when events may have been lost on the way. Neither may block; what `hear`
        raises is logged and counted.
        """
        ...


class HandOver(Protocol):
    async def send(self, batches: Sequence[Sequence[UUID]]) -> None:
        """Give queued tasks to the workers, each batch as one message.

        Returns once the broker has them all. Raises Unavailable when that is not known.
        """
        ...


class Resync(Exception):  # noqa: N818  a signal to the subscriber, not a fault
    """You fell behind and missed something: read again and resume from your last cursor."""

    code = "RESYNC"

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class TaskFeed(Protocol):
    """Live changes of tasks, for those who watch now. What happens while nobody looks is not kept."""

    def publish(self, event: TaskChangedV1) -> None: ...

    def watch(self, tenant: str) -> AbstractAsyncContextManager[AsyncIterator[TaskChangedV1]]:
        """The tenant's events from now on. The iterator raises Resync when the watcher falls behind."""
        ...
