"""Events, signals, hand-overs, the outbox and notifications in memory, with faults on demand."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from domain.contracts.events import Event
from domain.errors import Unavailable
from domain.live.outbox import Pending
from domain.live.ports import Handle, Signal
from domain.notifications.model import Draft
from tests.support.waiting import until


class Faults:
    """Makes calls fail: all of them while `down`, else those of a name as long as there are some for it."""

    def __init__(self, dependency: str = "PostgreSQL") -> None:
        self.dependency = dependency
        self.down = False
        self.calls: list[str] = []
        self._planned: dict[str, deque[tuple[Exception, bool]]] = {}

    def plan(self, call: str, *faults: Exception, done_all_the_same: bool = False) -> None:
        self._planned.setdefault(call, deque()).extend((fault, done_all_the_same) for fault in faults)

    def count(self, call: str) -> int:
        return self.calls.count(call)

    def before(self, call: str) -> None:
        self.calls.append(call)
        if self.down:
            raise Unavailable(self.dependency)
        planned = self._planned.get(call)
        if planned and not planned[0][1]:
            raise planned.popleft()[0]

    def after(self, call: str) -> None:
        """Where the answer to what was done is lost."""
        planned = self._planned.get(call)
        if planned:
            raise planned.popleft()[0]


class FakeWatch:
    """Its waits end when a signal comes or the test lets them lapse; never because time passes."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self._keys: set[str] = set()
        self._woken = asyncio.Event()

    async def wait(self, timeout: float) -> frozenset[str]:  # noqa: ASYNC109  as the port has it
        self.waits.append(timeout)
        if not self._keys:
            self._woken.clear()
            await self._woken.wait()
        keys, self._keys = frozenset(self._keys), set()
        return keys

    def hear(self, key: str) -> None:
        self._keys.add(key)
        self._woken.set()

    def lapse(self) -> None:
        self._woken.set()


class FakeSignals:
    def __init__(self) -> None:
        self.faults = Faults("RabbitMQ")
        self.sent: list[tuple[Signal, str]] = []
        self.watches: dict[Signal, list[FakeWatch]] = {}

    def send(self, signal: Signal, key: str = "") -> None:
        self.sent.append((signal, key))
        for watch in self.watches.get(signal, []):
            watch.hear(key)

    def count(self, signal: Signal) -> int:
        return sum(one is signal for one, _ in self.sent)

    @asynccontextmanager
    async def watch(self, *signals: Signal) -> AsyncIterator[FakeWatch]:
        self.faults.before("watch")
        watch = FakeWatch()
        for signal in signals:
            self.watches.setdefault(signal, []).append(watch)
        try:
            yield watch
        finally:
            for signal in signals:
                self.watches[signal].remove(watch)

    async def watched(self, signal: Signal) -> FakeWatch:
        """The watch of this signal that is open, once there is one and somebody waits on it."""
        await until(lambda: any(watch.waits for watch in self.watches.get(signal, [])))
        return self.watches[signal][0]


class FakeHandOver:
    def __init__(self) -> None:
        self.faults = Faults("RabbitMQ")
        self.sent: list[list[UUID]] = []
        self.gate: asyncio.Event | None = None

    async def send(self, batches: Sequence[Sequence[UUID]]) -> None:
        self.faults.before("send")
        if self.gate is not None:
            await self.gate.wait()
        self.sent.extend(list(batch) for batch in batches)


class FakeEvents:
    def __init__(self) -> None:
        self.faults = Faults("RabbitMQ")
        self.published: list[Event] = []
        self.handlers: dict[str, Handle] = {}

    async def publish(self, events: Sequence[Pending]) -> None:
        self.faults.before("publish")
        self.published.extend(one.event for one in events)
        self.faults.after("publish")

    @asynccontextmanager
    async def consume(self, name: str, handle: Handle, batch: int) -> AsyncIterator[None]:
        self.faults.before("consume")
        self.handlers[name] = handle
        try:
            yield
        finally:
            del self.handlers[name]

    @asynccontextmanager
    async def listen(self, hear: Callable[[Event], None], miss: Callable[[], None]) -> AsyncIterator[None]:
        yield


class FakeOutbox:
    """One partition."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.pending: list[Pending] = []
        self.leads = 0
        self.added = 0
        self.taken_elsewhere = False

    def add(self, *events: Event) -> None:
        for event in events:
            self.added += 1
            self.pending.append(Pending(self.added, event, json.dumps(event.to_wire())))

    def forget(self, seqs: Sequence[int]) -> None:
        self.pending = [one for one in self.pending if one.seq not in seqs]

    @asynccontextmanager
    async def lead(self) -> AsyncIterator[FakeOutboxLead]:
        self.faults.before("lead")
        self.leads += 1
        yield FakeOutboxLead(self)

    async def depth(self) -> tuple[int, float]:
        return len(self.pending), 0.0


class FakeOutboxLead:
    def __init__(self, outbox: FakeOutbox) -> None:
        self._outbox = outbox

    async def acquire(self) -> int:
        self._outbox.faults.before("acquire")
        return 0 if self._outbox.taken_elsewhere else 1

    async def oldest(self, limit: int, confirmed: Sequence[int] = ()) -> list[Pending]:
        self._outbox.faults.before("oldest")
        self._outbox.forget(confirmed)
        return self._outbox.pending[:limit]

    async def remove(self, seqs: Sequence[int]) -> None:
        self._outbox.faults.before("remove")
        self._outbox.forget(seqs)


class FakeNotifications:
    """The writing half."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.drafts: dict[str, Draft] = {}

    async def add(self, drafts: Sequence[Draft]) -> frozenset[str]:
        self.faults.before("add")
        new = [draft for draft in drafts if draft.event_id not in self.drafts]
        self.drafts.update({draft.event_id: draft for draft in new})
        return frozenset(draft.tenant for draft in new)
