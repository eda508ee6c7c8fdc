"""A small schema to try the transports on, without tasks and without services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

import strawberry
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from api.admission import Admission, Mode
from api.graph import Graph
from api.health import Check
from api.main import application
from api.metrics import ApiMetrics
from api.origins import Origins
from domain.budgets.ports import Budgets
from domain.documents.known import KnownDocuments
from domain.errors import Unavailable
from domain.live.ports import Resync
from domain.resilience.concurrency import ConcurrencyPolicy
from domain.tenancy.model import Caller
from domain.tenancy.ports import Callers
from infra.authentication.callers import Everyone
from infra.cache.metrics import CacheMetrics
from infra.cache.registered_documents import CachedDocuments
from infra.memory.cache import MemoryCache
from infra.settings import Settings
from infra.system import SystemClock, TimeOrderedIds
from infra.telemetry.trace import current_traceparent
from schema.context import Context
from schema.limits import Limits
from schema.marks import LIVE
from schema.operations import Operations
from schema.tally import Tally
from tests.support.stored_documents import StoredDocuments

HOWEVER_BUSY = ConcurrencyPolicy(unnoticed=10)
"""How slow this machine is shall turn nobody away."""


class Watched:
    """What the operations of the small schema do, for a test to look at."""

    def __init__(self) -> None:
        self.open = 0
        self.yielded = 0
        self.slow = 0
        self.looking_up = 0
        self.most_looking_up = 0
        self.number = 0
        self.more = asyncio.Condition()

    async def tell(self) -> None:
        """To those who follow `live`."""
        async with self.more:
            self.number += 1
            self.more.notify_all()


@dataclass(frozen=True)
class SmallContext:
    ids: TimeOrderedIds
    watched: Watched
    caller: Caller
    tally: Tally
    resume_after: str | None = None


@strawberry.type
class Step:
    cursor: str
    number: int

    @strawberry.field
    async def looked_up(self, info: strawberry.Info[SmallContext, None]) -> int:
        watched = info.context.watched
        watched.looking_up += 1
        watched.most_looking_up = max(watched.most_looking_up, watched.looking_up)
        for _ in range(5):
            await asyncio.sleep(0)
        watched.looking_up -= 1
        return self.number


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, name: str = "world") -> str:
        return f"hello {name}"

    @strawberry.field
    def caller(self, info: strawberry.Info[SmallContext, None]) -> str:
        caller = info.context.caller
        return f"{caller.tenant} {caller.owner} {caller.role}"

    @strawberry.field
    def trace(self) -> str | None:
        return current_traceparent()

    @strawberry.field
    def fault(self) -> str:
        raise RuntimeError("password=hunter2")

    @strawberry.field
    def unavailable(self) -> str | None:
        raise Unavailable("PostgreSQL")

    @strawberry.field
    async def slow(self, info: strawberry.Info[SmallContext, None], seconds: float) -> str:
        info.context.watched.slow += 1
        await asyncio.sleep(seconds)
        return "done"


@strawberry.type
class Mutation:
    @strawberry.mutation
    def double(self, number: int) -> int:
        return number * 2


async def _live(info: strawberry.Info[SmallContext, None]) -> AsyncGenerator[int, None]:
    watched = info.context.watched
    watched.open += 1
    try:
        while True:
            async with watched.more:
                await watched.more.wait()
            yield watched.number
    finally:
        watched.open -= 1


async def _live_text(info: strawberry.Info[SmallContext, None], size: int) -> AsyncGenerator[str, None]:
    async with aclosing(_live(info)) as numbers:
        async for number in numbers:
            yield f"{number} {'x' * size}"


async def _fault() -> AsyncGenerator[int, None]:
    yield 1
    raise RuntimeError("password=hunter2")


def _subscription(watched: Watched) -> type:
    @strawberry.type
    class Subscription:
        @strawberry.subscription
        async def count(self, to: int) -> AsyncGenerator[int, None]:
            for number in range(to):
                yield number

        @strawberry.subscription
        async def steps(
            self, info: strawberry.Info[SmallContext, None], to: int, after: str = "0"
        ) -> AsyncGenerator[Step, None]:
            begin = int(info.context.resume_after or after) + 1
            for number in range(begin, to + 1):
                yield Step(cursor=str(number), number=number)

        fault: AsyncGenerator[int, None] = strawberry.subscription(resolver=_fault)
        live: AsyncGenerator[int, None] = strawberry.subscription(resolver=_live, metadata=LIVE)
        live_text: AsyncGenerator[str, None] = strawberry.subscription(resolver=_live_text, metadata=LIVE)

        @strawberry.subscription
        async def hang(self) -> AsyncGenerator[str, None]:
            watched.open += 1
            try:
                yield "begun"
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)  # a real one gives a connection back
                watched.open -= 1

        @strawberry.subscription
        async def flood(self, size: int) -> AsyncGenerator[str, None]:
            watched.open += 1
            try:
                while True:
                    watched.yielded += 1
                    yield "x" * size
                    await asyncio.sleep(0)
            finally:
                watched.open -= 1

        @strawberry.subscription
        async def fall_behind(self) -> AsyncGenerator[int, None]:
            yield 1
            raise Resync

        @strawberry.subscription
        async def trace(self) -> AsyncGenerator[str | None, None]:
            yield current_traceparent()

    return Subscription


def small_app(
    watched: Watched | None = None,
    checks: Mapping[str, Check] | None = None,
    registry: CollectorRegistry | None = None,
    *,
    callers: Callers | None = None,
    allowed_origins: Sequence[str] = (),
    tenant_connections: int = 1_000,
    tenant_subscriptions: int = 10_000,
    budgets: Budgets | None = None,
    rates: Budgets | None = None,
    timeout: float = Settings().operation_timeout,
    most_bytes: int = Settings().max_answer_bytes,
    documents: StoredDocuments | None = None,
    mode: Mode = "open",
    most_batched: int = 0,
    tenants: Sequence[str] = (),
    limits: Limits = Limits(),  # noqa: B008  it is frozen
    concurrency: ConcurrencyPolicy = HOWEVER_BUSY,
) -> ASGIApp:
    registry = registry or CollectorRegistry()
    ids = TimeOrderedIds()
    watched = watched or Watched()
    schema = strawberry.Schema(Query, Mutation, _subscription(watched))
    metrics = ApiMetrics(registry, tenants)
    operations = Operations(schema, metrics.fell_back, limits, budgets)
    graph = Graph(
        operations=operations,
        admission=small_admission(operations, registry, documents, mode),
        callers=callers or Everyone("small"),
        new_context=lambda caller: cast(Context, SmallContext(ids, watched, caller, Tally(most_bytes))),
        metrics=metrics,
        clock=SystemClock(),
        ids=ids,
        timeout=timeout,
        most_bytes=most_bytes,
        rates=rates,
        tenant_subscriptions=tenant_subscriptions,
    )
    return application(
        graph,
        registry,
        checks or {},
        _nothing,
        allowed_hosts=Settings().allowed_hosts,
        origins=Origins(allowed_origins),
        tenant_connections=tenant_connections,
        most_batched=most_batched,
        concurrency=concurrency,
    )


def small_admission(
    operations: Operations,
    registry: CollectorRegistry,
    documents: StoredDocuments | None = None,
    mode: Mode = "open",
) -> Admission:
    registered = CachedDocuments(MemoryCache(ttl=60, metrics=CacheMetrics(registry)), "small")
    return Admission(
        mode, KnownDocuments(documents or StoredDocuments(), SystemClock()), registered, operations
    )


async def _nothing() -> None:
    """There are no gauges to refresh."""
