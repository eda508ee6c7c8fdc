"""Events inside one process: published is what every durable consumer has handled or set aside."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from domain.contracts.events import Event
from domain.errors import Unavailable
from domain.live.outbox import Pending
from domain.live.ports import Handle
from infra.background import Background
from infra.live.batches import Batches
from infra.live.delivery import DURABLE_CONSUMERS, MAX_DELIVERIES, Consumer
from infra.live.event_metrics import EventMetrics

log = logging.getLogger(__name__)

MAX_DEAD_LETTERS = 1_000


class _Receipt:
    """Done when each of so many letters is."""

    def __init__(self, letters: int) -> None:
        self._open = letters
        self.done = asyncio.get_running_loop().create_future()

    def settle(self) -> None:
        self._open -= 1
        if self._open == 0 and not self.done.done():
            self.done.set_result(None)

    def refuse(self) -> None:
        if not self.done.done():
            self.done.set_exception(Unavailable("the consumer of events"))


@dataclass(slots=True)
class _Letter:
    event: Event
    receipt: _Receipt
    deliveries: int = 0


@dataclass(slots=True)
class _Line:
    """What waits for the consumers of one name: as much as publishers wait for."""

    letters: asyncio.Queue[_Letter] = field(default_factory=asyncio.Queue)
    consumers: int = 0
    dead: deque[Event] = field(default_factory=lambda: deque(maxlen=MAX_DEAD_LETTERS))

    def add(self, events: Sequence[Event]) -> _Receipt:
        receipt = _Receipt(len(events))
        for event in events:
            self.letters.put_nowait(_Letter(event, receipt))
        return receipt

    def abandon(self) -> None:
        """Nobody is left to handle them: those who publish have to try again."""
        while not self.letters.empty():
            self.letters.get_nowait().receipt.refuse()


def _dead_again(line: _Line, event: Event, given_back: asyncio.Future[None]) -> None:
    """Nobody waits for it, and it is nowhere else, when its consumers leave."""
    if given_back.exception() is not None:
        line.dead.append(event)


class MemoryEvents:
    """See `domain.live.ports.Events`. Durable is only the outbox, so that is where events wait."""

    def __init__(self, tasks: Background, metrics: EventMetrics) -> None:
        self._tasks = tasks
        self._metrics = metrics
        self._lines = {name: _Line() for name in DURABLE_CONSUMERS}
        self._listeners: list[Callable[[Event], None]] = []

    async def publish(self, events: Sequence[Pending]) -> None:
        if not events:
            return
        if not all(line.consumers for line in self._lines.values()):
            raise Unavailable("the consumer of events")
        self._metrics.published.inc(len(events))
        facts = [one.event for one in events]
        receipts = [line.add(facts) for line in self._lines.values()]
        for event in facts:
            self._tell_listeners(event)
        for receipt in receipts:
            await receipt.done
        self._metrics.confirmed.inc(len(events))

    @asynccontextmanager
    async def consume(self, name: str, handle: Handle, batch: int) -> AsyncIterator[None]:
        line = self._lines.setdefault(name, _Line())
        self._metrics.begin(name)
        consumer = Consumer(name, handle, self._metrics)
        batches = Batches(line.letters, batch, lambda letters: self._settle(line, consumer, letters))
        running = self._tasks.start(batches.run(), f"consume-{name}")
        line.consumers += 1
        try:
            yield
        finally:
            line.consumers -= 1
            await batches.leave(running)
            if not line.consumers:
                line.abandon()

    @asynccontextmanager
    async def listen(self, hear: Callable[[Event], None], miss: Callable[[], None]) -> AsyncIterator[None]:
        """Nothing is lost on the way: `miss` is never called."""
        self._listeners.append(hear)
        try:
            yield
        finally:
            self._listeners.remove(hear)

    def dead_letters(self, name: str) -> list[Event]:
        return list(self._lines[name].dead)

    def give_back(self, name: str, events: Sequence[Event]) -> None:
        """To the consumers of this name, as if for the first time. Raises Unavailable when there is none."""
        line = self._lines[name]
        if not line.consumers:
            raise Unavailable("the consumer of events")
        for event in events:
            line.dead.remove(event)
            line.add([event]).done.add_done_callback(partial(_dead_again, line, event))

    def forget_dead(self, name: str, events: Sequence[Event]) -> None:
        for event in events:
            self._lines[name].dead.remove(event)

    async def _settle(self, line: _Line, consumer: Consumer, letters: list[_Letter]) -> None:
        try:
            failed = set(await consumer.deliver([letter.event for letter in letters]))
        except asyncio.CancelledError:
            for letter in letters:
                line.letters.put_nowait(letter)
            raise
        for place, letter in enumerate(letters):
            if place not in failed:
                letter.receipt.settle()
            else:
                self._send_round(line, consumer, letter)

    def _send_round(self, line: _Line, consumer: Consumer, letter: _Letter) -> None:
        letter.deliveries += 1
        if letter.deliveries < MAX_DELIVERIES:
            self._metrics.redelivered.labels(consumer.name).inc()
            line.letters.put_nowait(letter)
            return
        line.dead.append(letter.event)
        consumer.set_aside(letter.event.event_id)
        letter.receipt.settle()

    def _tell_listeners(self, event: Event) -> None:
        for hear in self._listeners:
            try:
                hear(event)
            except Exception:  # a listener's fault is its own: the event is published all the same
                self._metrics.unheard.inc()
                log.exception("an event could not be heard", extra={"event_id": event.event_id})
