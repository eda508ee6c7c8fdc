"""Events, signals and hand-overs inside one process, opened together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from dramatiq.brokers.stub import StubBroker
from prometheus_client import CollectorRegistry

from infra.background import background
from infra.live.delivery import DURABLE_CONSUMERS
from infra.live.event_metrics import EventMetrics
from infra.live.signal_metrics import SignalMetrics
from infra.memory.dead_letters import MemoryDeadLetters
from infra.memory.events import MemoryEvents
from infra.memory.hand_over import MemoryHandOver
from infra.memory.signals import MemorySignals
from infra.settings import Settings


@dataclass(frozen=True, slots=True)
class MemoryBus:
    signals: MemorySignals
    events: MemoryEvents
    hand_over: MemoryHandOver

    async def dead_letters(self) -> Mapping[str, int]:
        """How many events each consumer has set aside; of hand-overs none is."""
        return {name: len(self.events.dead_letters(name)) for name in DURABLE_CONSUMERS} | {"tasks": 0}

    def set_aside(self) -> Mapping[str, MemoryDeadLetters]:
        """By the consumer that could not handle them."""
        return {name: MemoryDeadLetters(name, self.events) for name in DURABLE_CONSUMERS}


@asynccontextmanager
async def open_memory_bus(
    settings: Settings, registry: CollectorRegistry, broker: StubBroker
) -> AsyncIterator[MemoryBus]:
    async with background() as tasks:
        yield MemoryBus(
            signals=MemorySignals(SignalMetrics(registry)),
            events=MemoryEvents(tasks, EventMetrics(registry)),
            hand_over=MemoryHandOver(broker, settings.namespace),
        )
