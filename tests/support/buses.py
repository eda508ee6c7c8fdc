"""Events, signals and hand-overs of either kind, for the suites that both have to pass."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Protocol

import pytest
from prometheus_client import CollectorRegistry
from pydantic import AmqpDsn

from domain.actions.model import ActionKind
from domain.contracts.events import Event
from domain.contracts.schedules import ScheduleMisfiredV1
from domain.contracts.tasks import TaskChangedV1, TaskEventKind
from domain.dead_letters.ports import DeadLetters
from domain.live.outbox import Pending
from domain.live.ports import Events, HandOver, Signals
from domain.tasks.states import TaskState
from infra.memory.broker import build_stub_broker
from infra.memory.bus import open_memory_bus
from infra.rabbit.bus import RabbitBus, open_rabbit_bus
from infra.settings import Settings
from tests.support.breakers import a_breaker
from tests.support.services import RABBIT
from tests.support.storage import TRACEPARENT, clock, ids

KINDS = ["memory", pytest.param("rabbit", marks=pytest.mark.rabbit)]


class Bus(Protocol):
    @property
    def signals(self) -> Signals: ...
    @property
    def events(self) -> Events: ...
    @property
    def hand_over(self) -> HandOver: ...
    async def dead_letters(self) -> Mapping[str, int]: ...
    def set_aside(self) -> Mapping[str, DeadLetters]: ...


def rabbit_settings(namespace: str, url: str = RABBIT.url) -> Settings:
    return Settings(amqp_url=AmqpDsn(url), namespace=namespace)


@asynccontextmanager
async def open_two(kind: str, namespace: str) -> AsyncIterator[tuple[Bus, Bus]]:
    """As two processes would have it; in memory there is only one."""
    if kind == "memory":
        settings = Settings(namespace=namespace)
        async with open_memory_bus(settings, CollectorRegistry(), build_stub_broker()) as bus:
            yield bus, bus
        return
    async with open_rabbit(namespace) as one, open_rabbit(namespace) as other:
        yield one, other


@asynccontextmanager
async def open_rabbit(
    namespace: str, url: str = RABBIT.url, registry: CollectorRegistry | None = None
) -> AsyncIterator[RabbitBus]:
    settings, registry = rabbit_settings(namespace, url), registry or CollectorRegistry()
    async with open_rabbit_bus(settings, registry, a_breaker(settings, registry, "RabbitMQ")) as bus:
        yield bus


def an_event(**changes: Any) -> TaskChangedV1:
    now = clock.now()
    event = TaskChangedV1(
        kind=TaskEventKind.SUCCEEDED,
        tenant="acme",
        task_id=ids.next(),
        version=1,
        state=TaskState.SUCCEEDED,
        attempt=0,
        at=now,
        scheduled_at=now,
        title="Water the plants",
        owner="ada",
        queue="default",
        labels=(("room", "kitchen"),),
        action_kind=ActionKind.NOTIFY,
        body="The ferns too",
        error_type=None,
        error_message=None,
        traceparent=TRACEPARENT,
    )
    return replace(event, **changes)


def a_misfire(**changes: Any) -> ScheduleMisfiredV1:
    now = clock.now()
    event = ScheduleMisfiredV1(
        tenant="acme",
        schedule_id=ids.next(),
        revision=1,
        name="Garden",
        owner="ada",
        dropped=3,
        exact=True,
        until=now,
        at=now,
        traceparent=TRACEPARENT,
    )
    return replace(event, **changes)


def pending(*events: Event) -> list[Pending]:
    """As the outbox has them."""
    return [Pending(seq, event, json.dumps(event.to_wire())) for seq, event in enumerate(events, start=1)]


def some_events(count: int) -> list[TaskChangedV1]:
    return [an_event(title=f"Task {number}") for number in range(count)]
