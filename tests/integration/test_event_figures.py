"""What is given to RabbitMQ, and what of it RabbitMQ has, are told apart."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from domain.errors import Unavailable
from tests.support.buses import open_rabbit, pending, some_events
from tests.support.processes import free_port

pytestmark = pytest.mark.rabbit


def told(registry: CollectorRegistry) -> tuple[float | None, float | None]:
    """Published, and confirmed."""
    names = ("carillon_events_published_total", "carillon_events_confirmed_total")
    published, confirmed = map(registry.get_sample_value, names)
    return published, confirmed


async def test_what_is_confirmed_is_counted_once_it_is(namespace: str) -> None:
    registry = CollectorRegistry()
    async with open_rabbit(namespace, registry=registry) as bus:
        await bus.events.publish(pending(*some_events(3)))
    assert told(registry) == (3, 3)


async def test_what_nobody_confirms_is_not(namespace: str) -> None:
    registry = CollectorRegistry()
    nowhere = f"amqp://guest:guest@127.0.0.1:{free_port()}/"
    async with open_rabbit(namespace, nowhere, registry) as bus:
        with pytest.raises(Unavailable):
            await bus.events.publish(pending(*some_events(3)))
    assert told(registry) == (3, 0)


async def test_what_went_wrong_with_events_is_counted_from_nothing_on(namespace: str) -> None:
    registry = CollectorRegistry()

    async def handle(_: object) -> None:
        """Whatever it is."""

    async with open_rabbit(namespace, registry=registry) as bus, bus.events.consume("notifier", handle, 10):
        for what in ("redelivered", "failed", "dead_lettered", "held"):
            name = f"carillon_events_{what}_total"
            assert registry.get_sample_value(name, {"consumer": "notifier"}) == 0
