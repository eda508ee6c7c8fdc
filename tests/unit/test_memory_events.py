"""Events inside one process: who publishes knows what became of them, and they are counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from domain.errors import Unavailable
from infra.live import batches
from infra.memory.broker import build_stub_broker
from infra.memory.bus import MemoryBus, open_memory_bus
from infra.settings import Settings
from tests.support.buses import pending, some_events
from tests.support.waiting import until


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def bus(registry: CollectorRegistry) -> AsyncIterator[MemoryBus]:
    async with open_memory_bus(Settings(), registry, build_stub_broker()) as opened:
        yield opened


async def test_a_publish_returns_only_when_its_events_are_handled(bus: MemoryBus) -> None:
    go_on, handled = asyncio.Event(), list[str]()

    async def handle(events: Sequence[Any]) -> None:
        await go_on.wait()
        handled.extend(event.title for event in events)

    async with bus.events.consume("notifier", handle, 2), asyncio.TaskGroup() as group:
        publishing = group.create_task(bus.events.publish(pending(*some_events(5))))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not publishing.done()
        go_on.set()
        await publishing
        assert len(handled) == 5


async def test_a_publish_whose_consumer_leaves_in_an_outage_fails_and_the_next_consumer_gets_it_again(
    bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "GRACE", 0.01)
    called, handled, events = asyncio.Event(), list[str](), some_events(3)

    async def in_outage(_: Sequence[Any]) -> None:
        called.set()
        raise Unavailable("PostgreSQL")

    async def handle(events: Sequence[Any]) -> None:
        handled.extend(event.title for event in events)

    async with asyncio.TaskGroup() as group:
        async with bus.events.consume("notifier", in_outage, 2):
            publishing = group.create_task(refused(bus, events))
            await called.wait()
        await publishing
    async with bus.events.consume("notifier", handle, 2):
        await bus.events.publish(pending(*events))
    assert handled == ["Task 0", "Task 1", "Task 2"]


async def refused(bus: MemoryBus, events: Sequence[Any]) -> None:
    with pytest.raises(Unavailable):
        await bus.events.publish(pending(*events))


async def test_events_are_counted(bus: MemoryBus, registry: CollectorRegistry) -> None:
    async def handle(events: Sequence[Any]) -> None:
        if any(event.title == "Task 1" for event in events):
            raise ValueError("poison")

    async with bus.events.consume("notifier", handle, 10):
        await bus.events.publish(pending(*some_events(3)))
        await until(lambda: len(bus.events.dead_letters("notifier")) == 1)
    consumer = {"consumer": "notifier"}
    counted = {
        name: registry.get_sample_value(f"carillon_events_{name}_total", consumer)
        for name in ("consumed", "failed", "redelivered", "dead_lettered")
    }
    assert counted == {"consumed": 2, "failed": 5, "redelivered": 4, "dead_lettered": 1}
    assert registry.get_sample_value("carillon_events_published_total") == 3
    assert registry.get_sample_value("carillon_events_confirmed_total") == 3
